"""All 288 solved 4x4 grids: their classes, the splits made of them, the moves that keep to a split.

There are two symmetry classes, of 96 and 192 grids, so a split by class needs tables of its own.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cogment_pipe.data.generators import hash_rows
from cogment_pipe.data.generators.sudoku_group import Split, class_hash, geometry, orbit_hash
from cogment_pipe.data.generators.sudoku_solver import random_solutions

GRIDS_OF_4X4 = 288
SHARES = (0.6, 0.2, 0.2)


@lru_cache(maxsize=1)
def all_4x4() -> np.ndarray:
    """(288, 16) uint8: every solved 4x4 grid, sorted."""
    rows: set[bytes] = set()
    rng = np.random.Generator(np.random.PCG64(4))
    while len(rows) < GRIDS_OF_4X4:
        rows |= {grid.tobytes() for grid in random_solutions(4, 1024, rng)}
    return np.array([list(row) for row in sorted(rows)], dtype=np.uint8)


@lru_cache(maxsize=4)
def split_4x4(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The 4x4 grids' groups and splits: (288,) uint64 hashes, (288,) split numbers.

    `class`: the class of 96 is the test set, and the class of 192 is parted by orbits (6 train,
    2 validation); its groups are these parts. Otherwise groups are dealt out in order of hash.
    """
    grids = all_4x4()
    orbits = orbit_hash(grids)
    if split == "class":
        classes = class_hash(grids)
        values, sizes = np.unique(classes, return_counts=True)
        large = classes == values[np.argmax(sizes)]
        held_out = np.unique(orbits[large])[:2]
        number = np.where(large, np.where(np.isin(orbits, held_out), 1, 0), 2)
        return np.where(large, orbits, classes), number
    groups = orbits if split == "orbit" else hash_rows(grids)
    values = np.unique(groups)
    place = (np.searchsorted(values, groups) + 0.5) / len(values)
    return groups, np.searchsorted(np.cumsum(SHARES)[:2], place, side="right")


@lru_cache(maxsize=4)
def allowed_moves(split: Split) -> np.ndarray:
    """(K, 16) moves of cells that never turn a 4x4 grid of one split into one of another."""
    grids = all_4x4()
    _, number = split_4x4(split)
    if split == "grid":
        return geometry(4)[:1]
    number_of = dict(zip(orbit_hash(grids).tolist(), number.tolist(), strict=True))
    images = np.stack([orbit_hash(grids[:, cells]) for cells in geometry(4)])  # (128, 288)
    keeps = [[number_of[o] for o in image.tolist()] == number.tolist() for image in images]
    return geometry(4)[np.array(keeps)]
