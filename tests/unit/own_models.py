"""Small puzzles of users and the words that train a tiny model on them, for several test files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogment_pipe.data.generators import Draws
from cogment_pipe.data.generators.maze import MazeParams
from cogment_pipe.data.generators.maze import generate as generate_mazes
from cogment_pipe.data.generators.sudoku import SudokuParams, generate
from cogment_pipe.data.symbols import GOAL, OPEN, PATH, START, WALL

TINY = (
    *("--set", "model.d_model=16", "--set", "n_heads=2", "--set", "ffn_hidden=8"),
    *("--set", "head_hidden=8", "--set", "batch_size=4", "--set", "max_refinement_steps=3"),
    *("--threads", "1", "--device", "cpu"),
)


def write_sudokus(path: Path) -> dict[str, np.ndarray]:
    """4x4 Sudokus in the documented coding: 60 to train on, 9 to test."""
    counts = {"train": 60, "validation": 1, "test": 9}
    splits = generate(SudokuParams(side=4), counts, Draws(0, 0, "own"))
    arrays = {}
    for split in ("train", "test"):
        x = splits[split].inputs
        arrays[f"x_{split}"] = np.where(x == 11, 1, x)
        arrays[f"y_{split}"] = splits[split].targets
    np.savez(path, **arrays)
    return arrays


def write_mazes(path: Path) -> dict[str, np.ndarray]:
    """7x7 mazes in the documented coding (1 wall, 2 open, 3 start, 4 goal, 5 path)."""
    splits = generate_mazes(MazeParams(side=7), {"train": 40, "test": 6}, Draws(0, 0, "own"))
    own = np.zeros(64, dtype=np.int64)
    own[[WALL, OPEN, START, GOAL, PATH]] = 1, 2, 3, 4, 5
    arrays = {}
    for split in ("train", "test"):
        arrays[f"x_{split}"] = own[splits[split].inputs]
        arrays[f"y_{split}"] = own[splits[split].targets]
    np.savez(path, **arrays)
    return arrays
