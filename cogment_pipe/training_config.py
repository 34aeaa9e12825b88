"""What a training run from Python is configured by, and what it reports of each stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cogment_pipe.curriculum import FourStageCurriculum
from cogment_pipe.stage_config import (
    GrokFastConfig,
    ModelConfig,
    MultiOptimizerConfig,
    StageConfig,
)


@dataclass
class TrainingConfig:
    """What a run of `CogmentTrainer` depends on, besides data and code.

    Args:
        model_config: sizes of the model.
        optimizer_config: rates per component, at a stage learning rate of 3e-4.
        grokfast_config: the gradient filter; a stage has to turn it on as well.
        use_curriculum: take stages from `FourStageCurriculum(scale)`; False: `stages` has the only
            one, `start_stage`.
        auto_advance_stages: go on to the next stage when one ends; False: stop there, `advance`
            goes on.
        seed: root of every random draw, 0 to 2^31 - 1.
        precision: `auto` is bf16 on CUDA that has it, else fp32.
        threads: torch threads; they fix the order of sums and so the bits. None leaves them alone.
        deterministic: refuse operations that have no deterministic kernel.
        start_stage, stop_after: first and last stage, 0 to 4.
        stages: configurations in place of the curriculum's, by stage number.
        scale: which table of the curriculum: `full`, `small` or `tiny`.
        on_unmet: `fail` raises CogmentError where a stage ends on a plateau below its criteria.

    Raises:
        ValueError: a stage number outside 0..4, or no configuration for the only stage.
    """

    model_config: ModelConfig = field(default_factory=ModelConfig)
    optimizer_config: MultiOptimizerConfig = field(default_factory=MultiOptimizerConfig)
    grokfast_config: GrokFastConfig = field(default_factory=GrokFastConfig)
    use_curriculum: bool = True
    auto_advance_stages: bool = True
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = None
    deterministic: bool = True
    start_stage: int = 0
    stop_after: int = 4
    stages: dict[int, StageConfig] | None = None
    scale: Literal["full", "small", "tiny"] = "full"
    on_unmet: Literal["continue", "fail"] = "continue"

    def __post_init__(self) -> None:
        if not 0 <= self.start_stage <= self.stop_after <= 4:
            raise ValueError(
                f"0 <= start_stage <= stop_after <= 4 does not hold for {self.start_stage} and "
                f"{self.stop_after}"
            )
        if not self.use_curriculum and self.start_stage not in (self.stages or {}):
            raise ValueError(f"without the curriculum, stages must have {self.start_stage}")

    def stage_configs(self) -> dict[int, StageConfig]:
        """Every stage's configuration: the curriculum's, under those of `stages`."""
        own = {int(number): stage for number, stage in (self.stages or {}).items()}
        if not self.use_curriculum or own.keys() >= set(range(self.stop_after + 1)):
            return own
        curriculum = FourStageCurriculum(self.scale)
        return {int(k): curriculum.get_stage_config(k) for k in curriculum} | own


@dataclass
class StageResult:
    """How a stage went: one entry of the history.

    verdict: `converged`, `plateau_unmet`, `budget`, `left` (by `advance`), or None while it is
    unfinished; reason: why, in words; validation: the last validation record, as in metrics.jsonl.
    """

    stage: int
    name: str
    steps: int = 0
    verdict: str | None = None
    reason: str = "unfinished"
    validation: dict[str, Any] | None = None
