"""Streams: one task's endless sequence of batches and the states it carries between updates.

A stream knows how its task is trained (jointly over all refinement steps, or one optimizer step per
refinement step with the state carried on, detached). Batches are pure functions of their number, so
what a snapshot must hold is the number and, amid a batch, the carried tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from cogment_pipe.data.batch import TextBatch
from cogment_pipe.data.sampler import batch_indices
from cogment_pipe.data.twins import TwinBatch, align, take, twin_batch
from cogment_pipe.distributed import ALONE, World
from cogment_pipe.errors import CogmentError
from cogment_pipe.lanes import Lanes
from cogment_pipe.losses import (
    WHOLE,
    Alignment,
    History,
    LossParts,
    Share,
    joint_loss,
    step_loss,
)
from cogment_pipe.model.core import Carry
from cogment_pipe.model.feed import Feed, to_feed
from cogment_pipe.model.memory import MemoryState, WriteStats
from cogment_pipe.model.model import Cogment
from cogment_pipe.rng import stream
from cogment_pipe.stage_config import LossWeights, StageConfig


@dataclass
class Update:
    """What one update measured: loss parts, targets and rows behind them, the memory it left."""

    parts: LossParts
    targets: int
    rows: int
    writes: WriteStats | None
    memory: MemoryState | None


@dataclass
class Chunk:
    """Rows of a batch that go through the model together, and what they carry between updates."""

    feed: Feed
    alignment: Alignment | None = None
    share: Share = WHOLE
    carry: Carry | None = None
    history: History | None = None
    number: int = 0  # among the micro-batches of all processes

    def state_dict(self) -> dict[str, object]:
        """The carried tensors."""
        history = {f.name: getattr(self.history, f.name) for f in fields(History)}
        return {"carry": {"y": self.carry.y, "z": self.carry.z}, "history": history}

    def load_state_dict(self, state: dict, device: torch.device) -> None:
        """Go on with carried tensors."""
        move = lambda t: t.to(device) if isinstance(t, Tensor) else t  # noqa: E731
        self.carry = Carry(**{k: move(v) for k, v in state["carry"].items()})
        self.history = History(**{k: move(v) for k, v in state["history"].items()})


class TaskStream:
    """Batches of one task, in order, with the carry of the batch in progress."""

    def __init__(
        self,
        data: object,
        home: StageConfig,
        stage: int,
        *,
        seed: int,
        training_stage: int,
        device: torch.device,
        augment: bool = True,
        world: World = ALONE,
        trim: bool = True,
    ) -> None:
        """`home` is the configuration of the stage the task belongs to, `stage` its number.

        `trim`: grids of one row lose the padding that all rows of a micro-batch share; not for a
        model that is built for a number of cells.
        Of the micro-batches of a batch, process r of `world` has those of number r, r + size, ...
        """
        self.data, self.home, self.stage = data, home, stage
        self.seed, self.training_stage, self.device = seed, training_stage, device
        self.augment, self.world, self.trim = augment, world, trim
        self.updates = 0
        self.number, self.phase, self.depth = 0, 0, 1  # batch, its steps so far, its steps in all
        self.chunks: list[Chunk] = []

    def depth_at(self, progress: float) -> int:
        """Optimizer steps that a batch begun at `progress` (0..1 of the stage) lasts.

        With `depth_ramp` they grow from 1: early on, fresh items teach more than further steps.
        """
        home = self.home
        if home.update == "joint":
            return 1
        if home.depth_ramp == 0.0 or self.stage != self.training_stage:
            return home.max_refinement_steps
        share = min(1.0, progress / home.depth_ramp)
        return max(1, math.ceil(home.max_refinement_steps * share))

    @property
    def batch_size(self) -> int:
        """Rows of a batch, augmented copies not counted."""
        return self.data.batch_size or self.home.batch_size

    # -- batches -------------------------------------------------------------------------------

    def _batch(self, number: int, n_symbols: int) -> list[Chunk]:
        """Batch `number`, in micro-batches."""
        keys = {"seed": self.seed, "stage": self.training_stage, "task": self.data.name}
        sizes = getattr(self.data, "sizes", None)  # a user's own data may have none
        if self.home.length_buckets > 1:
            keys |= {"sizes": sizes, "buckets": self.home.length_buckets}
        index = batch_indices(len(self.data), self.batch_size, number, **keys)
        lengths = None
        if sizes is not None and self.home.accumulate * self.world.size > 1:
            # by length, so that each micro-batch is padded to its own longest row only
            index = index[np.argsort(sizes[index], kind="stable")]
            lengths = sizes[index] & 0xFFFFFFFF  # without the count of earlier segments
        purpose = f"batch/{self.data.name}"
        rng = stream(self.seed, self.training_stage, number, 0, purpose)
        if self.augment and self.home.loss.consistency > 0:
            twins = twin_batch(self.data, index, rng)
        else:
            batch = self.data.batch(index, rng=rng, augment=self.augment)
            twins = TwinBatch(batch, np.zeros(0, np.int64), [])
        chunks = self._split(twins, lengths, n_symbols)
        if self.stage == self.training_stage:
            # a replayed task comes with its own stage's lengths
            for chunk in chunks:
                chunk.feed.check_length(self.home.sequence_length)
        return chunks

    def _split(self, twins: TwinBatch, lengths: np.ndarray | None, n_symbols: int) -> list[Chunk]:
        """This process's micro-batches of nearly equal work; a twin stays beside its original."""
        n, world = len(twins.batch) - len(twins.source), self.world
        if n < world.size:
            raise CogmentError(
                f"task {self.data.name}: {n} rows cannot be spread over {world.size} devices; "
                "lower `devices` or raise batch_size"
            )
        parts = equal_parts(n, lengths, min(self.home.accumulate * world.size, n))
        chunks, sizes = [], []
        for number, part in enumerate(parts):
            mine = np.flatnonzero(np.isin(twins.source, part))
            batch = twins.batch
            if len(parts) > 1:
                batch = take(batch, np.concatenate([part, n + mine]))
            # twins know cells of whole grids
            if isinstance(batch, TextBatch) or (self.trim and not len(mine)):
                batch = batch.trimmed()
            changes = [twins.changes[i] for i in mine]
            targets = batch.targets.reshape(len(batch), -1)
            found = align(targets, twins.source[mine] - part[0], changes, n_symbols)
            alignment = None
            if len(found.original):
                rows = (found.original, found.augmented, found.symbols)
                alignment = Alignment(*(_tensor(a, self.device) for a in rows))
            sizes.append([(targets != -100).sum(), len(batch), len(found.original)])
            if number % world.size == world.rank:
                feed = to_feed(batch, self.stage, self.device)
                chunks.append(Chunk(feed, alignment, number=number))
        if len(parts) > 1:
            totals = np.maximum(np.sum(sizes, 0), 1)
            for chunk in chunks:
                chunk.share = Share(*(sizes[chunk.number] / totals).tolist())
        return chunks

    # -- updates -------------------------------------------------------------------------------

    def update(
        self,
        model: Cogment,
        weights: LossWeights,
        price: float,
        smoothing: float,
        backward: Callable[[Tensor], None],
        progress: float = 1.0,
        lanes: Lanes | None = None,
    ) -> Update:
        """Run the stream's next update and leave its gradients in the parameters.

        `backward` is given each micro-batch's loss; `lanes` take several at once instead.
        """
        if self.phase == 0:
            self.chunks = self._batch(self.number, model.config.grid_symbols)
            self.depth = self.depth_at(progress)
        self.updates += 1
        self.phase += 1
        run = self._per_step if self.home.update == "per_step" else self._joint
        compute = lambda chunk: run(chunk, model, weights, price, smoothing)  # noqa: E731
        if lanes is not None and len(self.chunks) > 1:
            found = lanes.run(compute, self.chunks)
        else:
            found = []
            for chunk in self.chunks:
                found.append(compute(chunk))
                backward(found[-1].parts.loss)
        if self.phase == self.depth:
            self.number, self.phase, self.chunks = self.number + 1, 0, []
        return found[0] if len(found) == 1 else _together(found)

    def _joint(
        self, chunk: Chunk, model: Cogment, weights: LossWeights, price: float, smoothing: float
    ) -> Update:
        home = self.home
        encoded = model.prepare(chunk.feed, home.memory, home.segment_steps)
        carry, outputs = model.start(encoded), []
        for _ in range(home.max_refinement_steps):
            carry = model.step(encoded, carry, home.activation_checkpointing)
            outputs.append(model.outputs(encoded, carry))
            if home.detach:
                carry = carry.detach()
        parts = joint_loss(
            outputs,
            encoded.labels,
            encoded.row,
            weights=weights,
            threshold=home.act_threshold,
            price=price,
            smoothing=smoothing,
            alignment=chunk.alignment,
            share=chunk.share,
        )
        rows = len(outputs[0].halt)
        return Update(parts, len(encoded.labels), rows, encoded.writes, encoded.memory)

    def _per_step(
        self, chunk: Chunk, model: Cogment, weights: LossWeights, price: float, smoothing: float
    ) -> Update:
        home = self.home
        encoded = model.prepare(chunk.feed, home.memory, home.segment_steps)
        halt_before = None
        if chunk.history is not None:
            halt_before = model.core.stop_logits(chunk.history.y, encoded.readable)[0]
        carry = model.start(encoded) if chunk.carry is None else chunk.carry
        carry = model.step(encoded, carry, home.activation_checkpointing)
        output = model.outputs(encoded, carry)
        parts, chunk.history = step_loss(
            output,
            carry.y,
            encoded.labels,
            encoded.row,
            chunk.history,
            halt_before,
            weights=weights,
            threshold=home.act_threshold,
            price=price,
            smoothing=smoothing,
            alignment=chunk.alignment,
            share=chunk.share,
        )
        chunk.carry = carry.detach()
        return Update(parts, len(encoded.labels), len(output.halt), encoded.writes, encoded.memory)

    # -- state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, object]:
        """Position and, amid a batch, the carried tensors of each micro-batch."""
        names = ("updates", "number", "phase", "depth")
        state: dict[str, object] = {name: getattr(self, name) for name in names}
        if self.chunks:
            state["chunks"] = {str(c.number): c.state_dict() for c in self.chunks}
        return state

    def load_state_dict(self, state: dict, n_symbols: int = 64) -> None:
        """Continue from `state_dict`; the batch in progress is made again from its number."""
        for name in ("updates", "number", "phase", "depth"):
            setattr(self, name, int(state[name]))
        self.chunks = []
        if "chunks" in state:
            self.chunks = self._batch(self.number, n_symbols)
            counts = self.world.gather(len(self.chunks))
            if sum(counts) != len(state["chunks"]):
                return  # split over another number of processes: this batch's states start anew
            for chunk in self.chunks:
                chunk.load_state_dict(state["chunks"][str(chunk.number)], self.device)


def equal_parts(n: int, lengths: np.ndarray | None, count: int) -> list[np.ndarray]:
    """Rows 0..n-1 in `count` <= n runs: of nearly equal numbers, or sums of `lengths` (n,)."""
    if lengths is None:
        return np.array_split(np.arange(n), count)
    sums = np.cumsum(lengths)
    inner = np.arange(1, count)
    ends = np.searchsorted(sums, sums[-1] * inner / count) + 1
    # at least one row in each
    ends = np.maximum.accumulate(np.maximum(ends, inner) - inner) + inner
    return np.split(np.arange(n), np.minimum(ends, n - count + inner))


def _tensor(array: np.ndarray | None, device: torch.device) -> Tensor | None:
    return None if array is None else torch.as_tensor(array).to(device)


def _together(found: list[Update]) -> Update:
    """What the micro-batches of one update measured, as one."""
    writes = memory = None
    if found[0].writes is not None:
        kept = [u.writes for u in found]
        writes = WriteStats(
            *(torch.cat([getattr(w, f.name) for w in kept]) for f in fields(WriteStats))
        )
    if found[0].memory is not None:
        memory = MemoryState(torch.cat([u.memory.matrix.detach() for u in found]))
    return Update(
        LossParts.total([u.parts for u in found]),
        sum(u.targets for u in found),
        sum(u.rows for u in found),
        writes,
        memory,
    )
