"""Generated tasks in ARC's layout: demonstrations of one rule, and a query to apply it to.

Each task draws a family and its parameters anew. Every pair is accepted only where its hash (which
ignores symmetry and colour names) belongs to the split, so no pair of a test task, demonstrations
included, occurs in training.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np
from pydantic import Field, model_validator

from cogment_pipe.data.arc_task import ArcRecord, Pair, pair_hash
from cogment_pipe.data.generators import SPLITS, Draws, Params, split_of
from cogment_pipe.data.generators.arc_rules import FAMILIES, Rule
from cogment_pipe.errors import CogmentError

TRIES = 60


class ArcLikeParams(Params):
    """Canvas, demonstrations and families of rules."""

    side: int | None = Field(None, ge=6, le=30, description="canvas; None: from sequence_length")
    context_cells: int = Field(1024, ge=9, description="demonstration cells of an item, at most")
    demonstrations_min: int = Field(3, ge=1, le=10, description="fewest demonstrations")
    demonstrations_max: int = Field(4, ge=1, le=10, description="most demonstrations")
    families: list[str] = Field(
        list(FAMILIES), min_length=1, description="families of rules that tasks are drawn from"
    )

    @model_validator(mode="after")
    def _check(self) -> ArcLikeParams:
        unknown = sorted(set(self.families) - set(FAMILIES))
        if unknown:
            raise ValueError(f"families: {unknown[0]!r} is not one of {', '.join(FAMILIES)}")
        if self.demonstrations_min > self.demonstrations_max:
            raise ValueError("demonstrations_min must not exceed demonstrations_max")
        return self


def generate(
    params: ArcLikeParams,
    side: int,
    counts: dict[str, int],
    draws: Draws,
    taken: AbstractSet[int] = frozenset(),
) -> dict[str, list[ArcRecord]]:
    """Tasks of every split, each with one test pair; named family-number.

    No pair has a hash in `taken`: small grids may be those of a real task, met in another split.
    """
    return {
        split: [_task(params, side, split, number, draws, taken) for number in range(need)]
        for split, need in counts.items()
    }


def _task(
    params: ArcLikeParams, side: int, split: str, number: int, draws: Draws, taken: AbstractSet[int]
) -> ArcRecord:
    rng = draws.stream(split, number)
    for _ in range(TRIES):
        family = params.families[int(rng.integers(len(params.families)))]
        shown = int(rng.integers(params.demonstrations_min, params.demonstrations_max + 1))
        shown = min(shown, max(1, params.context_cells // side**2))
        pairs = _pairs(FAMILIES[family](rng, side), rng, shown + 1, split, taken)
        if pairs is not None:
            *shown_pairs, query = pairs.values()
            record = ArcRecord(f"{family}-{number}", tuple(shown_pairs), (query,))
            # Already known, and the dearest part of a task: hand it to the cached property.
            vars(record)["pair_hashes"] = np.array(list(pairs), dtype=np.uint64)
            return record
    raise CogmentError(
        f"stages.{draws.stage}.tasks.{draws.task}.{split}: no task fits side {side}; "
        f"raise params.side or change params.families"
    )


def _pairs(
    rule: Rule, rng: np.random.Generator, need: int, split: str, taken: AbstractSet[int]
) -> dict[int, Pair] | None:
    """Different pairs of one rule that belong to the split, by hash; None when too rare."""
    pairs: dict[int, Pair] = {}
    wanted = SPLITS.index(split)
    for _ in range(TRIES * need):
        given, made = rule(rng)
        if np.array_equal(given, made):
            continue
        mark = pair_hash((given, made))
        if (
            mark in taken
            or mark in pairs
            or split_of(np.array([mark], dtype=np.uint64))[0] != wanted
        ):
            continue
        pairs[mark] = (given, made)
        if len(pairs) == need:
            return pairs
    return None
