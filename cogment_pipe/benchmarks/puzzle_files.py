"""Puzzles for the benchmark of `fit`.

They come from the pipeline's generators, in the file format of `fit`, so a run is what a user gets
from the same command on puzzles of their own. Apart from the table, which may change without
training anything again.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from cogment_pipe.atomic import write_bytes
from cogment_pipe.data.generators import Draws, GridSplit, maze, parse_params, sudoku
from cogment_pipe.data.puzzle_text import BUILT_IN, OWN

GENERATORS = {
    "sudoku": (sudoku.SudokuParams, sudoku.generate),
    "maze": (maze.MazeParams, maze.generate),
}


def write_puzzle_file(slice: dict[str, Any], out: Path) -> None:
    """An .npz of training and test puzzles, split as in a stage: by symmetry class, by walls."""
    kind, name = slice["generator"], slice["task"]
    model, generate = GENERATORS[kind]
    params = parse_params(model, slice["params"], stage=0, task=name)
    counts = {split: slice[split] for split in ("train", "test")}
    made = generate(params, counts, Draws(slice["seed"], 0, name))
    arrays = {}
    for split, items in made.items():
        arrays[f"x_{split}"], arrays[f"y_{split}"] = _as_own(items, kind)
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_bytes(out, file.getvalue())


def _as_own(items: GridSplit, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Questions and answers (N, H, W) in the symbols of own files; an unscored answer is 0."""
    table = np.zeros(256, dtype=np.uint8)
    for character, symbol in BUILT_IN[kind].items():
        table[symbol] = OWN[kind][character]
    return table[items.inputs], table[items.targets]
