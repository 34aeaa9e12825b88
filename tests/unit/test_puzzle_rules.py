"""What `predict` says of its own answers. Run: pytest tests/unit/test_puzzle_rules.py"""

import pytest

from cogment_pipe.data.generators import Draws
from cogment_pipe.data.generators.maze import MazeParams
from cogment_pipe.data.generators.maze import generate as mazes
from cogment_pipe.data.generators.sudoku import SudokuParams
from cogment_pipe.data.generators.sudoku import generate as sudokus
from cogment_pipe.data.puzzle_text import BUILT_IN, decode
from cogment_pipe.puzzle_rules import solves

DRAWS = Draws(0, 2, "rules")
MAZE = ["#####", "#S  #", "# # #", "#  G#", "#####"]


def cells(kind, grid):
    return decode(grid, BUILT_IN[kind])


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        *[
            ("sudoku", lambda s=s: sudokus(SudokuParams(side=s), {"train": 5}, DRAWS))
            for s in (4, 6)
        ],
        ("maze", lambda: mazes(MazeParams(side=9), {"train": 12}, DRAWS)),
        ("maze", lambda: mazes(MazeParams(side=9, braid=0.5), {"train": 12}, DRAWS)),
    ],
)
def test_stored_answers_solve_and_damaged_ones_do_not(kind, made):
    """Promise: a right answer is called right, also where several are; one changed cell is not."""
    part = made()["train"]
    for given, target in zip(part.inputs, part.targets, strict=True):
        question, answer = cells(kind, given), cells(kind, target)
        assert solves(kind, question, answer) is True
        assert solves(kind, question, question) is False or "o" not in str(answer)
        for r, row in enumerate(answer):
            for c, cell in enumerate(row):
                other = {"o": " ", " ": "o", "1": "2"}.get(cell)
                if other is not None:
                    damaged = [list(line) for line in answer]
                    damaged[r][c] = other
                    assert solves(kind, question, damaged) is False, (r, c)


def test_another_shortest_way_solves_too_and_a_longer_one_does_not():
    """Promise: any shortest way is right; walls and ends must stay where they are."""
    question = [list(row) for row in MAZE]
    first = [list(row) for row in ["#####", "#Soo#", "# #o#", "#  G#", "#####"]]
    second = [list(row) for row in ["#####", "#S  #", "#o# #", "#ooG#", "#####"]]
    both = [list(row) for row in ["#####", "#Soo#", "#o#o#", "#ooG#", "#####"]]
    through = [list(row) for row in ["#####", "#So #", "# o #", "#  G#", "#####"]]
    assert solves("maze", question, first) is solves("maze", question, second) is True
    assert solves("maze", question, both) is solves("maze", question, through) is False


def test_changed_givens_are_no_solution():
    """Promise: a full grid that is right in itself is none where it overwrites a given."""
    given = [list("4..."), list("...."), list("...."), list("....")]
    full = [list("1234"), list("3412"), list("2143"), list("4321")]
    assert solves("sudoku", given, full) is False
    assert solves("arc", given, full) is None
