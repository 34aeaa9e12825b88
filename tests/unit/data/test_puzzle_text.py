"""Puzzles as text: what a text is, and that symbols and characters are each other's inverse."""

from __future__ import annotations

import numpy as np
import pytest

from cogment_pipe.data.puzzle_text import BUILT_IN, OWN, decode, kind_of_text, parse_puzzle
from cogment_pipe.errors import CogmentError

MAZE = "#####\n#S G#\n#####"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1.3..2.4...14...", "sudoku"),
        ("1 . 3 .\n. 2 . 4\n. . . 1\n4 . . .", "sudoku"),
        ("." * 81, "sudoku"),
        ("9" + "." * 15, ""),
        (MAZE, "maze"),
        ("1 2 3\n4 5 6", "numbers"),
        ("Where is Mary?", ""),
        ("SG", "maze"),
        ("7", ""),
    ],
)
def test_a_text_says_what_it_is(text, kind):
    """Sudoku by its length and digits, mazes by S and G, the rest is a question."""
    assert kind_of_text(text) == kind


@pytest.mark.parametrize("alphabets", [OWN, BUILT_IN], ids=["own", "built in"])
@pytest.mark.parametrize("kind", ["sudoku", "maze"])
def test_what_is_read_can_be_written(alphabets, kind):
    """decode is the inverse of parse_puzzle, in own files and in built-in tasks."""
    text = "1.3..2.4...14..." if kind == "sudoku" else MAZE
    grid = parse_puzzle(text, kind, alphabets[kind])
    rows = ["".join(row) for row in decode(grid, alphabets[kind])]
    assert rows == (MAZE.splitlines() if kind == "maze" else ["1.3.", ".2.4", "...1", "4..."])


def test_own_symbols_are_as_documented():
    """0 padding, 1 blank, digits from 2; mazes 1 wall, 2 open, 3 start, 4 goal, 5 path."""
    assert parse_puzzle("1.34" * 4, "sudoku", OWN["sudoku"])[0].tolist() == [2, 1, 4, 5]
    assert [OWN["maze"][c] for c in "# SGo"] == [1, 2, 3, 4, 5]


def test_mazes_whose_blanks_were_stripped_are_filled_up():
    """Short rows get open cells; one line of a square number of cells is cut into rows."""
    grid = parse_puzzle("S\n #\n  G", "maze", OWN["maze"])
    assert grid.tolist() == [[3, 2, 2], [2, 1, 2], [2, 2, 4]]
    assert np.array_equal(parse_puzzle("S   #   G", "maze", OWN["maze"]), grid)


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        ("12", "sudoku", "16, 36 or 81 cells"),
        ("S #\nG", "maze", None),
        ("SS G", "maze", "exactly one S"),
        ("S G", "maze", "square number"),
        ("1 2\n3", "numbers", "equally long"),
        ("S\nx\nG", "maze", "'x' is none of"),
    ],
)
def test_what_does_not_fit_is_said(text, kind, part):
    """One line that says what a puzzle of this kind looks like."""
    if part is None:
        assert parse_puzzle(text, kind, OWN[kind]).shape == (2, 3)
        return
    with pytest.raises(CogmentError, match=part):
        parse_puzzle(text, kind, OWN.get(kind))
