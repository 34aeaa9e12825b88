"""Linear maps: y = A x over the integers or mod p, one sparse matrix A per seed to be learnt.

Over the integers A holds 0 and 1 and y stays a digit. Mod p no single x_j tells anything about y,
so that the map is as hard to find as a parity.

A row is x, EQUALS and as many QUERY cells, which hold y in the target. Test vectors are unseen.
"""

from __future__ import annotations

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
from cogment_pipe.data.symbols import DIGIT0, EQUALS, QUERY, STORED_IGNORE

BLOCK = 4096


class LinearMapParams(Params):
    """Modulus, length of x and how many entries of a row of A are not 0."""

    modulus: int = Field(0, ge=0, le=10, description="0: over the integers")
    digits: int = Field(6, ge=1, le=32, description="entries of x")
    nonzero: int = Field(2, ge=1, le=32, description="entries of a row of A that are not 0")

    @model_validator(mode="after")
    def _check(self) -> LinearMapParams:
        if self.nonzero > self.digits:
            raise ValueError("nonzero must not exceed digits")
        if self.modulus == 1 or (not self.modulus and self.nonzero > 9):
            raise ValueError("modulus must be 0 or 2..10; over the integers nonzero is at most 9")
        return self

    @property
    def values(self) -> int:
        """How many values an x_j may take: 0 .. values - 1."""
        return self.modulus or 9 // self.nonzero + 1


def matrix(params: LinearMapParams, draws: Draws) -> np.ndarray:
    """(digits, digits) the map of this seed; row i uses x_i and other digits."""
    rng = draws.stream("matrix", 0)
    a = np.zeros((params.digits, params.digits), dtype=np.int64)
    for row in range(params.digits):
        others = [c for c in range(params.digits) if c != row]
        columns = [row, *rng.choice(others, size=params.nonzero - 1, replace=False)]
        top = params.modulus or 2  # over the integers every entry is 1
        a[row, columns] = rng.integers(1, top, size=params.nonzero)
    return a


def generate(params: LinearMapParams, counts: dict[str, int], draws: Draws) -> dict[str, GridSplit]:
    """Vectors of every split; difficulty = number of digits of x that are not 0."""
    a = matrix(params, draws)

    def block(rng: np.random.Generator, split: str) -> GridSplit:
        x = rng.integers(params.values, size=(BLOCK, params.digits))  # (B, digits)
        item = hash_rows(x)
        keep = split_of(item) == SPLITS.index(split)
        x, item = x[keep], item[keep]
        y = x @ a.T
        y = y % params.modulus if params.modulus else y
        return _rows(x, y, item)

    return {split: collect(draws, split, need, block) for split, need in counts.items()}


def _rows(x: np.ndarray, y: np.ndarray, item: np.ndarray) -> GridSplit:
    n, width = x.shape
    inputs = np.full((n, 1, 2 * width + 1), QUERY, dtype=np.uint8)
    inputs[:, 0, :width] = x + DIGIT0
    inputs[:, 0, width] = EQUALS
    targets = np.full_like(inputs, STORED_IGNORE)
    targets[:, 0, width + 1 :] = y + DIGIT0
    return GridSplit(inputs, targets, np.count_nonzero(x, axis=1), item, item)
