"""The training engine of one stage: which task a step trains on, the joint step, validation.

It owns the state of a run (model, optimizers, weight average, streams, detector) and nothing of
files; `trainer` reads and writes those, `CogmentTrainer` is the same engine for Python users.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch

from cogment_pipe.data.sampler import task_at
from cogment_pipe.detect import ConvergenceDetector
from cogment_pipe.distributed import ALONE, World
from cogment_pipe.ema import WeightAverage
from cogment_pipe.lanes import Lanes
from cogment_pipe.losses import joint_loss
from cogment_pipe.model.act import ponder_price
from cogment_pipe.model.feed import to_feed
from cogment_pipe.model.memory import MemoryState, WriteStats
from cogment_pipe.model.model import Cogment
from cogment_pipe.optim import JointOptimizer
from cogment_pipe.stage_config import HomeConfig, StageConfig, StageSlice
from cogment_pipe.streams import TaskStream


@dataclass
class StageData:
    """Items of one stage: its number and its tasks by name."""

    stage: int
    tasks: dict[str, object]


class StageTrainer:
    """One stage's training, step by step; deterministic in its arguments."""

    def __init__(
        self,
        model: Cogment,
        slice: StageSlice,
        stage: int,
        train: list[StageData],
        validation: StageData,
        *,
        device: torch.device | str = "cpu",
        precision: str = "fp32",
        world: World = ALONE,
    ) -> None:
        """`train` holds this stage's data and, where it replays, that of earlier stages.

        Every process of `world` runs the same steps, each on its rows of the same batches.
        """
        self.world = world
        self.model, self.slice, self.stage_number = model, slice, stage
        self.stage, self.validation = slice.stage, validation
        self.device, self.precision = torch.device(device), precision
        self.optimizer = JointOptimizer(
            model.components(),
            slice.optimizer,
            slice.grokfast if slice.grokfast.enabled else None,
            self.stage,
            self.device,
            precision,
        )
        self.average = WeightAverage(model, self.stage.ema)
        self.detector = ConvergenceDetector(self.stage)
        self.lanes: Lanes | None = None
        if self.stage.lanes > 1 and self.device.type == "cpu":
            self.lanes = Lanes(
                self.stage.lanes,
                slice.threads,
                self.optimizer.parameters,
                lambda update: self.optimizer.scale(update.parts.loss),
                lambda: self.autocast(cached=False),
            )
        self.weights: dict[str, float] = {}
        self.streams: dict[str, TaskStream] = {}
        for data in train:
            self._add_streams(data)
        self.step_count = 0
        self.train_accuracy = 0.0

    def _add_streams(self, data: StageData) -> None:
        own = data.stage == self.stage_number
        replayed = self.stage.replay
        if not own and replayed == 0.0:
            return
        home = HomeConfig.of(self.stage) if own else self.slice.homes[data.stage]
        n_earlier = self.stage_number
        # a weight is what a task needs to be learnt; to be remembered all are alike
        shares = {name: task.weight if own else 1.0 for name, task in data.tasks.items()}
        share = (1.0 - replayed) if own and n_earlier else 1.0 if own else replayed / n_earlier
        for name, task in data.tasks.items():
            key = name if own else f"stage{data.stage}.{name}"
            self.weights[key] = share * shares[name] / sum(shares.values())
            self.streams[key] = TaskStream(
                task,
                _as_stage(self.stage, home.for_task(name)),
                data.stage,
                seed=self.slice.seed,
                training_stage=self.stage_number,
                device=self.device,
                augment=True,
                world=self.world,
                trim=self.slice.model.mixer != "token_mlp",
            )

    def autocast(self, cached: bool = True) -> AbstractContextManager:
        """Mixed precision of the forward pass; off under fp32. `cached`: cast each weight once."""
        kind = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(
            self.device.type, kind, enabled=self.precision != "fp32", cache_enabled=cached
        )

    def train_step(self) -> dict[str, object]:
        """One optimizer step; returns what metrics.jsonl says of it."""
        stage, applied = self.stage, self.optimizer.applied
        name = task_at(self.step_count, self.weights)
        price = ponder_price(applied, stage.max_steps, stage.ponder_start, stage.ponder_end)
        with self.autocast():
            update = self.streams[name].update(
                self.model,
                stage.loss,
                price,
                stage.label_smoothing,
                lambda loss: self.optimizer.scale(loss).backward(),
                applied / stage.max_steps,
                self.lanes,
            )
        self.world.sum_gradients(self.optimizer.parameters)
        info = self.optimizer.step()
        self.step_count += 1
        if info.applied:
            self.average.update()
            self._consolidate(update)
        record: dict[str, object] = {"event": "train", "step": self.step_count, "task": name}
        record |= self._whole(update.parts.detached())
        record |= {"lr": info.lr, "grad_norm": info.grad_norm, "memory_gate": None}
        if update.writes is not None:
            record["memory_gate"] = self._gate(update.writes)
        if not info.applied:
            record["applied"] = False
        return record

    def _consolidate(self, update: object) -> None:
        writes = self.stage.memory
        every = writes.consolidate_every
        if every and update.writes is not None and self.optimizer.applied % every == 0:
            ended = MemoryState(self._mean(update.memory.matrix.detach()))
            self.model.memory.consolidate(ended, writes.consolidate_rate)

    def _whole(self, parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Loss parts of the whole batch; a micro-batch's are weighed by its share already."""
        if self.world.size == 1:
            return parts
        sums = self.world.sum(torch.stack([part.float() for part in parts.values()]))
        return dict(zip(parts, sums.unbind(), strict=True))

    def _mean(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, ...) of this process -> (1, ...) mean over the rows of all; alone: as it is."""
        if self.world.size == 1:
            return rows
        count = self.world.sum(torch.tensor([float(len(rows))], device=rows.device))
        return self.world.sum(rows.sum(0, keepdim=True)) / count

    def _gate(self, writes: WriteStats) -> torch.Tensor:
        """Mean gate over the positions that wrote: rows without a segment do not count."""
        gate = (writes.gate.mean(-1) * writes.positions).sum()
        total, positions = self.world.sum(torch.stack([gate, writes.positions.sum()]))
        return total / positions

    def note_training(self, records: list[dict]) -> None:
        """Keep a running mean of training accuracy, which grokking detection compares with."""
        for record in records:
            if record["exact"] is not None:
                self.train_accuracy += 0.05 * (record["exact"] - self.train_accuracy)

    # -- validation ----------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self) -> dict[str, object]:
        """Look at held-out items with the averaged weights; means per task, then over tasks."""
        tasks = {}
        with self.average.swapped(self.model), self.autocast():
            for name, data in self.validation.tasks.items():
                tasks[name] = self._validate_task(data)
        means = {
            key: float(np.mean([t[key] for t in tasks.values()]))
            for key in ("exact", "accuracy", "loss", "ponder")
        }
        better = self.detector.update(
            self.step_count,
            accuracy=means["exact"],
            loss=means["loss"],
            ponder=means["ponder"],
            train_accuracy=self.train_accuracy,
        )
        return {
            "event": "validation",
            "step": self.step_count,
            "accuracy": means["exact"],
            "cells": means["accuracy"],
            "loss": means["loss"],
            "ponder": means["ponder"],
            "best": better,
            "tasks": tasks,
        }

    def _validate_task(self, data: object) -> dict[str, float]:
        """Sequence accuracy under teacher forcing equals that of greedy decoding: both need every
        argmax right given the right tokens before it."""
        stage = _as_stage(self.stage, HomeConfig.of(self.stage).for_task(data.name))
        size = data.batch_size or stage.batch_size
        items = min(len(data), stage.eval_items)
        sums = {"exact": 0.0, "accuracy": 0.0, "loss": 0.0, "ponder": 0.0}
        targets = 0
        for start in range(0, items, size):
            index = np.arange(start, min(start + size, items))
            feed = to_feed(data.batch(index), self.validation.stage, self.device)
            encoded = self.model.prepare(feed, stage.memory, stage.segment_steps)
            carry, outputs = self.model.start(encoded), []
            for _ in range(stage.max_refinement_steps):
                carry = self.model.step(encoded, carry)
                outputs.append(self.model.outputs(encoded, carry))
            parts = joint_loss(
                outputs,
                encoded.labels,
                encoded.row,
                weights=stage.loss,
                threshold=stage.act_threshold,
                price=0.0,
            )
            last = -torch.log_softmax(outputs[-1].logits.float(), -1)
            loss = last.gather(1, encoded.labels.unsqueeze(1)).mean()
            for key, value in (("exact", parts.solved), ("ponder", parts.ponder)):
                sums[key] += float(value) * len(index)
            for key, value in (("accuracy", parts.accuracy), ("loss", loss)):
                sums[key] += float(value) * len(encoded.labels)
            targets += len(encoded.labels)
        counts = {"exact": items, "ponder": items, "accuracy": targets, "loss": targets}
        return {key: value / max(counts[key], 1) for key, value in sums.items()}

    def due(self) -> bool:
        """Whether this step ends with a look at the validation items."""
        return (
            self.step_count % self.stage.eval_every == 0 or self.step_count == self.stage.max_steps
        )

    def verdict(self) -> tuple[str, str] | None:
        """(verdict, reason) when the stage is over, else None."""
        if self.step_count >= self.stage.max_steps:
            found = self.detector.verdict(self.step_count)
            if found is not None and found[0] == "converged":
                return found
            return "budget", f"all {self.stage.max_steps} steps taken"
        return self.detector.verdict(self.step_count) if self.due() else None

    # -- state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, object]:
        """The whole run but for its files: what a snapshot must hold.

        All processes call it at the same step; only in process 0 is it complete.
        """
        streams = {name: s.state_dict() for name, s in sorted(self.streams.items())}
        for other in self.world.gather({n: s.get("chunks", {}) for n, s in streams.items()}):
            for name, chunks in other.items():
                if chunks:
                    streams[name]["chunks"] |= chunks
        return {
            "model": dict(self.model.named_parameters()),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "streams": streams,
            "detector": self.detector.state_dict(),
            "step": self.step_count,
            "train_accuracy": self.train_accuracy,
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue where `state_dict` was taken."""
        load_weights(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        for name, saved in state["streams"].items():
            self.streams[name].load_state_dict(saved, self.model.config.grid_symbols)
        self.detector.load_state_dict(state["detector"])
        self.step_count = int(state["step"])
        self.train_accuracy = float(state["train_accuracy"])


@torch.no_grad()
def load_weights(model: Cogment, weights: dict[str, torch.Tensor]) -> None:
    """Copy named weights into the model; ValueError where a name or shape does not fit."""
    own = dict(model.named_parameters())
    strange = sorted(set(own) ^ set(weights))
    if strange:
        raise ValueError(f"weights do not fit this model: {strange[0]} and {len(strange) - 1} more")
    for name, parameter in own.items():
        if parameter.shape != weights[name].shape:
            raise ValueError(
                f"weights do not fit this model: {name} is {tuple(weights[name].shape)}, "
                f"the config asks for {tuple(parameter.shape)}"
            )
        parameter.copy_(weights[name])


def read_scalars(record: dict[str, object]) -> dict[str, object]:
    """A metrics record with its tensors read from the device, rounded to fp32's own digits."""
    plain = {}
    for key, value in record.items():
        if isinstance(value, torch.Tensor):
            value = float(value)
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        plain[key] = value
    return plain


def _as_stage(stage: StageConfig, home: HomeConfig) -> StageConfig:
    """This stage's settings with those that a replayed item brings from its own stage."""
    names = [name for name in HomeConfig.model_fields if name != "task_steps"]
    return stage.model_copy(update={name: getattr(home, name) for name in names})
