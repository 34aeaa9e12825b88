"""The symmetries of Sudoku, and hashes that do not change under them.

The full group: digits relabelled, rows permuted inside bands, bands, columns inside stacks,
stacks, and (for square boxes) transposition. All moves of cells are gathers: new = old[cells].
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import permutations, product
from typing import Literal

import numpy as np

from cogment_pipe.data.generators import hash_rows, mix
from cogment_pipe.data.generators.sudoku_solver import BOX_SHAPE

Split = Literal["class", "orbit", "grid"]


def line_orders(side: int, group: int) -> np.ndarray:
    """Every order of `side` lines that keeps blocks of `group` lines together: (K, side)."""
    inner = list(permutations(range(group)))
    orders = [
        [block * group + line for block, lines in zip(outer, chosen, strict=True) for line in lines]
        for outer in permutations(range(side // group))
        for chosen in product(inner, repeat=side // group)
    ]
    return np.array(orders)


@lru_cache(maxsize=4)
def geometry(side: int) -> np.ndarray:
    """Every move of cells of a 4x4 or 6x6 board: (K, cells) gathers; the first is the identity."""
    high, wide = BOX_SHAPE[side]
    rows, columns = line_orders(side, high), line_orders(side, wide)
    cells = rows[:, None, :, None] * side + columns[None, :, None, :]
    cells = cells.reshape(-1, side, side)
    if high == wide:
        cells = np.concatenate([cells, cells.transpose(0, 2, 1)])
    return cells.reshape(len(cells), -1)


def random_moves(side: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, cells) random moves of cells, uniform over the group."""
    high, wide = BOX_SHAPE[side]
    rows = _random_lines(side, high, n, rng)
    columns = _random_lines(side, wide, n, rng)
    cells = rows[:, :, None] * side + columns[:, None, :]  # (n, side, side)
    if high == wide:
        flip = rng.random(n) < 0.5
        cells = np.where(flip[:, None, None], cells.transpose(0, 2, 1), cells)
    return cells.reshape(n, -1)


def _random_lines(side: int, group: int, n: int, rng: np.random.Generator) -> np.ndarray:
    blocks = np.argsort(rng.random((n, side // group)), axis=1)
    lines = np.argsort(rng.random((n, side // group, group)), axis=2)
    return (blocks[:, :, None] * group + lines).reshape(n, side)


def relabelled(grids: np.ndarray) -> np.ndarray:
    """(N, cells) solved grids with their digits renamed 1, 2, ... in order of first sight.

    The first row of a solved grid holds every digit once, so it fixes the names.
    """
    side = math.isqrt(grids.shape[1])
    names = np.argsort(grids[:, :side], axis=1).astype(np.uint8) + 1  # digit - 1 -> name
    return np.take_along_axis(names, grids.astype(np.int64) - 1, axis=1)


def orbit_hash(grids: np.ndarray) -> np.ndarray:
    """(N, cells) -> (N,) uint64, equal exactly for grids that differ by relabelled digits."""
    return hash_rows(relabelled(grids))


def class_hash(grids: np.ndarray) -> np.ndarray:
    """(N, cells) solved grids -> (N,) uint64, equal for all grids of one symmetry class.

    4x4: hash of the canonical form. 6x6 and 9x9: hash of an invariant (cycle types of the
    permutations that map one row to another, and columns likewise, within and across bands), so
    grids of two classes may share a hash but a class never has two.
    """
    side = math.isqrt(grids.shape[1])
    if side == 4:
        images = [orbit_hash(grids[:, cells]) for cells in geometry(4)]
        return np.min(images, axis=0)
    high, wide = BOX_SHAPE[side]
    square = grids.reshape(-1, side, side)
    rows = _lines_hash(square, high)
    columns = _lines_hash(square.transpose(0, 2, 1), wide)
    if high == wide:
        rows, columns = np.minimum(rows, columns), np.maximum(rows, columns)
    return mix(rows + mix(columns))


def _lines_hash(grids: np.ndarray, group: int) -> np.ndarray:
    """Invariant of the rows of (N, side, side): sums make it independent of every order."""
    n, side, _ = grids.shape
    first, second = np.nonzero(~np.eye(side, dtype=bool))  # ordered pairs of rows
    source = np.argsort(grids[:, first], axis=2)  # (N, pairs, side): column of each digit
    image = np.take_along_axis(grids[:, second].astype(np.int64) - 1, source, axis=2)
    length = np.zeros(image.shape, dtype=np.uint64)
    walk = image
    for step in range(1, side + 1):
        length[(length == 0) & (walk == np.arange(side))] = step
        walk = np.take_along_axis(image, walk, axis=2)
    near = (first // group == second // group).astype(np.uint64)
    pair = mix(mix(length).sum(axis=2, dtype=np.uint64) + mix(near))  # (N, pairs)
    row = mix(pair.reshape(n, side, side - 1).sum(axis=2, dtype=np.uint64))
    band = mix(row.reshape(n, side // group, group).sum(axis=2, dtype=np.uint64))
    return mix(band.sum(axis=1, dtype=np.uint64))


def group_hash(grids: np.ndarray, split: Split) -> np.ndarray:
    """(N, cells) solved grids -> (N,) uint64 hash of what two splits never share."""
    return {"class": class_hash, "orbit": orbit_hash, "grid": hash_rows}[split](grids)
