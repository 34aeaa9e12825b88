"""Twins: a batch together with augmented copies of those of its rows that an augmentation changes.

Consistency compares what a model says of an item and of its twin. Which predictions must agree is
worked out here, cell by cell on grids and by offset in the answer on text.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from cogment_pipe.data.batch import GridBatch, TextBatch
from cogment_pipe.data.symbols import IGNORE, OUT

if TYPE_CHECKING:
    from cogment_pipe.data.augment import Augmentation
    from cogment_pipe.data.dataset import TaskData


@dataclass
class TwinBatch:
    """Rows 0..B-1 as they are, then A <= B augmented copies.

    source: (A,) the row that each copy was made of; changes: (A,) augmentations, None on text.
    """

    batch: GridBatch | TextBatch
    source: np.ndarray
    changes: list[Augmentation | None]


@dataclass
class Aligned:
    """Pairs of predictions that must say the same.

    original, augmented: (P,) places among a feed's N targets, in the order of rows and positions;
    symbols: (P, V) column of the augmented logits that belongs to each original symbol, or None.
    """

    original: np.ndarray
    augmented: np.ndarray
    symbols: np.ndarray | None


def twin_batch(data: TaskData, index: np.ndarray, rng: np.random.Generator) -> TwinBatch:
    """Items `index` of a task, and a twin of each that its augmentations change."""
    plain = data.batch(index)
    other = data.batch(index, rng=rng, augment=True)
    both = joined(plain, other)
    n = len(index)
    if isinstance(both, GridBatch):
        drawn = other.augmented or [None] * n
        source = np.array([i for i, change in enumerate(drawn) if change is not None], np.int64)
        changes = [drawn[i] for i in source]
    else:
        differs = (both.tokens[:n] != both.tokens[n:]).any(1)
        if both.segments is not None:
            differs |= (both.segments[:n] != both.segments[n:]).any((1, 2))
        source = np.flatnonzero(differs)
        changes = [None] * len(source)
    return TwinBatch(take(both, np.concatenate([np.arange(n), n + source])), source, changes)


def take(batch: GridBatch | TextBatch, rows: np.ndarray) -> GridBatch | TextBatch:
    """Some rows of a batch; which augmentation each has had is dropped."""
    arrays = {
        f.name: getattr(batch, f.name)[rows]
        for f in fields(batch)
        if isinstance(getattr(batch, f.name), np.ndarray)
    }
    if isinstance(batch, GridBatch):
        arrays["augmented"] = None
    return replace(batch, **arrays)


def joined(first: GridBatch | TextBatch, second: GridBatch | TextBatch) -> GridBatch | TextBatch:
    """The rows of both batches of one task, padded to common widths."""
    arrays = {}
    for field in fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray):
            continue
        a = np.zeros((len(first), *([0] * (b.ndim - 1))), b.dtype) if a is None else a
        b = np.zeros((len(second), *([0] * (a.ndim - 1))), a.dtype) if b is None else b
        shape = tuple(max(pair) for pair in zip(a.shape[1:], b.shape[1:], strict=True))
        fill = IGNORE if field.name == "targets" else 0
        arrays[field.name] = np.concatenate([_padded(a, shape, fill), _padded(b, shape, fill)])
    return replace(first, **arrays)


def _padded(array: np.ndarray, shape: tuple[int, ...], fill: int) -> np.ndarray:
    missing = [(0, 0)] + [
        (0, want - have) for want, have in zip(shape, array.shape[1:], strict=True)
    ]
    return np.pad(array, missing, constant_values=fill)


def align(
    targets: np.ndarray,
    source: np.ndarray,
    changes: list[Augmentation | None],
    n_symbols: int,
) -> Aligned:
    """Which targets of the last len(source) rows say the same as which of the rows before.

    Args:
        targets: (R, L) labels, -100 where nothing is predicted; twins come last.
        source: (A,) row of each twin's original.
        changes: (A,) augmentation of each twin; None: text, aligned by offset in the answer.
        n_symbols: symbols in the grid logits.
    """
    first = len(targets) - len(source)
    place = np.cumsum(targets.ravel() != IGNORE).reshape(targets.shape) - 1  # (R, L)
    originals, twins, symbols = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], []
    for number, (row, change) in enumerate(zip(source, changes, strict=True)):
        twin = first + number
        if change is None:
            old, new = _answer_places(targets[row], targets[twin])
        else:
            old, new = _cell_places(targets[row], targets[twin], change)
            symbols.append(np.tile(change.symbol_map(n_symbols), (len(old), 1)))
        originals.append(place[row, old])
        twins.append(place[twin, new])
    stacked = np.concatenate(symbols) if symbols else None
    return Aligned(np.concatenate(originals), np.concatenate(twins), stacked)


def _answer_places(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of both answers, offset by offset; none where their texts differ."""
    before, after = np.flatnonzero(old != IGNORE), np.flatnonzero(new != IGNORE)
    if len(before) != len(after) or (old[before] != new[after]).any():
        return before[:0], after[:0]
    return before, after


def _cell_places(
    old: np.ndarray, new: np.ndarray, change: Augmentation
) -> tuple[np.ndarray, np.ndarray]:
    """Cells before and after; those outside an ARC grid have no partner of their own."""
    before = change.cells  # (L,) where each cell of the new grid came from
    labels = old[before]
    same = (labels != IGNORE) & (new != IGNORE) & (labels != OUT)
    same &= change.symbols[np.maximum(labels, 0)] == new
    return before[same], np.flatnonzero(same)
