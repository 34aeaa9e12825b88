"""Which cells the benchmark of speed has, and what each depends on. Torch-free.

A cell is a stage at a scale. Scales other than the run's own are timed as they are shipped.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from cogment_pipe.atomic import canonical_json
from cogment_pipe.benchmark_config import ThroughputPlan, ThroughputSlice
from cogment_pipe.commands import ARC_CONTEXT, ARC_GENERATORS
from cogment_pipe.config import TEXT_STAGES, PipelineConfig, load_config
from cogment_pipe.slices import stage_slice
from cogment_pipe.stage_config import StageConfig


def cells(plan: ThroughputPlan) -> list[str]:
    """Names of all cells."""
    return [f"{scale}-stage{k}" for scale in plan.scales for k in plan.stages]


def cell_slice(project: Path, config: PipelineConfig, suite: str, scale: str, k: int) -> str:
    """What a cell depends on."""
    plan = config.benchmarks.throughput.plan(suite)
    arms = plan.arms + (("compile",) if k in plan.compiled else ())
    return _slice(
        _at_scale(project, config, scale),
        k,
        rows=plan.rows.get(scale, {}).get(k),
        arms=tuple(dict.fromkeys(arms)),
        repeats=plan.repeats,
        warmup=plan.warmup,
        threads=plan.threads,
    )


def sweep_slice(project: Path, config: PipelineConfig, suite: str) -> str:
    """What the curves over refinement steps and segments depend on."""
    plan = config.benchmarks.throughput.plan(suite)
    sweep = plan.sweep
    return _slice(
        _at_scale(project, config, sweep.scale),
        sweep.stage,
        rows=sweep.rows,
        repeats=sweep.repeats,
        warmup=plan.warmup,
        threads=plan.threads,
        refinement=sweep.refinement,
        segments=sweep.segments,
    )


def start_slice(config: PipelineConfig, suite: str) -> str:
    """How often what starts is timed."""
    plan = config.benchmarks.throughput.plan(suite)
    names = ("start_repeats", "pipeline_repeats", "pipeline_stages")
    return canonical_json({name: getattr(plan, name) for name in names})


def demonstration_cells(stage: StageConfig) -> int:
    """Cells of demonstrations beside an item, 0 where the stage has no ARC tasks."""
    arc = [task.params for task in stage.tasks.values() if task.generator in ARC_GENERATORS]
    return max((int(params.get("context_cells", ARC_CONTEXT)) for params in arc), default=0)


def _slice(config: PipelineConfig, k: int, **settings: object) -> str:
    part = ThroughputSlice(
        stage=k,
        stage_slice=json.loads(stage_slice(config, k)),
        text=k in TEXT_STAGES,
        context=demonstration_cells(config.stages[k]),
        **settings,
    )
    return canonical_json(part.model_dump(mode="json"))


def _at_scale(project: Path, config: PipelineConfig, scale: str) -> PipelineConfig:
    return config if config.scale == scale else _shipped(project, scale)


@lru_cache
def _shipped(project: Path, scale: str) -> PipelineConfig:
    return load_config(project, None, {"scale": scale})
