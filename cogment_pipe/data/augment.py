"""Augmentations of grids: label-preserving, invertible, drawn for a whole batch at once.

Each is a move of cells (new = old[cells]) and a renaming of symbols (new = symbols[old]), the same
for input and target. A task's augmenter draws them; which types it may draw is the stage's choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cogment_pipe.data.generators.dice import Dice
from cogment_pipe.data.generators.listops_tree import shuffled_order
from cogment_pipe.data.generators.sudoku_group import random_moves
from cogment_pipe.data.generators.sudoku_small import allowed_moves
from cogment_pipe.data.symbols import DIGIT0, N_SYMBOLS, PAD

DIHEDRAL = {
    "rotate_90": (1,),
    "rotate_180": (2,),
    "rotate_270": (3,),
    "flip_h": (4,),
    "flip_v": (6,),
    "symmetry": tuple(range(8)),
    "dihedral": tuple(range(8)),
}
Moves = tuple[np.ndarray, np.ndarray]  # (B, H*W) cells, (B, 64) symbols


@dataclass(frozen=True)
class Augmentation:
    """One augmentation of an H x W grid."""

    cells: np.ndarray  # (H*W,) where each cell of the new grid came from
    symbols: np.ndarray  # (64,) new symbol of each old one

    def apply(self, grid: np.ndarray) -> np.ndarray:
        """Grid (H, W) of symbols -> the augmented grid."""
        return self.symbols[grid.ravel()[self.cells]].reshape(grid.shape)

    def invert(self, grid: np.ndarray) -> np.ndarray:
        """Augmented grid (H, W) of symbols -> the original."""
        out = np.empty_like(grid)
        out.ravel()[self.cells] = np.argsort(self.symbols)[grid.ravel()]
        return out

    def symbol_map(self, n: int) -> np.ndarray:
        """(n,) new symbol of each old one among the first n; symbols past the table keep theirs."""
        table = np.arange(max(n, len(self.symbols)))
        table[: len(self.symbols)] = self.symbols
        return table[:n]

    def invert_scores(self, scores: np.ndarray) -> np.ndarray:
        """Scores (H*W, S <= 64) per symbol of an augmented grid -> scores of the original."""
        out = np.empty_like(scores)
        out[self.cells] = scores[:, self.symbols[: scores.shape[1]]]
        return out


def image_cells(side: int) -> np.ndarray:
    """(8, side*side) gathers of the dihedral group: 0..3 quarter turns, 4..7 the same, mirrored."""
    cells = np.arange(side * side).reshape(side, side)
    turns = [np.rot90(cells, k) for k in range(4)]
    return np.stack([image.ravel() for image in turns + [turn[:, ::-1] for turn in turns]])


@dataclass(frozen=True)
class Augmenter:
    """Draws augmentations for one task, at a stage's rate."""

    rate: float
    draw: Callable[[np.random.Generator, np.ndarray], Moves]

    def __call__(self, rng: np.random.Generator, inputs: np.ndarray) -> list[Augmentation | None]:
        """One augmentation, or None, for each row of inputs (B, H, W)."""
        chosen = rng.random(len(inputs)) < self.rate
        cells, symbols = self.draw(rng, inputs)
        return [Augmentation(cells[i], symbols[i]) if yes else None for i, yes in enumerate(chosen)]


def apply_all(rows: list[Augmentation | None], grids: np.ndarray) -> np.ndarray:
    """Apply each row's augmentation to (B, H, W) int64 symbols; labels below 0 stay as they are."""
    picked = [i for i, row in enumerate(rows) if row is not None]
    if not picked:
        return grids
    cells = np.stack([rows[i].cells for i in picked])  # (P, H*W)
    symbols = np.stack([rows[i].symbols for i in picked])  # (P, 64)
    old = np.take_along_axis(grids[picked].reshape(len(picked), -1), cells, axis=1)
    new = np.take_along_axis(symbols, np.maximum(old, 0), axis=1)
    out = grids.copy()
    out[picked] = np.where(old < 0, old, new).reshape(len(picked), *grids.shape[1:])
    return out


def _same_symbols(n: int) -> np.ndarray:
    return np.tile(np.arange(N_SYMBOLS), (n, 1))


def sudoku_draw(side: int, split: str, types: tuple[str, ...]) -> Callable | None:
    """Symmetries that cannot turn a training grid into one of another split."""
    moved = split != "grid" and bool({"symmetry", "permute_bands"} & set(types))
    renamed = split != "grid" and bool({"symmetry", "relabel_digits"} & set(types))
    if not moved and not renamed:
        return None

    def draw(rng: np.random.Generator, inputs: np.ndarray) -> Moves:
        n = len(inputs)
        if not moved:
            cells = np.tile(np.arange(side * side), (n, 1))
        elif side == 4:
            moves = allowed_moves(split)
            cells = moves[rng.integers(len(moves), size=n)]
        elif split == "class":
            cells = random_moves(side, n, rng)
        else:
            cells = np.tile(np.arange(side * side), (n, 1))
        symbols = _same_symbols(n)
        if renamed:
            names = np.argsort(rng.random((n, side)), axis=1)
            symbols[:, DIGIT0 + 1 : DIGIT0 + 1 + side] = names + DIGIT0 + 1
        return cells, symbols

    return draw


def dihedral_draw(side: int, types: tuple[str, ...]) -> Callable | None:
    """Rotations and flips of square grids."""
    numbers = np.array(sorted({k for name in types for k in DIHEDRAL.get(name, ())}))
    if not len(numbers):
        return None
    images = image_cells(side)

    def draw(rng: np.random.Generator, inputs: np.ndarray) -> Moves:
        n = len(inputs)
        return images[numbers[rng.integers(len(numbers), size=n)]], _same_symbols(n)

    return draw


def own_draw(spec: dict, side: int, types: tuple[str, ...]) -> Callable | None:
    """Symmetries of users' own square grids; `labels` are the symbols that may change names."""
    labels = np.array(spec["labels"] if "relabel_digits" in types else [], dtype=np.int64)
    place = dihedral_draw(side, tuple(name for name in types if name in DIHEDRAL))
    if "permute_bands" not in types and place is None and not len(labels):
        return None

    def draw(rng: np.random.Generator, inputs: np.ndarray) -> Moves:
        n = len(inputs)
        if "permute_bands" in types:
            cells = random_moves(side, n, rng)
        elif place is not None:
            cells, _ = place(rng, inputs)
        else:
            cells = np.tile(np.arange(inputs[0].size), (n, 1))
        symbols = _same_symbols(n)
        if len(labels):
            symbols[:, labels] = labels[np.argsort(rng.random((n, len(labels))), axis=1)]
        return cells, symbols

    return draw


def listops_draw(types: tuple[str, ...]) -> Callable | None:
    """Arguments of every operator permuted: all four operators commute."""
    if not {"shuffle_ops", "permute_vars"} & set(types):
        return None

    def draw(rng: np.random.Generator, inputs: np.ndarray) -> Moves:
        dice = Dice(rng)
        rows = inputs.reshape(len(inputs), -1)
        cells = np.tile(np.arange(rows.shape[1]), (len(rows), 1))
        for i, row in enumerate(rows):
            end = int(np.count_nonzero(row != PAD))
            cells[i, 1:end] = 1 + np.array(shuffled_order(row[1:end].tolist(), dice))
        return cells, _same_symbols(len(rows))

    return draw


def make_augmenter(
    spec: dict | None, shape: tuple[int, int], rate: float, types: tuple[str, ...]
) -> Augmenter | None:
    """Augmenter of a task from its manifest entry's `augmenter`; None where nothing applies."""
    kind = (spec or {}).get("kind")
    draw = None
    if kind == "sudoku":
        draw = sudoku_draw(shape[0], spec["split"], types)
    elif kind == "dihedral" and shape[0] == shape[1]:
        draw = dihedral_draw(shape[0], types)
    elif kind == "own":
        draw = own_draw(spec, shape[0], types)
    elif kind == "listops":
        draw = listops_draw(types)
    return Augmenter(rate, draw) if draw and rate > 0 else None
