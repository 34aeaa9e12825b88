"""Learning rate in closed form: a function of the count of applied steps, without state.

Nothing to save and nothing to lose at a resume; a skipped step does not move it.
"""

from __future__ import annotations

import math

from cogment_pipe.stage_config import MultiOptimizerConfig, StageConfig

REFERENCE_RATE = 3e-4
"""Stage learning rate at which the base rates of `MultiOptimizerConfig` hold as written."""

COMPONENTS = ("core", "memory", "halting", "other")
"""Components of parameters that have an optimizer of their own, in the order of a step."""


def multiplier(step: int, *, warmup: int, total: int, final: float) -> float:
    """Share of the full rate at applied step `step` (0 is the first).

    Rises linearly to 1 at the last of `warmup` steps, then falls by half a cosine to `final`, which
    the last of `total` steps has, and every step after it.
    """
    if step < warmup:
        return (step + 1) / warmup
    span = max(1, total - 1 - warmup)
    progress = min(1.0, (step - warmup) / span)
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress))


def rate(component: str, step: int, config: MultiOptimizerConfig, stage: StageConfig) -> float:
    """Learning rate of a component at applied step `step`: base x stage / 3e-4 x schedule.

    A stage's `core_rate` and `memory_rate` multiply those components' alone.
    """
    base = getattr(config, f"{component}_lr") * (stage.learning_rate / REFERENCE_RATE)
    if component in ("core", "memory"):
        base *= getattr(stage, f"{component}_rate")
    return base * multiplier(
        step, warmup=stage.warmup_steps, total=stage.max_steps, final=stage.final_lr_ratio
    )
