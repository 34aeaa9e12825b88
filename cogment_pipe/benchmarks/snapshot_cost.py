"""What a mid-stage snapshot costs, against the training steps between two of them.

Real weights, moments, filter, average and carries of a stage at any scale, written by the store
that training uses; the puzzles are random grids, since only their size matters here. From the
project: `python -m cogment_pipe.benchmarks.snapshot_cost --scale full --out FILE`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cogment_pipe import checkpoint
from cogment_pipe.atomic import write_json
from cogment_pipe.commands import project_folder
from cogment_pipe.config import PipelineConfig, load_config
from cogment_pipe.data.batch import TASK_IDS, GridBatch
from cogment_pipe.determinism import environment, set_determinism
from cogment_pipe.metrics import MetricLog
from cogment_pipe.model.model import Cogment
from cogment_pipe.slices import stage_slice
from cogment_pipe.snapshots import SnapshotStore
from cogment_pipe.stage_config import StageConfig, StageSlice
from cogment_pipe.stage_run import pick_device, pick_precision
from cogment_pipe.stage_trainer import StageData, StageTrainer
from cogment_pipe.trainer import run_state

STAGE, SIDE = 2, 9
BOUND = 0.01
"""Share of training time that snapshots may take."""


class RandomGrids:
    """Square puzzles, every cell asked for."""

    name, kind, task_id = "grids", "grid", TASK_IDS["grids"]
    weight, batch_size, metric, difficulty = 1.0, None, "grid_exact", None

    def __init__(self, side: int) -> None:
        self.side = side

    def __len__(self) -> int:
        return 64

    def batch(self, index: np.ndarray, **_options: object) -> GridBatch:
        """Rows by number; no augmentation."""
        draws = np.random.default_rng(0).integers(1, 10, (len(self), self.side, self.side))
        return GridBatch(self.name, self.task_id, draws[index], draws[index].copy(), index)


def side_of(stage: StageConfig) -> int:
    """Nine, as Sudoku has, or what the stage's greatest length leaves."""
    return min(SIDE, math.isqrt(stage.sequence_length))


def build(config: PipelineConfig, device: torch.device) -> StageTrainer:
    """The engine of stage `STAGE` as training builds it, without replay and twins."""
    content = json.loads(stage_slice(config, STAGE))
    content["stage"] |= {"replay": 0.0}
    content["stage"]["loss"] |= {"consistency": 0.0}
    parsed = StageSlice.model_validate(content)
    model = Cogment(parsed.model).to(device)
    data = StageData(STAGE, {"grids": RandomGrids(side_of(parsed.stage))})
    precision = pick_precision(parsed.precision, device)
    return StageTrainer(model, parsed, STAGE, [data], data, device=device, precision=precision)


def measure(
    config: PipelineConfig, folder: Path, *, device: str = "cpu", steps: int = 3, saves: int = 3
) -> dict[str, object]:
    """Seconds of a step, of writing and of reading a snapshot, and what follows from them.

    Args:
        folder: where the snapshots go: the disk that is measured.
        steps, saves: how many are timed, after one of each that is not; medians count.
    """
    set_determinism(config.threads, config.deterministic)
    target = pick_device(device)
    trainer = build(config, target)
    metrics = MetricLog(folder / "metrics.jsonl")
    where = environment(target, trainer.precision)

    def step() -> None:
        trainer.train_step()
        if target.type == "cuda":
            torch.cuda.synchronize()

    step_seconds = _median(step, steps)
    with SnapshotStore(folder, {"benchmark": "snapshot_cost"}, where) as store:

        def save() -> None:
            trainer.step_count += 1  # a snapshot of its own
            tensors, meta = run_state(trainer, metrics)
            paths.append(store.save(trainer.step_count, tensors, meta))

        paths: list[Path] = []
        save_seconds = _median(save, saves)
        size = paths[-1].stat().st_size
        load_seconds = _median(lambda: checkpoint.load(paths[-1]), 1)
    every = config.runtime.snapshot_every
    return {
        "scale": config.scale,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "stage": STAGE,
        "rows": trainer.stage.batch_size,
        "cells": side_of(trainer.stage) ** 2,
        "snapshot_bytes": size,
        "save_seconds": round(save_seconds, 3),
        "load_seconds": round(load_seconds, 3),
        "step_seconds": round(step_seconds, 4),
        "snapshot_every": every,
        "share_of_training": round(save_seconds / (every * step_seconds + save_seconds), 5),
        "step_seconds_for_bound": round(save_seconds * (1 - BOUND) / (BOUND * every), 4),
        "bound": BOUND,
        "runs": {"steps": steps, "saves": saves},
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "environment": where,
    }


def _median(action: Callable[[], object], count: int) -> float:
    action()
    found = []
    for _ in range(count):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def main() -> int:
    """The command's entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=["tiny", "small", "full"], default="full")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--folder", type=Path, help="disk to measure; default: the temporary one")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    config = load_config(project_folder(), None, {"scale": options.scale})
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = measure(config, Path(folder), device=options.device)
    write_json(options.out, found | {"caveat": "one run; other work may have shared the machine"})
    print(options.out.read_text(encoding="utf-8"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
