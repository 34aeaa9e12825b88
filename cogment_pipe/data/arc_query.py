"""An ARC task from a JSON file as what the model is shown: canvases and demonstrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogment_pipe.data.arc_augment import place, read_canvas
from cogment_pipe.data.arc_dataset import ROUND, box, box_places, demonstrations
from cogment_pipe.data.arc_task import ArcRecord, colour_grid
from cogment_pipe.data.storage import read_json
from cogment_pipe.data.symbols import DIGIT0, OUT
from cogment_pipe.errors import CogmentError


def read_task(file: Path) -> tuple[ArcRecord, list[np.ndarray]]:
    """Demonstrations of one task, and its test inputs (their outputs may be missing).

    Raises CogmentError naming file and pair.
    """
    content = read_json(file)
    parts = [content.get(key) for key in ("train", "test")] if isinstance(content, dict) else []
    if not parts or not all(isinstance(part, list) and part for part in parts):
        raise CogmentError(f"{file}: not an ARC task; needs lists `train` and `test`")
    grids = {"train": ("input", "output"), "test": ("input",)}
    found: dict[str, list] = {"train": [], "test": []}
    for split, pairs in zip(found, parts, strict=True):
        for number, pair in enumerate(pairs, start=1):
            where = f"{file}: {split} pair {number}"
            try:
                found[split].append([colour_grid(pair[key], where) for key in grids[split]])
            except (KeyError, TypeError):
                raise CogmentError(f"{where}: needs {' and '.join(grids[split])}") from None
            except ValueError as error:
                raise CogmentError(str(error)) from None
    record = ArcRecord(file.stem, tuple((a, b) for a, b in found["train"]), ())
    return record, [pair[0] for pair in found["test"]]


def show(
    record: ArcRecord, query: np.ndarray, side: int, cells: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One test input as (canvas (side, side), context (C, 2), places (C, 3)), as in training.

    Raises CogmentError where the query is larger than the canvas.
    """
    if max(query.shape) > side:
        raise CogmentError(
            f"{record.id}: a test input of {query.shape[0]} x {query.shape[1]} exceeds the model's "
            f"canvas of {side} x {side}"
        )
    numbers, _ = demonstrations(record, -1, cells)
    parts, places = [np.zeros((0, 2), np.int64)], [np.zeros((0, 3), np.int64)]
    for pair, number in enumerate(numbers):
        height, width = box(record.train[number])
        full = np.full((2, height, width), OUT, dtype=np.int64)
        for layer, grid in zip(full, record.train[number], strict=True):
            layer[: grid.shape[0], : grid.shape[1]] = grid.astype(np.int64) + DIGIT0
        parts.append(full.reshape(2, -1).T)
        tail = np.full((height * width, 1), pair)
        places.append(np.concatenate([box_places(height, width), tail], axis=1))
    shown = sum(map(len, parts))
    width = max(ROUND, -(-shown // ROUND) * ROUND)
    context, position = np.zeros((width, 2), np.int64), np.zeros((width, 3), np.int64)
    context[:shown], position[:shown] = np.concatenate(parts), np.concatenate(places)
    return place(query.astype(np.int64) + DIGIT0, side), context, position


def colours(canvas: np.ndarray) -> np.ndarray | None:
    """The grid of colours 0..9 that a predicted canvas shows; None where it shows none."""
    grid = read_canvas(canvas)
    return None if grid is None else np.clip(grid - DIGIT0, 0, 9)
