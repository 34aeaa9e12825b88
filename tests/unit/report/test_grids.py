"""Drawn puzzles: the alphabet, the families, what is marked as wrong."""

from __future__ import annotations

import pytest

from cogment_pipe.data import symbols
from cogment_pipe.report import grids


def test_alphabet_is_the_datas() -> None:
    """The report's copy of the cell alphabet is the one that data and model use."""
    for name in ("PAD", "DIGIT0", "BLANK", "OUT", "WALL", "OPEN", "START", "GOAL", "PATH"):
        assert getattr(grids, name) == getattr(symbols, name)
    for name in ("QUERY", "SEP", "EQUALS", "CLOSE"):
        assert getattr(grids, name) == getattr(symbols, name)
    for name in ("MIN", "MAX", "MED", "SM"):
        assert getattr(grids, name) == getattr(symbols, f"OP_{name}")


@pytest.mark.parametrize(
    ("task", "cell", "task_id", "kind"),
    [
        ("arc", 3, 3, "arc"),
        ("my_mazes", 13, 5, "maze"),
        ("sudoku", 11, 4, "sudoku"),
        ("listops", 18, 6, "words"),
        ("linear_map", 2, 0, "digits"),
        ("grids", 13, 14, "values"),
    ],
)
def test_family(task: str, cell: int, task_id: int, kind: str) -> None:
    """Each kind of task is drawn in its own way; a user's own values are not taken for symbols."""
    assert grids.family(task, [[cell, 1]], task_id) == kind


def test_sudoku_marks_wrong_digits() -> None:
    """Given, answered and wrong digits can be told apart."""
    given = [[2, 11], [11, 2]]
    gold = [[2, 3], [3, 2]]
    drawn = grids.draw([[2, 3], [4, 2]], "sudoku", "x", given, gold)
    assert drawn.count('class="given"') == 2
    assert drawn.count('class="answer"') == 1
    assert drawn.count('class="wrong"') == 1
    assert ">3</text>" in drawn  # symbol 4 is digit 3


def test_maze_marks_wrong_way() -> None:
    """A step off the way and a missing step are drawn differently from the right way."""
    gold = [[15, 17, 16], [14, 14, 13]]
    drawn = grids.draw([[15, 14, 16], [17, 14, 13]], "maze", "x", gold=gold)
    assert drawn.count('class="lost"') == 1
    assert 'class="astray" d="M0 1h1v1h-1z"' in drawn
    assert 'class="wall" d="M2 1h1v1h-1z"' in drawn
    assert 'class="way"' not in drawn


def test_arc_is_cropped_and_coloured() -> None:
    """Canvas outside of an ARC grid is not drawn, and runs of a colour are one patch."""
    drawn = grids.draw([[3, 3, 12], [1, 3, 12], [12, 12, 12]], "arc", "x")
    assert 'viewBox="-0.06 -0.06 2.12 2.12"' in drawn
    assert '<path class="a2" d="M0 0h2v1h-2zM1 1h1v1h-1z"/>' in drawn


def test_wrong_cells() -> None:
    """Cells without a target do not count; another shape is not comparable."""
    assert grids.wrong_cells([[1, 2, 3]], [[-100, 2, 9]]) == 1
    assert grids.wrong_cells([[1, 2]], [[1], [2]]) is None
    assert grids.filled([[-100, 2, 9]], [[7, 8, 9]]) == [[7, 2, 9]]


def test_given_cells_are_the_inputs() -> None:
    """Whatever the model says of cells that nobody asked for is not shown as its answer."""
    assert grids.asked_only([[9, 2, 7]], [[-100, 2, 3]], [[5, 11, 11]]) == [[5, 2, 7]]
    assert grids.asked_only([[9]], [[-100, 2]], [[5, 11]]) == [[9]]


def test_label_is_escaped() -> None:
    """A task's name cannot break out of the drawing's attributes."""
    assert '"><script>' not in grids.draw([[1]], "digits", '"><script>')


def test_is_grid() -> None:
    """Ragged rows, text and empty lists are no grids."""
    assert grids.is_grid([[1, 2], [3, 4]])
    for value in ([[1, 2], [3]], [[]], [], "12", [["1"]], None):
        assert not grids.is_grid(value)
