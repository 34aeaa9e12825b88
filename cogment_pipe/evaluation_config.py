"""How checkpoints are evaluated: pydantic models, torch-free; nothing here can change a weight."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cogment_pipe.stage_config import HomeConfig
from cogment_pipe.task_config import Count, Rate, Strict


class EvaluationConfig(Strict):
    """How checkpoints are scored; editing it evaluates again and trains nothing."""

    batch_size: Count = Field(100, description="items per forward pass")
    threads: int | None = Field(None, ge=1, description="torch threads; none: the scale's own")
    items: int | None = Field(None, ge=1, description="test items of each task; none: all")
    ahead: int | None = Field(
        None, ge=1, description="test items of each task of stages not yet trained; none: all"
    )
    bootstrap: Count = Field(1000, description="resamples behind the 95% intervals")
    examples: int = Field(4, ge=0, description="items per task kept with every refinement step")
    max_new_tokens: Count = Field(64, description="longest generated answer")
    halting: Literal["none", "threshold", "exact"] = Field(
        "none", description="early exit of the headline scores; the others are reported beside it"
    )
    exact_threshold: Rate = Field(0.95, description="correctness probability that ends a row")
    votes: int = Field(
        0, ge=0, description="augmented copies of an ARC item that vote on its two attempts; 0: off"
    )
    rollouts: Count = Field(
        1, description="starting states of a grid, ranked by the correctness logit; 1: off"
    )
    more_items: int | None = Field(
        None, ge=1, description="test items of votes and rollouts; none: those of the single pass"
    )


class EvaluationSlice(Strict):
    """All that the scores of any checkpoint depend on, besides checkpoint, data and code."""

    seed: int
    scale: str
    homes: dict[int, HomeConfig]
    evaluation: EvaluationConfig
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: Count = 2
    deterministic: bool = True
