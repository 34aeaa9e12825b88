"""Sudoku puzzles with exactly one solution: 4x4, 6x6 and 9x9.

Givens are dug out of a random solution while the solution stays unique. Solution grids are split
before any puzzle is made: by symmetry class (full group), by orbits of relabelled digits, or
grid by grid. Difficulty = dead ends of a fixed search: 9x9 with naked singles and the tightest
cell first, smaller boards (where that never fails) plain, in reading order.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from cogment_pipe.data.generators import (
    SPLITS,
    Draws,
    GridSplit,
    Params,
    collect,
    hash_rows,
    split_of,
)
from cogment_pipe.data.generators.sudoku_group import Split, group_hash
from cogment_pipe.data.generators.sudoku_small import SHARES, all_4x4, split_4x4
from cogment_pipe.data.generators.sudoku_solver import (
    candidates,
    plain_backtracks,
    random_solutions,
    solve,
)
from cogment_pipe.data.symbols import BLANK, DIGIT0

BLOCK = 256
DEFAULT_GIVENS = {4: (5, 8), 6: (10, 16), 9: (26, 36)}


class SudokuParams(Params):
    """Size, range of givens and what the splits must not share."""

    side: Literal[4, 6, 9] = Field(4, description="rows of the board")
    givens_min: int | None = Field(None, ge=1, description="fewest givens; null: by the side")
    givens_max: int | None = Field(None, ge=1, description="most givens; null: by the side")
    split: Split = Field("class", description="what two splits never share")

    @model_validator(mode="after")
    def _check(self) -> SudokuParams:
        low, high = self.givens
        least = {4: 4, 6: 8, 9: 20}[self.side]
        if not least <= low <= high < self.side**2:
            raise ValueError(
                f"{least} <= givens_min <= givens_max < {self.side**2} must hold for side "
                f"{self.side}, not {low}..{high}"
            )
        return self

    @property
    def givens(self) -> tuple[int, int]:
        """Fewest and most givens of a puzzle."""
        low, high = DEFAULT_GIVENS[self.side]
        return self.givens_min or min(low, self.givens_max or low), self.givens_max or max(
            high, self.givens_min or high
        )


def generate(params: SudokuParams, counts: dict[str, int], draws: Draws) -> dict[str, GridSplit]:
    """Puzzles of every split."""
    return {
        split: collect(draws, split, need, lambda rng, name: _block(params, rng, name))
        for split, need in counts.items()
    }


def notes(params: SudokuParams) -> dict:
    """What the manifest says about the split."""
    told = {"split_by": params.split, "side": params.side, "givens": list(params.givens)}
    if params.side == 4 and params.split == "class":
        told["split_note"] = (
            "4x4 has 288 solution grids in 2 symmetry classes: train and validation are disjoint "
            "digit-relabelling orbits of the class of 192, test is the class of 96; augmentation "
            "of train keeps to symmetries that map train orbits on train orbits"
        )
    return told


def _solutions(params: SudokuParams, rng: np.random.Generator, split: str) -> tuple:
    """Solved grids of one split with their group hashes."""
    wanted = SPLITS.index(split)
    if params.side == 4:
        groups, number = split_4x4(params.split)
        chosen = rng.choice(np.flatnonzero(number == wanted), size=BLOCK)
        return all_4x4()[chosen], groups[chosen]
    grids = random_solutions(params.side, BLOCK, rng)
    groups = group_hash(grids, params.split)
    keep = split_of(groups, SHARES) == wanted
    return grids[keep], groups[keep]


def _block(params: SudokuParams, rng: np.random.Generator, split: str) -> GridSplit:
    side = params.side
    low, high = params.givens
    solutions, groups = _solutions(params, rng, split)
    asked = rng.integers(low, high + 1, size=len(solutions))
    puzzles = dig(solutions, side, asked, rng)
    keep = np.count_nonzero(puzzles, axis=1) <= high
    puzzles, solutions, groups = puzzles[keep], solutions[keep], groups[keep]
    rating = _rating(puzzles, side)
    inputs = np.where(puzzles > 0, puzzles + DIGIT0, BLANK).astype(np.uint8)
    return GridSplit(
        inputs.reshape(-1, side, side),
        (solutions + DIGIT0).astype(np.uint8).reshape(-1, side, side),
        rating.astype(np.float32),
        hash_rows(puzzles),
        groups,
    )


def _rating(puzzles: np.ndarray, side: int) -> np.ndarray:
    if side == 9:
        return solve(candidates(puzzles, side), side, hidden=False).backtracks
    return np.array([plain_backtracks(row, side) for row in puzzles.tolist()], dtype=np.int64)


def dig(
    solutions: np.ndarray, side: int, givens: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Blank cells in random order while the solution stays the only one.

    (N, cells) solutions, (N,) givens to stop at -> (N, cells) puzzles, 0 = blank. A puzzle keeps
    more givens than asked for when no more can go.
    """
    puzzles = solutions.copy()
    order = np.argsort(rng.random(solutions.shape), axis=1)
    full = np.uint16((1 << side) - 1)
    masks = candidates(puzzles, side)
    for k in range(side * side):
        rows = np.flatnonzero(np.count_nonzero(puzzles, axis=1) > givens)
        if not len(rows):
            break
        cell = order[rows, k]
        trial = masks[rows]
        trial[np.arange(len(rows)), cell] = full & ~masks[rows, cell]
        free = ~solve(trial, side).found  # no other digit there has a solution
        puzzles[rows[free], cell[free]] = 0
        masks[rows[free], cell[free]] = full
    return puzzles
