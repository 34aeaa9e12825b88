"""How the cost of a step grows: with refinement steps, and with segments of a document.

Each point is a trainer of its own in one process, whose peak memory is reset before every step.
"""

from __future__ import annotations

import gc
import os
import statistics
from dataclasses import asdict
from pathlib import Path

import torch

from cogment_pipe.atomic import canonical_json, write_bytes
from cogment_pipe.benchmark_config import ThroughputSlice
from cogment_pipe.benchmarks.throughput.measure import MEBI, shape_of, usable_threads
from cogment_pipe.benchmarks.throughput.meters import MachineRates, Others, Peak, timed
from cogment_pipe.benchmarks.throughput.work import Shape, build
from cogment_pipe.determinism import environment, set_determinism
from cogment_pipe.stage_run import pick_device


def measure_sweep(slice: dict, out: Path, device: str = "auto") -> dict:
    """Time a stage at several refinement steps and at several segments; write and return it."""
    part = ThroughputSlice.model_validate(slice)
    threads = usable_threads(part)
    set_determinism(threads, part.stage_slice.deterministic)
    target = pick_device(device)
    shape = shape_of(part)
    refined, documents = [], []
    with Others() as others:
        for recompute in (False, True):
            for steps in part.refinement:
                changed = shape.but(steps=steps, depth=steps)
                refined.append(_point(part, changed, recompute, target))
        for segments in part.segments if shape.text else ():
            changed = shape.but(earlier=segments - 1)
            documents.append(_point(part, changed, True, target))
    found = {
        "kind": "sweep",
        "scale": part.stage_slice.scale,
        "stage": part.stage,
        "rows": shape.rows,
        "length": shape.length,
        "threads": threads,
        "cores": os.cpu_count(),
        "others": round(others.share, 4),
        "repeats": part.repeats,
        "environment": environment(target, "fp32"),
        "refinement": refined,
        "segments": documents,
    }
    write_bytes(Path(out), (canonical_json(found) + "\n").encode())
    return found


def _point(part: ThroughputSlice, shape: Shape, recompute: bool, device: torch.device) -> dict:
    content = part.stage_slice.model_dump(mode="json")
    # all refinement steps in one optimizer step, whatever the stage does: that is what is varied
    content["stage"] |= {"activation_checkpointing": recompute, "update": "joint"}
    trainer = build(content, part.stage, shape, device)
    rates = MachineRates({"fp32": torch.float32}, device)
    for _ in range(part.warmup):
        trainer.train_step()
    seconds, peaks, beside = [], [], []
    for _ in range(part.repeats):
        beside.append(rates.take()["fp32"])
        with Peak(device) as peak:
            seconds.append(timed(trainer.train_step, device))
        if peak.highest is not None:
            peaks.append((peak.highest - peak.before, peak.highest))
    products = [a * b for a, b in zip(seconds, beside, strict=True)]
    del trainer
    gc.collect()
    return {
        **{name: asdict(shape)[name] for name in ("steps", "earlier")},
        "checkpointing": recompute,
        "step_seconds": float(f"{statistics.median(seconds):.4g}"),
        # seconds times the machine's rate in the same moment: cost in its own products
        "cost": float(f"{statistics.median(products) / 1e9:.4g}"),
        "step_mib": round(max(p[0] for p in peaks) / MEBI) if peaks else None,
        "peak_mib": round(max(p[1] for p in peaks) / MEBI) if peaks else None,
    }
