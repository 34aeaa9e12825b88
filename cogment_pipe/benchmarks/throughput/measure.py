"""One cell: a stage at a scale, trained a few steps in each way, beside the machine's own rates.

All ways (arms) take turns within one process: step by step plain, with activation checkpointing,
under bf16, compiled. So what slows the machine down for a while slows all of them.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
import torch

from cogment_pipe.atomic import canonical_json, write_bytes
from cogment_pipe.benchmark_config import ThroughputSlice
from cogment_pipe.benchmarks.throughput.meters import (
    MachineRates,
    Others,
    Peak,
    counting,
    profile,
    saving,
    timed,
)
from cogment_pipe.benchmarks.throughput.work import Shape, build
from cogment_pipe.determinism import environment, set_determinism
from cogment_pipe.stage_run import pick_device
from cogment_pipe.stage_trainer import StageTrainer
from cogment_pipe.streams import TaskStream

FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}
MEBI = 1 << 20


def measure_cell(slice: dict, out: Path, device: str = "auto") -> dict:
    """Time one cell and write it to `out`; returns what was written."""
    part = ThroughputSlice.model_validate(slice)
    threads = usable_threads(part)
    set_determinism(threads, part.stage_slice.deterministic)
    target = pick_device(device)
    shape = shape_of(part)
    trainer = build(part.stage_slice.model_dump(mode="json"), part.stage, shape, target)
    with Others() as others:
        cell = Cell(trainer, shape, target)
        cell.first_step()
        cell.prepare(part.arms, part.warmup)
        for _ in range(part.repeats):
            cell.round()
        where = cell.profiled()
    stage = part.stage_slice.stage
    found = {
        "kind": "cell",
        "scale": part.stage_slice.scale,
        "stage": part.stage,
        "name": stage.name,
        "shape": asdict(shape),
        "own_rows": stage.batch_size,
        "trained_with": "checkpointing" if stage.activation_checkpointing else "plain",
        "threads": threads,
        "cores": os.cpu_count(),
        "others": round(others.share, 4),
        "repeats": part.repeats,
        "environment": environment(target, trainer.precision),
        **cell.figures(),
        "profile": where,
    }
    write_bytes(Path(out), (canonical_json(found) + "\n").encode())
    return found


def usable_threads(part: ThroughputSlice) -> int:
    """The scale's own threads, but not more than there are cores."""
    return min(part.threads or part.stage_slice.threads, os.cpu_count() or 1)


def shape_of(part: ThroughputSlice) -> Shape:
    """Sizes of the step that is timed."""
    shape = Shape.of(part.stage_slice.stage, part.text, part.context)
    return shape.but(rows=part.rows) if part.rows else shape


@dataclass
class Arm:
    """One way to train: its stream, what it changes, and what was measured of it."""

    name: str
    stream: TaskStream
    seconds: list[float] = field(default_factory=list)
    rates: list[dict[str, float]] = field(default_factory=list)
    peaks: list[int | None] = field(default_factory=list)
    warmup_seconds: float = 0.0
    error: str | None = None


class Cell:
    """A trainer that takes its steps now in this way, now in that."""

    def __init__(self, trainer: StageTrainer, shape: Shape, device: torch.device) -> None:
        self.trainer, self.shape, self.device = trainer, shape, device
        self.rates = MachineRates(FORMATS, device)
        self.arms: list[Arm] = []
        self.counts: dict[str, int] = {}
        self.first: dict[str, float] = {}

    def first_step(self) -> None:
        """The first step of the process, counted operation by operation."""
        self._enter(Arm("plain", self._stream("plain")))
        with self._one_lane(), counting(self.counts), saving(self.counts):
            seconds = timed(self.trainer.train_step, self.device)
        started = psutil.Process().create_time()
        self.first = {"first_step_seconds": round(seconds, 3)}
        self.first["first_step_done_after_seconds"] = round(time.time() - started, 2)

    def prepare(self, names: tuple[str, ...], steps: int) -> None:
        """Warm every arm up; one that does not run is left out, with the reason."""
        for name in names:
            arm = Arm(name, self._stream(name))
            self.arms.append(arm)
            try:
                for _ in range(steps):
                    arm.warmup_seconds += timed(lambda a=arm: self._step(a), self.device)
            except Exception as error:  # any failure of a back end is the finding itself
                self.trainer.optimizer.zero_grad()
                arm.error = _first_line(error)

    def round(self) -> None:
        """One step of every arm, each after the machine's own rates."""
        for arm in self.arms:
            if arm.error is None:
                arm.rates.append(self.rates.take())
                with Peak(self.device) as peak:
                    arm.seconds.append(timed(lambda a=arm: self._step(a), self.device))
                arm.peaks.append(peak.highest)

    def profiled(self) -> dict[str, float]:
        """Shares of a plain step's time by kind of operation."""
        arm = Arm("plain", self._stream("plain"))
        with self._one_lane():
            self._step(arm)
            return profile(lambda: self._step(arm))

    @contextmanager
    def _one_lane(self) -> Iterator[None]:
        """Micro-batches one after the other: torch counts and profiles the calling thread alone."""
        lanes, self.trainer.lanes = self.trainer.lanes, None
        try:
            yield
        finally:
            self.trainer.lanes = lanes

    def figures(self) -> dict:
        """Everything measured, as plain values."""
        model = self.trainer.model
        return {
            **self.first,
            **self.counts,
            "operations": self.shape.operations(model.config),
            "parameters": sum(p.numel() for p in model.parameters()),
            "update_bytes": update_bytes(self.trainer),
            "products": {name: round(self.rates.products(name)) for name in FORMATS},
            "bandwidth": round(self.rates.bandwidth),
            "arms": {arm.name: self._figures(arm) for arm in self.arms},
        }

    def _figures(self, arm: Arm) -> dict:
        if arm.error is not None:
            return {"error": arm.error}
        operations, shape = self.shape.operations(self.trainer.model.config), self.shape
        counted = self.counts["counted"]
        median = statistics.median(arm.seconds)
        shares = [
            1.0 / (seconds * rates["fp32"])
            for seconds, rates in zip(arm.seconds, arm.rates, strict=True)
        ]
        refined = shape.rows * shape.steps / median
        peaks = [peak for peak in arm.peaks if peak is not None]
        return {
            "step_seconds": _short(median),
            "runs": [_short(seconds) for seconds in arm.seconds],
            "warmup_seconds": _short(arm.warmup_seconds),
            "samples_per_second": _short(refined / shape.depth),
            "refinement_steps_per_second": _short(refined),
            "operations_per_second": round(operations / median),
            "share": _short(statistics.median(shares) * operations),
            "share_counted": _short(statistics.median(shares) * counted),
            "peak_mib": round(max(peaks) / MEBI) if peaks else None,
        }

    def _stream(self, name: str) -> TaskStream:
        """A stream of its own, so that every arm meets the same batches at the same phases."""
        (stream,) = self.trainer.streams.values()
        recompute = name == "checkpointing"
        home = stream.home.model_copy(update={"activation_checkpointing": recompute})
        return TaskStream(
            stream.data,
            home,
            stream.stage,
            seed=stream.seed,
            training_stage=stream.training_stage,
            device=self.device,
        )

    def _enter(self, arm: Arm) -> None:
        (name,) = self.trainer.streams
        self.trainer.streams[name] = arm.stream
        self.trainer.precision = "bf16" if arm.name == "bf16" else "fp32"
        for block in self.trainer.model.core.blocks:
            if arm.name != "compile":
                block._compiled_call_impl = None
            elif block._compiled_call_impl is None:
                block.compile()

    def _step(self, arm: Arm) -> None:
        self._enter(arm)
        self.trainer.train_step()


def update_bytes(trainer: StageTrainer) -> int:
    """Bytes that the optimizer's step has to move at least, by what it keeps of each parameter.

    Norm, clipping and AdamW read or write a gradient 4 times, its weight twice, its moments 4
    times; the filter, where there is one, reads and writes gradient and average (4); the weight
    average reads every weight and reads and writes its own copy (3).
    """
    state = trainer.optimizer.state_dict()
    moments = [t for held in state["moments"].values() for t in held.get("exp_avg", {}).values()]
    trained = sum(tensor.numel() for tensor in moments)
    filtered = sum(tensor.numel() for tensor in state["filter"]["average"].values())
    averaged = sum(parameter.numel() for parameter in trainer.model.parameters())
    return 4 * (10 * trained + 4 * filtered + 3 * averaged)


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
