"""Grid, maze, ARC and ListOps metrics. Run: pytest tests/unit/scoring/test_grids.py"""

import numpy as np
import pytest

from cogment_pipe.data import symbols
from cogment_pipe.errors import CogmentError
from cogment_pipe.scoring import arc, grid, listops, per_item, primary, score

W, O, S, G, P = (symbols.WALL, symbols.OPEN, symbols.START, symbols.GOAL, symbols.PATH)  # noqa: E741
# Two shortest paths, around the wall in the middle.
MAZE = [[S, O, O], [O, W, O], [O, O, G]]
ABOVE = [[S, P, P], [O, W, P], [O, O, G]]
BELOW = [[S, O, O], [P, W, O], [P, P, G]]
GOLD = {"input": MAZE, "target": ABOVE}


def test_symbols_are_those_of_the_data():
    """Promise: the codes that scoring repeats are the alphabet's."""
    named = (symbols.WALL, symbols.START, symbols.GOAL, symbols.PATH)
    assert named == (grid.WALL, grid.START, grid.GOAL, grid.PATH)
    assert grid.IGNORE == symbols.IGNORE and listops.DIGIT0 == symbols.DIGIT0


@pytest.mark.parametrize(
    ("prediction", "exact", "shortest"),
    [
        (ABOVE, 1, 1),
        (BELOW, 0, 1),  # another path of the same length
        (MAZE, 0, 0),
        ([[S, P, P], [P, W, P], [O, O, G]], 0, 0),  # a mark beside the path
        ([[S, P, P], [P, W, O], [P, O, G]], 0, 0),  # as many marks as needed, no way through
        ([[S, P, O], [O, P, O], [O, P, G]], 0, 0),  # through the wall
        ([[S, P, P], [O, O, P], [O, O, G]], 0, 0),  # a wall turned into floor
        ([[S, P, P]], 0, 0),  # another shape
        ([[S, P], [O]], 0, 0),  # no grid
    ],
)
def test_mazes(prediction, exact, shortest):
    """Promise: exact match against the stored path; apart from it, any valid shortest path."""
    assert grid.exact(prediction, GOLD) == exact
    assert grid.shortest_path(prediction, GOLD) == shortest
    assert per_item("maze", prediction, GOLD) == shortest


def test_longer_ways_do_not_count():
    """Promise: a valid path that is not shortest scores 0."""
    maze = [[S, O, G], [O, O, O]]
    gold = {"input": maze, "target": [[S, P, G], [O, O, O]]}
    assert grid.shortest_path([[S, O, G], [P, P, P]], gold) == 0
    assert grid.shortest_path([[S, P, G], [O, O, O]], gold) == 1


def test_cells_not_asked_for_never_count():
    """Promise: -100 in a target is neither right nor wrong."""
    gold = {"target": [[1, -100], [2, 3]]}
    assert score("grid_exact", [[[1, 9], [2, 3]]], [gold]) == {"exact": 1.0, "cell_accuracy": 1.0}
    figures = score("grid_exact", [[[1, 9], [2, 4]], None], [gold, gold])
    assert figures == {"exact": 0.0, "cell_accuracy": pytest.approx(1 / 3)}
    assert per_item("grid_exact", np.array([[1, 0], [2, 3]]), gold) == 1.0


def test_arc_two_attempts_and_mean_over_tasks():
    """Promise: one score per test input, mean within a task, mean over tasks; shape counts."""
    golds = [{"task": t, "target": [[1, 2]]} for t in ("a", "a", "b")]
    right, wrong = [[1, 2]], [[1, 2, 3]]
    figures = arc.score([[wrong, right], wrong, [right, wrong]], golds)
    assert figures == {"task": 0.75, "input": pytest.approx(2 / 3), "input_first_attempt": 1 / 3}
    assert arc.item([wrong, wrong, right], golds[0]) == 0.0  # a third attempt is not looked at
    assert arc.item(np.array(right), golds[0]) == 1.0
    assert arc.item(None, golds[0]) == 0.0
    assert arc.item([[[1, 2]], [[9]]], golds[0]) == 1.0


def test_listops_ten_ways():
    """Promise: accuracy over items and over classes; digit or grid alike."""
    golds = [{"target": [[-100, 1 + d]]} for d in (0, 0, 0, 9)]
    figures = listops.score([0, [[5, 1]], 3, 9], golds)
    assert figures == {"accuracy": 0.75, "class_mean": pytest.approx((2 / 3 + 1) / 2)}


def test_names_and_lengths_are_checked():
    """Promise: an unknown metric is one line, unequal lengths an error."""
    assert primary("longbench:qmsum") == "longbench" and primary("arc") == "task"
    with pytest.raises(CogmentError, match="unknown metric 'bleu'"):
        score("bleu", [], [])
    with pytest.raises(ValueError, match="1 predictions for 0 items"):
        score("recall", ["a"], [])
