"""RefinementCore: one weight-tied stack that refines a scratch state z and an answer state y.

A refinement step is n updates of z from (input, y, z), then one update of y from (y, z), all with
the same blocks (after TRM, arXiv 2510.04871). The states are explicit: they go in and come out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cogment_pipe.model.act import HALT_BIAS
from cogment_pipe.model.blocks import Block, Geometry
from cogment_pipe.stage_config import ModelConfig


@dataclass
class Carry:
    """The states of a batch between refinement steps: y, z (B, L, D)."""

    y: Tensor
    z: Tensor

    def detach(self) -> Carry:
        """The same states without their gradient."""
        return Carry(self.y.detach(), self.z.detach())

    def select(self, rows: Tensor) -> Carry:
        """The states of some rows of the batch."""
        return Carry(self.y[rows], self.z[rows])


class RefinementCore(nn.Module):
    """Shared blocks, the initial states and the two logits that decide when to stop."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.z_updates = config.z_updates
        self.y_start = nn.Parameter(torch.randn(config.d_model) * 0.5)
        self.z_start = nn.Parameter(torch.randn(config.d_model) * 0.5)
        self.halting = nn.Linear(config.d_model, 1)
        self.exact = nn.Linear(config.d_model, 1)
        for head in (self.halting, self.exact):
            nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, HALT_BIAS)

    def start(self, batch: int, length: int) -> Carry:
        """Initial states, the same for every position."""
        shape = (batch, length, self.y_start.shape[0])
        return Carry(self.y_start.expand(shape), self.z_start.expand(shape))

    def stack(self, x: Tensor, geo: Geometry) -> Tensor:
        """All blocks once over x (B, L, D)."""
        for number, block in enumerate(self.blocks):
            x = block(x, geo, geo.context[number] if geo.context else None)
        return x

    def encode_context(self, x: Tensor, geo: Geometry) -> list[tuple[Tensor, Tensor]]:
        """Demonstrations through the stack once: keys and values for each block."""
        pairs = []
        for block in self.blocks:
            x = block(x, geo)
            pairs.append(block.mixer.keys_values(x, geo.cos, geo.sin))
        return pairs

    def step(
        self,
        carry: Carry,
        inject: Tensor,
        geo: Geometry,
        adapt: Callable[[Tensor, str], Tensor] = lambda x, site: x,
    ) -> Carry:
        """One refinement step; `inject` (B, L, D) is the input, added at every update of z."""
        y, z = carry.y, carry.z
        for _ in range(self.z_updates):
            z = self.stack(adapt(z + y + inject, "scratch"), geo)
        y = self.stack(adapt(y + z, "answer"), geo)
        return Carry(y, z)

    def stop_logits(self, y: Tensor, readable: Tensor | None) -> tuple[Tensor, Tensor]:
        """Halting and correctness logits (B,), (B,) from the mean of y over readable positions.

        `readable` (B, L, 1) is 1.0 where the logits may look: all real cells of a grid, and on text
        the prompt alone, so that nothing of a teacher-forced answer reaches them.
        """
        if readable is None:
            pooled = y.float().mean(1)
        else:
            pooled = (y.float() * readable).sum(1) / readable.sum(1).clamp(min=1.0)
        with torch.autocast(y.device.type, enabled=False):
            return self.halting(pooled).squeeze(-1), self.exact(pooled).squeeze(-1)
