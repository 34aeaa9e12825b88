"""Mazes whose answer is the shortest path from start to goal, drawn into the same grid.

Perfect mazes (one path only) by depth-first search, Prim, Kruskal or Wilson, braided ones with
extra openings, and open fields with a unique shortest path. The walls of a maze and their mirror
images all fall into one split, whatever the start and the goal.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from cogment_pipe.data.generators import (
    Draws,
    GridSplit,
    Params,
    collect,
    dihedral_hash,
    split_of,
)
from cogment_pipe.data.generators.dice import Dice
from cogment_pipe.data.generators.spanning_trees import TREES, extra_links
from cogment_pipe.data.symbols import GOAL, OPEN, PATH, START, WALL

Topology = Literal["dfs", "prim", "kruskal", "wilson", "open"]
BLOCK = 64
FIELD_BLOCK = 2048
_SWAP = np.arange(256, dtype=np.uint8)
_SWAP[[START, GOAL]] = GOAL, START
STEPS = ((-1, 0), (0, -1), (0, 1), (1, 0))  # order of the tie-break between equal paths


class MazeParams(Params):
    """Size and kind of mazes; `braid` is the share of closed walls that are opened again."""

    side: int = Field(9, ge=5, le=63, description="rows of the grid, walls included")
    topologies: list[Topology] = Field(
        ["dfs", "prim", "kruskal", "wilson"],
        min_length=1,
        description="how mazes are made; an item takes one",
    )
    braid: float = Field(
        0.0, ge=0.0, le=1.0, description="share of closed walls that are opened again"
    )
    min_path: int = Field(2, ge=1, description="fewest moves from start to goal")
    wall_rate: float = Field(0.3, ge=0.0, le=0.7, description="open fields only")

    @model_validator(mode="after")
    def _check(self) -> MazeParams:
        if "open" in self.topologies and len(self.topologies) > 1:
            raise ValueError("topology open cannot be mixed with walled mazes")
        if self.topologies != ["open"] and self.side % 2 == 0:
            raise ValueError(f"side of a walled maze must be odd, not {self.side}")
        return self


class ToyMazeParams(MazeParams):
    """Small open fields for stage 0."""

    side: int = Field(6, ge=4, le=63, description="rows of the grid, walls included")
    topologies: list[Topology] = Field(
        ["open"], min_length=1, description="how mazes are made; an item takes one"
    )
    min_path: int = Field(3, ge=1, description="fewest moves from start to goal")


def generate(params: MazeParams, counts: dict[str, int], draws: Draws) -> dict[str, GridSplit]:
    """Mazes of every split; difficulty = number of moves."""
    block = _field_block if params.topologies == ["open"] else _maze_block
    return {
        split: collect(draws, split, need, lambda rng, name: block(params, rng, name))
        for split, need in counts.items()
    }


def _finish(inputs: np.ndarray, targets: np.ndarray, moves: np.ndarray, split: str) -> GridSplit:
    """Keep what belongs to the split; a maze with start and goal swapped counts as the same."""
    bare = np.where((inputs == START) | (inputs == GOAL), OPEN, inputs)
    swapped = _SWAP[inputs]
    group = dihedral_hash(bare)
    item = np.minimum(dihedral_hash(inputs), dihedral_hash(swapped))
    every = GridSplit(inputs, targets, moves.astype(np.float32), item, group)
    number = ("train", "validation", "test").index(split)
    return every.take(np.flatnonzero(split_of(group) == number))


def _maze_block(params: MazeParams, rng: np.random.Generator, split: str) -> GridSplit:
    dice = Dice(rng)
    rooms = params.side // 2
    inputs = np.full((BLOCK, params.side, params.side), WALL, dtype=np.uint8)
    targets = np.empty_like(inputs)
    moves = np.zeros(BLOCK)
    for i in range(BLOCK):
        topology = params.topologies[dice.below(len(params.topologies))]
        links = TREES[topology](rooms, dice)
        if params.braid:
            links |= extra_links(links, rooms, params.braid, dice)
        inputs[i, 1::2, 1::2] = OPEN
        for a, b in links:
            inputs[i, a // rooms + b // rooms + 1, a % rooms + b % rooms + 1] = OPEN
        neighbours = _neighbours(links, rooms)
        start = dice.below(rooms * rooms)
        distance = _distances(neighbours, start)
        far = max(distance)
        least = min((params.min_path + 1) // 2, far)
        asked = least + dice.below(far - least + 1)
        ends = [room for room, d in enumerate(distance) if d == asked]
        goal = ends[dice.below(len(ends))]
        inputs[i, 2 * (start // rooms) + 1, 2 * (start % rooms) + 1] = START
        inputs[i, 2 * (goal // rooms) + 1, 2 * (goal % rooms) + 1] = GOAL
        targets[i] = draw_path(inputs[i])
        moves[i] = 2 * asked
    return _finish(inputs, targets, moves, split)


def shortest_path(grid: np.ndarray) -> list[tuple[int, int]] | None:
    """Cells from START to GOAL, both included, by breadth-first search from the goal.

    Among equal paths the one whose first differing move is up, left, right, down. None when there
    is no path or not one start and one goal.
    """
    height, width = grid.shape
    flat = grid.ravel().tolist()
    if flat.count(START) != 1 or flat.count(GOAL) != 1:
        return None
    start, goal = flat.index(START), flat.index(GOAL)
    distance = {goal: 0}
    queue = [goal]
    for cell in queue:
        if cell == start:
            break
        for other in _open_beside(flat, cell, height, width):
            if other not in distance:
                distance[other] = distance[cell] + 1
                queue.append(other)
    if start not in distance:
        return None
    path = [start]
    while path[-1] != goal:
        left = distance[path[-1]] - 1
        beside = _open_beside(flat, path[-1], height, width)
        path.append(next(c for c in beside if distance.get(c) == left))
    return [divmod(cell, width) for cell in path]


def _open_beside(flat: list[int], cell: int, height: int, width: int) -> list[int]:
    row, column = divmod(cell, width)
    return [
        cell + dr * width + dc
        for dr, dc in STEPS
        if 0 <= row + dr < height
        and 0 <= column + dc < width
        and flat[cell + dr * width + dc] != WALL
    ]


def draw_path(grid: np.ndarray) -> np.ndarray:
    """The same grid with PATH on the shortest path between START and GOAL."""
    path = shortest_path(grid)
    if path is None:
        raise ValueError("the maze has no path from start to goal")
    drawn = grid.copy()
    for row, column in path[1:-1]:
        drawn[row, column] = PATH
    return drawn


def _neighbours(links: set[tuple[int, int]], rooms: int) -> list[list[int]]:
    beside: list[list[int]] = [[] for _ in range(rooms * rooms)]
    for a, b in sorted(links):
        beside[a].append(b)
        beside[b].append(a)
    return beside


def _distances(beside: list[list[int]], start: int) -> list[int]:
    distance = [-1] * len(beside)
    distance[start] = 0
    queue = [start]
    for room in queue:
        for other in beside[room]:
            if distance[other] < 0:
                distance[other] = distance[room] + 1
                queue.append(other)
    return distance


def _field_block(params: MazeParams, rng: np.random.Generator, split: str) -> GridSplit:
    """Open fields with a unique shortest path, searched for many fields at once."""
    shape = (FIELD_BLOCK, params.side, params.side)
    rate = rng.random((FIELD_BLOCK, 1, 1)) * params.wall_rate * 2
    free = rng.random(shape) >= np.minimum(rate, 0.8)
    cells = params.side * params.side
    start = rng.integers(cells, size=FIELD_BLOCK)
    goal = rng.integers(cells, size=FIELD_BLOCK)
    rows = np.arange(FIELD_BLOCK)
    flat = free.reshape(FIELD_BLOCK, cells)
    flat[rows, start] = flat[rows, goal] = True
    from_start, ways = _flood(free, start)
    from_goal, _ = _flood(free, goal)
    moves = from_start.reshape(FIELD_BLOCK, cells)[rows, goal]
    unique = ways.reshape(FIELD_BLOCK, cells)[rows, goal] == 1
    on_path = free & (from_start >= 0) & (from_goal >= 0)
    on_path &= from_start + from_goal == moves[:, None, None]
    inputs = np.where(free, OPEN, WALL).astype(np.uint8)
    inputs.reshape(FIELD_BLOCK, cells)[rows, start] = START
    inputs.reshape(FIELD_BLOCK, cells)[rows, goal] = GOAL
    targets = np.where(on_path & (inputs == OPEN), PATH, inputs).astype(np.uint8)
    good = np.flatnonzero(unique & (moves >= params.min_path) & (start != goal))
    return _finish(inputs[good], targets[good], moves[good], split)


def _flood(free: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, S, S) free cells, (N,) sources -> distance (-1: not reached), number of ways (max 2)."""
    n, side, _ = free.shape
    distance = np.full(free.shape, -1, dtype=np.int16)
    ways = np.zeros(free.shape, dtype=np.uint8)
    distance.reshape(n, -1)[np.arange(n), source] = 0
    ways.reshape(n, -1)[np.arange(n), source] = 1
    for step in range(1, side * side):
        wave = np.pad(np.where(distance == step - 1, ways, 0), ((0, 0), (1, 1), (1, 1)))
        arriving = wave[:, :-2, 1:-1] + wave[:, 2:, 1:-1] + wave[:, 1:-1, :-2] + wave[:, 1:-1, 2:]
        new = free & (distance < 0) & (arriving > 0)
        if not new.any():
            break
        distance[new] = step
        ways[new] = np.minimum(arriving[new], 2)
    return distance, ways
