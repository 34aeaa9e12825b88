"""Maze-Hard's CSV: `source,question,answer,rating`, square mazes over `# SG`, `o` on the path.

Blanks are cells here, so nothing is ever stripped.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from cogment_pipe.data.generators import Draws, GridSplit, dihedral_hash
from cogment_pipe.data.generators.maze import shortest_path
from cogment_pipe.data.loaders.grid_files import Loaded, assign, csv_rows, data_files, sources
from cogment_pipe.data.symbols import GOAL, OPEN, PATH, START, WALL
from cogment_pipe.errors import CogmentError

HINT = "get it from huggingface.co/datasets/sapientinc/maze-30x30-hard-1k (train.csv, test.csv)"
SYMBOLS = {"#": WALL, " ": OPEN, "S": START, "G": GOAL, "o": PATH}
NOTES = {"split_by": "walls"}


def load(corpus: dict, wanted: dict[str, int | None], draws: Draws) -> Loaded:
    """Mazes of a folder or file; groups are the walls up to rotation and reflection."""
    files = data_files(corpus["path"], ".csv", "maze_hard", HINT)
    splits, dropped = assign({s: read(file) for s, file in files.items()}, wanted, draws)
    return Loaded(splits, sources(corpus["path"], files, corpus), dropped)


def read(file: Path) -> GridSplit:
    """Every maze of one CSV; difficulty = moves. Raises CogmentError naming file and line."""
    inputs, targets, moves = [], [], []
    for line, (question, answer) in csv_rows(file, ("question", "answer")):
        where = f"{file}, line {line}"
        given = _grid(question, where)
        drawn = _grid(answer, where)
        if drawn.shape != given.shape or (inputs and inputs[0].shape != given.shape):
            raise CogmentError(f"{where}: all mazes of a file must have the same size")
        moves.append(_check(given, drawn, where))
        inputs.append(given)
        targets.append(drawn)
    if not inputs:
        raise CogmentError(f"{file}: no maze")
    grids = np.stack(inputs)
    walls = np.where((grids == START) | (grids == GOAL), OPEN, grids)
    return GridSplit(
        grids,
        np.stack(targets),
        np.array(moves, dtype=np.float32),
        dihedral_hash(grids),
        dihedral_hash(walls),
    )


def _grid(text: str, where: str) -> np.ndarray:
    side = math.isqrt(len(text))
    if side < 2 or side * side != len(text):
        raise CogmentError(f"{where}: {len(text)} cells are not a square")
    strange = set(text) - set(SYMBOLS)
    if strange:
        raise CogmentError(f"{where}: {min(strange)!r} is none of `# SGo`")
    return np.array([SYMBOLS[c] for c in text], dtype=np.uint8).reshape(side, side)


def _check(given: np.ndarray, drawn: np.ndarray, where: str) -> int:
    """Number of moves; the answer must be the question with one shortest path drawn in."""
    if (given == PATH).any() or (np.where(drawn == PATH, OPEN, drawn) != given).any():
        raise CogmentError(f"{where}: the answer is not the question with a path drawn in")
    path = shortest_path(given)
    if path is None:
        raise CogmentError(f"{where}: no way from S to G, or not one S and one G")
    only = shortest_path(np.where((drawn == OPEN), WALL, drawn))
    if only is None or len(only) != len(path) or np.count_nonzero(drawn == PATH) != len(path) - 2:
        raise CogmentError(f"{where}: the path drawn is not a shortest one")
    return len(path) - 1
