"""Grids: whole-grid exact match, cell accuracy, and mazes whose shortest path may not be unique.

Targets hold -100 in cells that are not asked for; these never count.
"""

from __future__ import annotations

from collections import deque

import numpy as np

IGNORE = -100
WALL, START, GOAL, PATH = 13, 15, 16, 17  # of data.symbols, which scoring does not import


def asked(prediction: list, gold: dict) -> tuple[np.ndarray, np.ndarray] | None:
    """Predicted and gold symbols of the cells asked for; None where the shapes differ."""
    target = np.asarray(gold["target"])
    try:
        predicted = np.asarray(prediction)
    except ValueError:  # ragged rows
        return None
    if predicted.shape != target.shape:
        return None
    mask = target != IGNORE
    return predicted[mask], target[mask]


def exact(prediction: list, gold: dict) -> float:
    """1.0 where every cell asked for is right."""
    cells = asked(prediction, gold)
    return float(cells is not None and bool((cells[0] == cells[1]).all()))


def cell_accuracy(prediction: list, gold: dict) -> float:
    """Share of right cells among those asked for; 0 for another shape."""
    cells = asked(prediction, gold)
    return float((cells[0] == cells[1]).mean()) if cells is not None and cells[0].size else 0.0


def shortest_path(prediction: list, gold: dict) -> float:
    """1.0 where the marked cells are any shortest path from start to goal of the maze.

    `gold["input"]` is the maze. Marks on walls, beside the path, or on a longer way: 0.
    """
    maze = np.asarray(gold["input"])
    try:
        predicted = np.asarray(prediction)
    except ValueError:
        return 0.0
    if predicted.shape != maze.shape:
        return 0.0
    marked = predicted == PATH
    ends = (maze == START) | (maze == GOAL)
    if (marked & (maze == WALL)).any() or (marked & ends).any():
        return 0.0
    if ((predicted != maze) & ~marked & ~ends & (np.asarray(gold["target"]) != IGNORE)).any():
        return 0.0
    best = distance(maze != WALL, maze)
    # As many marks as a shortest path has, and a way over marks alone: nothing is left over.
    if best is None or int(marked.sum()) != best - 1:
        return 0.0
    return float(distance(marked | ends, maze) == best)


def distance(free: np.ndarray, maze: np.ndarray) -> int | None:
    """Moves from start to goal over `free` cells (H, W), by breadth-first search."""
    starts, goals = np.argwhere(maze == START), np.argwhere(maze == GOAL)
    if len(starts) != 1 or len(goals) != 1:
        return None
    start, goal = tuple(starts[0]), tuple(goals[0])
    seen, waiting = {start: 0}, deque([start])
    while waiting:
        place = waiting.popleft()
        if place == goal:
            return seen[place]
        for row, column in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            after = (place[0] + row, place[1] + column)
            inside = 0 <= after[0] < free.shape[0] and 0 <= after[1] < free.shape[1]
            if inside and free[after] and after not in seen:
                seen[after] = seen[place] + 1
                waiting.append(after)
    return None
