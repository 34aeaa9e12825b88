"""ARC tasks as records: pairs of colour grids, their checks, and hashes that ignore symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from cogment_pipe.data.generators import hash_rows, mix

MAX_SIDE = 30
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class ArcRecord:
    """One task: demonstrations and tests, each a pair of (h, w) uint8 grids of colours 0..9."""

    id: str
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Demonstrations, then tests."""
        return self.train + self.test

    @cached_property
    def pair_hashes(self) -> np.ndarray:
        """(pairs,) uint64: `pair_hash` of every pair."""
        return np.array([pair_hash(pair) for pair in self.pairs], dtype=np.uint64)

    @cached_property
    def hash(self) -> int:
        """Hash of the whole task under the same symmetries, whatever the order of its pairs."""
        return int(mix(self.pair_hashes).sum(dtype=np.uint64))


def colour_grid(value: object, where: str) -> np.ndarray:
    """Check a nested list and make it a (h, w) uint8 grid.

    Raises ValueError that begins with `where` unless it is 1..30 equal rows of 1..30 colours 0..9.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SIDE:
        raise ValueError(f"{where}: a grid is a list of 1 to {MAX_SIDE} rows")
    widths = {len(row) if isinstance(row, list) else 0 for row in value}
    if len(widths) != 1 or not 1 <= min(widths) <= MAX_SIDE:
        raise ValueError(f"{where}: rows must be equally long lists of 1 to {MAX_SIDE} colours")
    for r, row in enumerate(value):
        for cell in row:
            if type(cell) is not int or not 0 <= cell <= 9:
                raise ValueError(f"{where}, row {r + 1}: colour {cell!r} is not a number 0..9")
    return np.array(value, dtype=np.uint8)


def pair_hash(pair: Pair) -> int:
    """64-bit hash, the same for all 8 images of a pair and however its colours are renamed."""
    order, shapes = _images(pair[0].shape, pair[1].shape)
    cells = np.concatenate([grid.ravel() for grid in pair])[order]  # (8, n)
    image = np.arange(len(cells))[:, None]
    first = np.full((len(cells), 10), cells.shape[1])
    np.minimum.at(first, (image, cells), np.arange(cells.shape[1]))  # where a colour is first seen
    names = np.argsort(np.argsort(first, axis=1, kind="stable"), axis=1)
    return int(hash_rows(np.concatenate([shapes, names[image, cells]], axis=1)).min())


@lru_cache(maxsize=256)
def _images(given: tuple[int, int], made: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Of pairs of these shapes: (8, n) places of the cells of each image, (8, 4) its shapes."""
    places = np.arange(given[0] * given[1]).reshape(given)
    others = np.arange(made[0] * made[1]).reshape(made) + places.size
    images = [(turn(places, number), turn(others, number)) for number in range(8)]
    order = np.stack([np.concatenate([grid.ravel() for grid in image]) for image in images])
    return order, np.array([[*a.shape, *b.shape] for a, b in images])


def turn(grid: np.ndarray, number: int) -> np.ndarray:
    """Dihedral image of (h, w): 0..3 quarter turns, 4..7 the same, mirrored."""
    if number % 2:
        grid = grid.T
    if number % 4 in (1, 2):
        grid = grid[::-1]
    if (number % 4 in (2, 3)) != (number >= 4):
        grid = grid[:, ::-1]
    return grid


def turn_back(grid: np.ndarray, number: int) -> np.ndarray:
    """The grid whose image `turn(grid, number)` is; a mirrored turn is its own inverse."""
    return turn(grid, number if number >= 4 else -number % 4)
