"""Refinement in use: fixed depth or early exit, for grids and for prompts of text.

Rows that have halted leave the batch, so that halting saves work and not only steps on paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cogment_pipe.model.core import Carry
from cogment_pipe.model.feed import GridFeed
from cogment_pipe.model.memory import MemoryState
from cogment_pipe.model.model import Cogment, StepOutput, select
from cogment_pipe.stage_config import HomeConfig, StageConfig

Halting = Literal["none", "threshold", "exact"]
NOISE = 1.0  # standard deviation of a rollout's move; that of the learned starts is about .5


@dataclass
class Refined:
    """Answers of a batch of grids.

    prediction: (B, L) symbols after each row's last step; steps: (B,) refinement steps used;
    halted_at: (B,) step at which the sum of halting probabilities reached the stage's threshold
    (the last step where it never did); exact: (B,) probability of being right, by the model;
    by_step: (T, B, L) symbols after every step, exact_by_step: (T, B), only where early exit is
    off.
    """

    prediction: Tensor
    steps: Tensor
    halted_at: Tensor
    exact: Tensor
    by_step: Tensor | None = None
    exact_by_step: Tensor | None = None


class Stopper:
    """Decides after each refinement step which rows stop, from the summed halting probability."""

    def __init__(
        self, rows: int, halting: Halting, threshold: float, exact_threshold: float
    ) -> None:
        self.halting, self.threshold, self.exact_threshold = halting, threshold, exact_threshold
        self.spent = torch.zeros(rows)
        self.halted_at = torch.zeros(rows, dtype=torch.int64)

    def stops(self, rows: Tensor, output: StepOutput) -> Tensor:
        """Which of the live `rows` (n,) stop now, (n,) bool."""
        self.halted_at[rows] += self.spent[rows] < self.threshold
        self.spent[rows] += torch.sigmoid(output.halt).float().cpu()
        if self.halting == "none":
            return torch.zeros(len(rows), dtype=torch.bool)
        if self.halting == "exact":
            return torch.sigmoid(output.exact).cpu() >= self.exact_threshold
        return self.spent[rows] >= self.threshold


@torch.no_grad()
def refine(
    model: Cogment,
    feed: GridFeed,
    home: StageConfig | HomeConfig,
    *,
    halting: Halting = "none",
    exact_threshold: float = 0.5,
    max_steps: int | None = None,
    memory: MemoryState | None = None,
    noise: Carry | None = None,
) -> Refined:
    """Solve a batch of grids by at most `max_steps` (default: the stage's) refinement steps.

    `noise` is added to the initial states: another start, for rollouts.
    """
    steps = max_steps or home.max_refinement_steps
    batch, cells = feed.symbols.shape
    unlabelled = GridFeed(
        feed.stage,
        feed.task,
        feed.grid,
        feed.symbols,
        None,
        feed.context,
        feed.context_position,
        feed.padded,
        feed.context_padded,
    )
    encoded = model.prepare(unlabelled, home.memory, home.segment_steps, memory)
    carry = model.start(encoded)
    if noise is not None:
        carry = Carry(carry.y + noise.y, carry.z + noise.z)
    live = torch.arange(batch)
    stopper = Stopper(batch, halting, home.act_threshold, exact_threshold)
    prediction = torch.zeros(batch, cells, dtype=torch.int64)
    used = torch.zeros(batch, dtype=torch.int64)
    exact = torch.zeros(batch)
    seen, sure = [], []
    for number in range(1, steps + 1):
        carry = model.step(encoded, carry)
        output = model.outputs(encoded, carry)
        answer = output.logits.argmax(-1).view(len(live), cells).cpu()
        prediction[live], used[live] = answer, number
        exact[live] = torch.sigmoid(output.exact).float().cpu()
        stops = stopper.stops(live, output)
        if halting == "none":
            seen.append(answer)
            sure.append(exact.clone())
            continue
        keep = (~stops).nonzero().squeeze(1)
        if not len(keep):
            break
        if len(keep) < len(live):
            live = live[keep]
            rows = keep.to(feed.symbols.device)
            encoded, carry = select(encoded, rows), carry.select(rows)
    by_step = (torch.stack(seen), torch.stack(sure)) if seen else (None, None)
    return Refined(prediction, used, stopper.halted_at, exact, *by_step)


def better(one: Refined, other: Refined) -> Refined:
    """Row by row, the answer with the higher probability of being right."""
    keep = one.exact >= other.exact

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(keep.view(-1, *[1] * (a.ndim - 1)), a, b)

    by_step = sure = None
    if one.by_step is not None:
        by_step = torch.where(keep.view(1, -1, 1), one.by_step, other.by_step)
        sure = torch.where(keep, one.exact_by_step, other.exact_by_step)
    names = ("prediction", "steps", "halted_at", "exact")
    return Refined(*(pick(getattr(one, n), getattr(other, n)) for n in names), by_step, sure)
