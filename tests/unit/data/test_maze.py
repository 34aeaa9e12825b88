"""Mazes: shortest paths by an independent search, perfect mazes, splits."""

from collections import deque

import numpy as np
import pytest

from cogment_pipe.data.generators import Draws, dihedral, dihedral_hash, parse_params
from cogment_pipe.data.generators.dice import Dice
from cogment_pipe.data.generators.maze import (
    MazeParams,
    ToyMazeParams,
    draw_path,
    generate,
    shortest_path,
)
from cogment_pipe.data.generators.spanning_trees import TREES
from cogment_pipe.data.symbols import GOAL, OPEN, PATH, START, WALL
from cogment_pipe.errors import CogmentError

DRAWS = Draws(seed=3, stage=2, task="maze")


def moves_and_ways(grid):
    """Fewest moves from start to goal and the number of such paths, by plain counting BFS."""
    start = tuple(np.argwhere(grid == START)[0])
    goal = tuple(np.argwhere(grid == GOAL)[0])
    distance, ways, queue = {start: 0}, {start: 1}, deque([start])
    while queue:
        r, c = queue.popleft()
        for other in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            inside = 0 <= other[0] < grid.shape[0] and 0 <= other[1] < grid.shape[1]
            if not inside or grid[other] == WALL:
                continue
            if other not in distance:
                distance[other], ways[other] = distance[r, c] + 1, 0
                queue.append(other)
            if distance[other] == distance[r, c] + 1:
                ways[other] += ways[r, c]
    return distance.get(goal), ways.get(goal)


@pytest.mark.parametrize(
    ("params", "unique"),
    [
        (MazeParams(), True),
        (MazeParams(side=15, topologies=["wilson"]), True),
        (MazeParams(side=11, braid=0.4), False),
        (ToyMazeParams(), True),
    ],
)
def test_every_drawn_path_is_a_shortest_one(params, unique):
    """Guards: targets are true shortest paths, and the only ones in perfect and toy mazes."""
    part = generate(params, {"train": 60}, DRAWS)["train"]
    several = 0
    for grid, target, difficulty in zip(part.inputs, part.targets, part.difficulty, strict=True):
        moves, ways = moves_and_ways(grid)
        assert difficulty == moves == np.count_nonzero(target == PATH) + 1 >= params.min_path
        assert np.array_equal(np.where(target == PATH, OPEN, target), grid)
        along = np.where(target == OPEN, WALL, target)
        assert moves_and_ways(along) == (moves, 1)
        several += ways > 1
        assert ways == 1 or not unique
    assert unique or several > 0


@pytest.mark.parametrize("topology", sorted(TREES))
def test_trees_link_all_rooms_without_a_cycle(topology):
    """Guards: perfect mazes: rooms - 1 links between neighbours that reach every room."""
    dice = Dice(np.random.default_rng(0))
    seen = set()
    for _ in range(20):
        links = TREES[topology](5, dice)
        assert len(links) == 24
        assert all(b - a == 5 or (b - a == 1 and b % 5) for a, b in links)
        reached = {0}
        for _ in range(24):
            reached |= {x for link in links if set(link) & reached for x in link}
        assert len(reached) == 25
        seen.add(frozenset(links))
    assert len(seen) == 20


def test_wilson_draws_every_tree_of_four_rooms_equally_often():
    """Guards: Wilson's trees are uniform (4 trees; 1,000 draws within 5 standard deviations)."""
    dice = Dice(np.random.default_rng(1))
    counts = {}
    for _ in range(1000):
        tree = frozenset(TREES["wilson"](2, dice))
        counts[tree] = counts.get(tree, 0) + 1
    assert len(counts) == 4
    assert all(abs(n - 250) < 5 * 13.7 for n in counts.values())


def test_path_by_hand():
    """Guards: the tie-break takes up before left before right before down."""
    text = ["S..", ".#.", "..G"]
    symbols = {"S": START, "G": GOAL, ".": OPEN, "#": WALL}
    grid = np.array([[symbols[c] for c in row] for row in text], dtype=np.uint8)
    assert shortest_path(grid) == [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2)]
    assert np.argwhere(draw_path(grid) == PATH).tolist() == [[0, 1], [0, 2], [1, 2]]
    closed = grid.copy()
    closed[:, 1] = WALL
    assert shortest_path(closed) is None
    with pytest.raises(ValueError, match="no path"):
        draw_path(closed)


def test_splits_share_no_maze_under_rotation_reflection_or_swapped_ends():
    """Guards: walls of test mazes occur in no training maze, in none of the 8 images."""
    splits = generate(MazeParams(side=7), {"train": 120, "validation": 20, "test": 40}, DRAWS)
    walls = {
        name: {
            image.tobytes()
            for maze in part.inputs
            for image in dihedral(np.where(maze == WALL, 1, 0).astype(np.uint8)[None])
        }
        for name, part in splits.items()
    }
    assert not walls["train"] & walls["test"]
    assert not walls["train"] & walls["validation"]
    assert not walls["validation"] & walls["test"]
    for part in splits.values():
        assert len(np.unique(part.item)) == len(part)


def test_dihedral_hash_is_equal_for_images_and_different_for_others():
    """Guards: the canonical hash is neither too fine nor blind."""
    rng = np.random.default_rng(0)
    grids = rng.integers(5, size=(50, 4, 4))
    for image in dihedral(grids):
        assert np.array_equal(dihedral_hash(image), dihedral_hash(grids))
    assert len(np.unique(dihedral_hash(grids))) == 50


def test_path_lengths_vary_and_bytes_follow_the_seed():
    """Guards: short and long paths both occur; the same seed gives the same bytes."""
    one = generate(MazeParams(), {"train": 200}, DRAWS)["train"]
    two = generate(MazeParams(), {"train": 200}, DRAWS)["train"]
    assert one.inputs.tobytes() == two.inputs.tobytes()
    assert one.difficulty.min() <= 4 and one.difficulty.max() >= 16


def test_even_sides_and_mixed_topologies_are_refused():
    """Guards: impossible mazes are one line that names the key."""
    with pytest.raises(CogmentError, match="side of a walled maze must be odd, not 8"):
        parse_params(MazeParams, {"side": 8}, stage=2, task="maze")
    with pytest.raises(CogmentError, match="open cannot be mixed"):
        parse_params(MazeParams, {"topologies": ["open", "dfs"]}, stage=2, task="maze")
    with pytest.raises(CogmentError, match=r"stages\.2\.tasks\.maze\.params\.topologies\.0"):
        parse_params(MazeParams, {"topologies": ["spiral"]}, stage=2, task="maze")
