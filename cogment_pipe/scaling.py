"""What the curriculum costs, on paper: operations of each stage and hours under an assumption.

Counted, never measured: forward operations from `model.budget`, three times that for a training
step, four times where activations are computed again. `python -m cogment_pipe.scaling` prints the
tables of docs/scaling.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from cogment_pipe.commands import ARC_CONTEXT, ARC_GENERATORS
from cogment_pipe.config import TEXT_STAGES, PipelineConfig, load_config
from cogment_pipe.model.budget import (
    Workload,
    context_flops,
    head_flops,
    parameters,
    step_flops,
)
from cogment_pipe.stage_config import StageConfig

PEAK = 989e12
"""bf16 operations a second of one H100 SXM, dense, by its data sheet."""
SHARES = (0.001, 0.005, 0.02)
"""Shares of the peak that may be sustained: assumptions, for want of a measurement."""
DEVICES = (1, 4, 8)
LINK = 300e9
"""Bytes a second of an all-reduce within a machine: an assumption."""


@dataclass(frozen=True)
class StageCost:
    """Operations of one stage: of a training step, of all steps, and of looks at held-out items."""

    stage: int
    steps: int
    batch: int
    rows: float
    step: float
    training: float
    validation: float

    @property
    def total(self) -> float:
        """Operations of the whole stage."""
        return self.training + self.validation

    def hours(self, share: float, devices: int = 1) -> float:
        """Hours where every device sustains `share` of its peak; validation is not shared out."""
        spread = math.ceil(self.batch / min(devices, self.batch)) / self.batch
        return (self.training * spread + self.validation) / (PEAK * share) / 3600


def stage_cost(config: PipelineConfig, k: int) -> StageCost:
    """The cost of stage k at its greatest lengths; replayed items count as its own."""
    stage = config.stages[k]
    forward = _forward(config, k, stage)
    recurring = stage.max_refinement_steps if stage.update == "joint" else 1
    copies = stage.augmentation_rate if stage.loss.consistency > 0 else 0.0
    rows = stage.batch_size * (1.0 + copies)
    passes = 4 if stage.activation_checkpointing else 3
    step = rows * passes * forward(recurring)
    looks = stage.max_steps // stage.eval_every
    items = stage.eval_items * len(stage.corpora if stage.source == "corpora" else stage.tasks)
    validation = looks * items * forward(stage.max_refinement_steps)
    return StageCost(
        k, stage.max_steps, stage.batch_size, rows, step, step * stage.max_steps, validation
    )


def _forward(config: PipelineConfig, k: int, stage: StageConfig):
    """Operations of one sequence with so many refinement steps of its last segment."""
    text = k in TEXT_STAGES
    arc = [t.params for t in stage.tasks.values() if t.generator in ARC_GENERATORS]
    context = max((int(p.get("context_cells", ARC_CONTEXT)) for p in arc), default=0)
    work = Workload(stage.segment_length or stage.sequence_length, text, context)
    one = step_flops(config.model, work, stage.memory.read)
    head = head_flops(config.model, work)
    earlier = stage.sequence_length // stage.segment_length - 1 if stage.segment_length else 0
    demos = context_flops(config.model, work)
    return lambda steps: demos + one * (earlier * stage.segment_steps + steps) + head * steps


def exchange_seconds(config: PipelineConfig, devices: int) -> float:
    """Time to sum one step's fp32 gradients over devices in a ring."""
    return 2 * (devices - 1) / devices * 4 * parameters(config.model)["total"] / LINK


def snapshot_bytes(config: PipelineConfig) -> int:
    """fp32 weights, their average, two moments, and the filter of core and memory; no carries."""
    counts = parameters(config.model)
    filtered = counts["core"] + counts["memory"] if config.grokfast.enabled else 0
    return 4 * (4 * counts["total"] + filtered)


def tables(config: PipelineConfig) -> str:
    """Both tables, in Markdown."""
    costs = [stage_cost(config, k) for k in config.stages]
    lines = [
        "| stage | steps | rows a step | TFLOP a step | PFLOP in all |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {cost.stage} | {cost.steps:,} | {cost.rows:.1f} | {cost.step / 1e12:.2f} "
        f"| {cost.total / 1e15:.1f} |"
        for cost in costs
    ]
    total = sum(cost.total for cost in costs)
    lines += [f"| all | {sum(c.steps for c in costs):,} | | | {total / 1e15:.1f} |", ""]
    lines.append("| share of peak | " + " | ".join(f"{n} GPU" for n in DEVICES) + " |")
    lines.append("|---|" + "---|" * len(DEVICES))
    for share in SHARES:
        hours = [sum(_hours(config, cost, share, n) for cost in costs) for n in DEVICES]
        lines.append(f"| {share:.1%} | " + " | ".join(f"{h:.1f} h" for h in hours) + " |")
    return "\n".join(lines)


def _hours(config: PipelineConfig, cost: StageCost, share: float, devices: int) -> float:
    used = min(devices, cost.batch)
    return cost.hours(share, used) + cost.steps * exchange_seconds(config, used) / 3600


if __name__ == "__main__":
    project = Path(__file__).resolve().parents[1]
    print(tables(load_config(project, project, {"scale": "full"})))
