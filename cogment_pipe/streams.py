"""Streams: one task's endless sequence of batches and the states it carries between updates.

A stream knows how its task is trained (jointly over all refinement steps, or one optimizer step per
refinement step with the state carried on, detached). Batches are pure functions of their number, so
what a snapshot must hold is the number and, amid a batch, the carried tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from cogment_pipe.data.sampler import batch_indices
from cogment_pipe.losses import History, LossParts, joint_loss, step_loss
from cogment_pipe.model.core import Carry
from cogment_pipe.model.feed import Feed, to_feed
from cogment_pipe.model.memory import MemoryState, WriteStats
from cogment_pipe.model.model import Cogment
from cogment_pipe.rng import stream
from cogment_pipe.stage_config import LossWeights, StageConfig


@dataclass
class Update:
    """What one update measured: loss parts, targets behind them, and the memory it left."""

    parts: LossParts
    targets: int
    rows: int
    writes: WriteStats | None
    memory: MemoryState | None


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
    ) -> None:
        """`home` is the configuration of the stage the task belongs to, `stage` its number."""
        self.data, self.home, self.stage = data, home, stage
        self.seed, self.training_stage, self.device = seed, training_stage, device
        self.augment = augment
        self.updates = 0
        self.feed: Feed | None = None
        self.carry: Carry | None = None
        self.history: History | None = None

    @property
    def length(self) -> int:
        """Optimizer steps that one batch lasts."""
        return self.home.max_refinement_steps if self.home.update == "per_step" else 1

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return self.data.batch_size or self.home.batch_size

    def _batch(self, number: int) -> Feed:
        keys = {"seed": self.seed, "stage": self.training_stage, "task": self.data.name}
        index = batch_indices(len(self.data), self.batch_size, number, **keys)
        purpose = f"batch/{self.data.name}"
        rng = stream(self.seed, self.training_stage, number, 0, purpose)
        batch = self.data.batch(index, rng=rng, augment=self.augment)
        return to_feed(batch, self.stage, self.device)

    def update(
        self,
        model: Cogment,
        weights: LossWeights,
        price: float,
        smoothing: float,
        backward: Callable[[Tensor], None],
    ) -> Update:
        """Run the stream's next update and leave its gradients in the parameters."""
        number, phase = divmod(self.updates, self.length)
        if phase == 0 or self.feed is None:
            self.feed = self._batch(number)
        if phase == 0:
            self.carry = self.history = None
        self.updates += 1
        run = self._per_step if self.home.update == "per_step" else self._joint
        update = run(model, weights, price, smoothing)
        backward(update.parts.loss)
        return update

    def _joint(
        self, model: Cogment, weights: LossWeights, price: float, smoothing: float
    ) -> Update:
        home = self.home
        encoded = model.prepare(self.feed, home.memory, home.segment_steps)
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
        )
        self.feed = None
        return Update(
            parts,
            len(encoded.labels),
            len(outputs[0].halt),
            encoded.writes,
            encoded.memory,
        )

    def _per_step(
        self, model: Cogment, weights: LossWeights, price: float, smoothing: float
    ) -> Update:
        home = self.home
        encoded = model.prepare(self.feed, home.memory, home.segment_steps)
        halt_before = None
        if self.history is not None:
            halt_before = model.core.stop_logits(self.history.y, encoded.readable)[0]
        carry = model.start(encoded) if self.carry is None else self.carry
        carry = model.step(encoded, carry, home.activation_checkpointing)
        output = model.outputs(encoded, carry)
        parts, self.history = step_loss(
            output,
            carry.y,
            encoded.labels,
            encoded.row,
            self.history,
            halt_before,
            weights=weights,
            threshold=home.act_threshold,
            price=price,
            smoothing=smoothing,
        )
        self.carry = carry.detach()
        return Update(parts, len(encoded.labels), len(output.halt), encoded.writes, encoded.memory)

    # -- state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, object]:
        """Position and, amid a batch, the carried tensors."""
        state: dict[str, object] = {"updates": self.updates}
        if self.updates % self.length and self.carry is not None:
            state["carry"] = {"y": self.carry.y, "z": self.carry.z}
            state["history"] = {f.name: getattr(self.history, f.name) for f in fields(History)}
        return state

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict`; the batch in progress is made again from its number."""
        self.updates = int(state["updates"])
        self.feed = self.carry = self.history = None
        if "carry" in state:
            self.feed = self._batch(self.updates // self.length)
            move = lambda t: t.to(self.device) if isinstance(t, Tensor) else t  # noqa: E731
            self.carry = Carry(**{k: move(v) for k, v in state["carry"].items()})
            self.history = History(**{k: move(v) for k, v in state["history"].items()})
