"""How fast data are made: generators, ARC augmentation, and batches beside the training they feed.

All rates are per CPU second of this process on one thread (`time.process_time`), so that whatever
else a machine does does not count. `snakemake docs/evidence/data-throughput.json` runs it.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cogment_pipe.data.arc_dataset import ArcTask
from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.generators import Draws, maze, sudoku
from cogment_pipe.data.storage import write_json
from cogment_pipe.determinism import set_determinism
from cogment_pipe.errors import CogmentError
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import StageSlice
from cogment_pipe.stage_run import stage_of
from cogment_pipe.stage_trainer import StageData, StageTrainer

RUNS = 3
LEAST = {"sudoku_4x4": 2000, "sudoku_9x9": 100, "maze_15x15": 500, "arc_grids": 5000, "ratio": 10}
WARM_UP = 2  # steps: the first ones pay for caches and lazy imports
ROWS = 64


class Metered:
    """A task that adds up the CPU time of its batches and the rows in them."""

    def __init__(self, task: Any) -> None:
        self._task, self.seconds, self.rows = task, 0.0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def __len__(self) -> int:
        return len(self._task)

    def batch(self, index: np.ndarray, **options: Any) -> Any:
        """The task's batch."""
        start = time.process_time()
        made = self._task.batch(index, **options)
        self.seconds += time.process_time() - start
        self.rows += len(index)
        return made


def measure(data: list[Path], slices: dict[str, dict], command: str, steps: int, out: Path) -> None:
    """Measure everything on prepared stages `data` and write the figures to `out`.

    `slices` holds each stage's training slice. Raises CogmentError where a stage has no slice.
    """
    set_determinism(1, strict=True)
    figures = {**generators(), "arc_grids": arc_augmentation(data)}
    rates = {name: _figure(runs, LEAST[name]) for name, runs in figures.items() if runs}
    batches = {}
    for folder in data:
        k = str(stage_of(folder))
        if k not in slices:
            raise CogmentError(f"{folder}: no slice of stage {k} was given")
        batches[k] = beside_training(folder, StageSlice.model_validate(slices[k]), steps)
    write_json(
        Path(out),
        {
            "command": command,
            "scale": {s["scale"] for s in slices.values()}.pop(),
            "unit": "per CPU second (process_time) of one process with one thread",
            "processor": processor(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__}
            | {"numpy": np.__version__},
            "rates": rates,
            "batches": batches,
        },
    )


def generators() -> dict[str, list[float]]:
    """Items per CPU second of the three generators that have a rate to reach."""
    makes = {
        "sudoku_4x4": (sudoku, sudoku.SudokuParams(side=4), 2000),
        "sudoku_9x9": (sudoku, sudoku.SudokuParams(side=9), 300),
        "maze_15x15": (maze, maze.MazeParams(side=15), 1000),
    }
    return {
        name: _rates(lambda seed, m=made: _generate(*m, seed))  # one call makes `count` items
        for name, made in makes.items()
    }


def arc_augmentation(data: list[Path]) -> list[float]:
    """Augmented grids per CPU second, with all that makes them a batch; none without ARC."""
    tasks = [t for folder in data for t in load_stage(folder, "train").values()]
    for task in tasks:
        if isinstance(task, ArcTask) and task.metric == "arc":
            return _rates(lambda seed, t=task: _augment(t, seed))
    return []


def beside_training(folder: Path, slice: StageSlice, steps: int) -> dict[str, Any]:
    """Rows per CPU second of a stage's batches, and of the training steps that they feed.

    Replay is left out: its batches are those of earlier stages. The first steps of a stage take
    the most rows: a batch lasts one step there.
    """
    k = stage_of(folder)
    tasks = {n: Metered(t) for n, t in load_stage(folder, "train").items() if len(t)}
    alone = slice.model_copy(update={"stage": slice.stage.model_copy(update={"replay": 0.0})})
    own = StageData(k, tasks)
    trainer = StageTrainer(Cogment(slice.model), alone, k, [own], own)
    for _ in range(WARM_UP):
        trainer.train_step()
    for task in tasks.values():
        task.seconds, task.rows = 0.0, 0
    start = time.process_time()
    for _ in range(steps):
        trainer.train_step()
    whole = time.process_time() - start
    seconds, rows = sum(t.seconds for t in tasks.values()), sum(t.rows for t in tasks.values())
    made, used = rows / seconds, rows / (whole - seconds)
    return {
        "steps": steps,
        "rows": rows,
        "made": round(made, 1),
        "used": round(used, 1),
        **_figure([made / used], LEAST["ratio"]),
    }


def processor() -> str:
    """Name of the processor as Linux tells it, else what Python knows."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _generate(module: Any, params: Any, count: int, seed: int) -> int:
    module.generate(params, {"train": count}, Draws(seed, 2, "benchmark"))
    return count


def _augment(task: ArcTask, seed: int) -> int:
    """Grids of the augmented rows among some batches."""
    rng, grids = np.random.default_rng(seed), 0
    for _ in range(8):
        batch = task.batch(rng.integers(len(task), size=ROWS), rng=rng, augment=True)
        pairs = batch.context_position[:, :, 2].max(axis=1) + 2  # demonstrations and the query
        changed = np.array([change is not None for change in batch.augmented])
        grids += 2 * int(pairs[changed].sum())
    return grids


def _rates(work: Callable[[int], int]) -> list[float]:
    work(RUNS)  # tables that are made once
    rates = []
    for seed in range(RUNS):
        start = time.process_time()
        items = work(seed)
        rates.append(items / (time.process_time() - start))
    return rates


def _figure(runs: list[float], least: float) -> dict[str, Any]:
    value = statistics.median(runs)
    digits = 1 if value < 1000 else None
    told = {"value": round(value, digits), "at_least": least, "reached": value >= least}
    return told | ({"runs": [round(run, digits) for run in runs]} if len(runs) > 1 else {})
