"""Augmentations of ARC tasks: dihedral images, renamed colours, shifted grids.

One augmentation holds for all pairs of a task. Those of a task are drawn once, from a stream keyed
by the task, and told apart by a hash of what they make of it, so that symmetric tasks are not
counted with copies that are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cogment_pipe.data.arc_task import ArcRecord, turn, turn_back
from cogment_pipe.data.augment import DIHEDRAL, Augmentation
from cogment_pipe.data.generators import mix
from cogment_pipe.data.symbols import DIGIT0, N_SYMBOLS, OUT

COLUMNS = 13  # image number, new colour of each of 10, rows and columns of the shift
VALUES = mix(np.arange(10, dtype=np.uint64) + np.uint64(77))


def read_canvas(canvas: np.ndarray, corner: tuple[int, int] = (0, 0)) -> np.ndarray | None:
    """The grid of symbols that a canvas (S, S) shows from `corner` on; None where it shows none.

    Its size is read off its first row and first column: they end at the first OUT.
    """
    shown = canvas[corner[0] :, corner[1] :]
    height = _leading(shown[:, 0] != OUT)
    width = _leading(shown[0] != OUT)
    return shown[:height, :width] if height and width else None


def _leading(flags: np.ndarray) -> int:
    return len(flags) if flags.all() else int(np.argmin(flags))


def place(grid: np.ndarray, side: int, corner: tuple[int, int] = (0, 0)) -> np.ndarray:
    """A grid of symbols on an otherwise OUT canvas (side, side)."""
    canvas = np.full((side, side), OUT, dtype=np.int64)
    canvas[corner[0] : corner[0] + grid.shape[0], corner[1] : corner[1] + grid.shape[1]] = grid
    return canvas


@dataclass(frozen=True)
class ArcAugmentation(Augmentation):
    """One augmentation of a task; `cells` is its move of the target canvas, as a permutation."""

    image: int
    shift: tuple[int, int]
    side: int

    def grid(self, grid: np.ndarray) -> np.ndarray:
        """(h, w) symbols -> the augmented grid, not placed."""
        return self.symbols[turn(grid, self.image)]

    def apply(self, grid: np.ndarray) -> np.ndarray:
        """Canvas of the original -> canvas of the augmented grid."""
        inner = read_canvas(grid)
        if inner is None:
            return np.full_like(grid, OUT)
        return place(self.grid(inner), self.side, self.shift)

    def invert(self, grid: np.ndarray) -> np.ndarray:
        """Canvas predicted for the augmented task -> canvas for the original one."""
        inner = read_canvas(grid, self.shift)
        if inner is None:
            return np.full_like(grid, OUT)
        return place(turn_back(np.argsort(self.symbols)[inner], self.image), self.side)


def make(row: np.ndarray, side: int, target_shape: tuple[int, int]) -> ArcAugmentation:
    """The augmentation that a table row (13,) stands for, for a target of the given shape."""
    symbols = np.arange(N_SYMBOLS)
    symbols[DIGIT0 : DIGIT0 + 10] = DIGIT0 + row[1:11].astype(np.int64)
    shift = (int(row[11]), int(row[12]))
    height, width = target_shape
    old = np.arange(side * side).reshape(side, side)[:height, :width]
    new = np.arange(side * side).reshape(side, side)
    moved = turn(old, int(row[0]))
    region = new[shift[0] : shift[0] + moved.shape[0], shift[1] : shift[1] + moved.shape[1]]
    cells = np.full(side * side, -1)
    cells[region.ravel()] = moved.ravel()
    rest = np.ones(side * side, dtype=bool)
    rest[old.ravel()] = False
    cells[cells < 0] = np.flatnonzero(rest)  # the OUT cells, in any order: all alike
    return ArcAugmentation(cells, symbols, int(row[0]), shift, side)


def image_numbers(types: tuple[str, ...]) -> list[int]:
    """Images that the named types give; quarter turns together with a flip give all eight."""
    named = {k for name in types for k in DIHEDRAL.get(name, ())}
    if named & {1, 3} and named & {4, 6}:
        named = set(range(8))
    return sorted(named | {0})


def draw_rows(
    rng: np.random.Generator, n: int, types: tuple[str, ...], room: tuple[int, int]
) -> np.ndarray:
    """(n, 13) uint8 table rows; `room` = rows and columns by which the task's grids may shift."""
    rows = np.zeros((n, COLUMNS), dtype=np.uint8)
    rows[:, 0] = rng.choice(image_numbers(types), size=n)
    rows[:, 1:11] = np.arange(10)
    if "permute_colours" in types:
        rows[:, 2:11] = np.argsort(rng.random((n, 9)), axis=1) + 1  # colour 0 stays
    if "translate" in types:
        rows[:, 11] = rng.integers(room[0] + 1, size=n)
        rows[:, 12] = rng.integers(room[1] + 1, size=n)
    return rows


def distinct_rows(record: ArcRecord, rows: np.ndarray, most: int) -> np.ndarray:
    """The rows that make different tasks of a record, at most `most`, none like the original.

    The hash of a copy is linear in colours (sum of value[colour] * place), so the sums over places
    are taken once for each image and colour, not for each copy.
    """
    sums = np.zeros((8, 10), dtype=np.uint64)
    grids = [grid for pair in record.pairs for grid in pair]
    for image in {0, *rows[:, 0].tolist()}:
        for number, grid in enumerate(grids):
            turned = turn(grid, image)
            r, c = np.indices(turned.shape)
            places = mix((number << 20) + (r << 10) + c)
            np.add.at(sums[image], turned.ravel(), places.ravel())
    colours = VALUES[rows[:, 1:11]]  # (A, 10) value of the new colour of each old one
    hashes = (colours * sums[rows[:, 0]]).sum(axis=1, dtype=np.uint64)
    hashes = mix(hashes + mix(rows[:, 11].astype(np.uint64) * 64 + rows[:, 12]))
    own = mix((VALUES * sums[0]).sum(dtype=np.uint64) + mix(np.zeros(1, np.uint64)))
    _, first = np.unique(hashes, return_index=True)
    return rows[np.sort(first[hashes[first] != own])][:most]
