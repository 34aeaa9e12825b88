"""Variants of the curriculum as small overlays; torch-free.

Outside of what a stage of the main run depends on, so editing it trains none of them.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from cogment_pipe.benchmark_config import Seed
from cogment_pipe.task_config import Count, Strict

BASE = "base"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]


class Variant(Strict):
    """One change of the curriculum: keys of stages, and keys of the whole configuration."""

    title: str = Field(description="what the variant is, as tables say it")
    stages: tuple[Annotated[int, Field(ge=0, le=4)], ...] = Field(
        (0, 1, 2, 3, 4), description="stages that `stage` changes"
    )
    stage: dict[str, Any] = Field({}, description="keys of each of `stages`")
    config: dict[str, Any] = Field({}, description="keys of the top level, such as grokfast")


class AblationsConfig(Strict):
    """Which variants are compared with the configuration itself, on which seeds and budget."""

    budget: float = Field(1 / 3, gt=0, le=1, description="share of every stage's steps")
    threads: Count | None = Field(
        None, description="torch threads of a run; with 1, a run on every core; null: as `threads`"
    )
    seeds: tuple[Seed, ...] = Field((0,), description="seeds of every variant")
    confirmed: tuple[Name, ...] = Field((), description="variants with more seeds")
    confirmed_seeds: tuple[Seed, ...] = Field((0, 1, 2), description="their seeds")
    only: tuple[Name, ...] | None = Field(None, description="variants to compare; none: all")
    variants: dict[Name, Variant] = Field({}, description="changes, by name")

    @model_validator(mode="after")
    def _check(self) -> AblationsConfig:
        if BASE in self.variants:
            raise ValueError(f"variants: {BASE!r} is the configuration itself, choose another name")
        named = {*self.confirmed, *(self.only or ())}
        for name in sorted(named - self.variants.keys()):
            raise ValueError(f"{name!r} is named in confirmed or only, and variants has no such")
        return self

    def compared(self) -> dict[str, tuple[int, ...]]:
        """Seeds of every variant that is compared, `base` first with all that any of them has."""
        chosen = tuple(self.variants) if self.only is None else self.only
        seeds = dict.fromkeys(chosen, self.seeds)
        for name in chosen:
            if name in self.confirmed:
                seeds[name] = tuple(sorted({*self.seeds, *self.confirmed_seeds}))
        every = sorted({*self.seeds, *(seed for each in seeds.values() for seed in each)})
        return {BASE: tuple(every), **seeds}
