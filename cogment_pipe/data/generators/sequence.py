"""Sequences mod 10 to be continued: arithmetic, repeating and alternating ones.

A row is the terms shown, EQUALS, and QUERY cells for the terms asked for. What is shown fixes the
continuation: no two rules that fit it disagree.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

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

BLOCK = 1024
Rule = Literal["arithmetic", "repeat", "alternate"]


class SequenceParams(Params):
    """Terms shown and asked for, and the rules that are mixed."""

    shown: int = Field(8, ge=8, le=32, description="8 show a period of 4 twice")
    asked: int = Field(4, ge=1, le=32, description="terms that are to be predicted")
    rules: list[Rule] = Field(
        ["arithmetic", "repeat", "alternate"],
        min_length=1,
        description="rules that are mixed in equal parts",
    )


def generate(params: SequenceParams, counts: dict[str, int], draws: Draws) -> dict[str, GridSplit]:
    """Sequences of every split; difficulty = 1 arithmetic, 2 repeat, 3 alternate.

    Only 100 arithmetic sequences exist, so large splits hold mostly the other two kinds.
    """
    total = params.shown + params.asked

    def block(rng: np.random.Generator, split: str) -> GridSplit:
        rule = rng.choice([RULES.index(r) for r in params.rules], size=BLOCK)
        rows = np.choose(rule[:, None], [make(rng, total) for make in MAKERS])
        item = hash_rows(rows[:, : params.shown])
        keep = split_of(item) == SPLITS.index(split)
        return _rows(rows[keep], params.shown, rule[keep] + 1, item[keep])

    return {split: collect(draws, split, need, block) for split, need in counts.items()}


def _arithmetic(rng: np.random.Generator, total: int) -> np.ndarray:
    start, step = rng.integers(10, size=(2, BLOCK, 1))
    return (start + step * np.arange(total)) % 10  # (B, total)


def _repeat(rng: np.random.Generator, total: int) -> np.ndarray:
    period = rng.integers(2, 5, size=(BLOCK, 1))
    pattern = rng.integers(10, size=(BLOCK, 4))
    return np.take_along_axis(pattern, np.arange(total)[None] % period, axis=1)


def _alternate(rng: np.random.Generator, total: int) -> np.ndarray:
    start, step = rng.integers(10, size=(2, BLOCK, 2))
    turn = np.arange(total)
    return (start[:, turn % 2] + step[:, turn % 2] * (turn // 2)) % 10


RULES = ("arithmetic", "repeat", "alternate")
MAKERS = (_arithmetic, _repeat, _alternate)


def _rows(terms: np.ndarray, shown: int, rule: np.ndarray, item: np.ndarray) -> GridSplit:
    n, total = terms.shape
    inputs = np.full((n, 1, total + 1), QUERY, dtype=np.uint8)
    inputs[:, 0, :shown] = terms[:, :shown] + DIGIT0
    inputs[:, 0, shown] = EQUALS
    targets = np.full_like(inputs, STORED_IGNORE)
    targets[:, 0, shown + 1 :] = terms[:, shown:] + DIGIT0
    return GridSplit(inputs, targets, rule, item, item)
