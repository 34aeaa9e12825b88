"""The published decoder for `x op y = result`, computed without repeating equal work.

Two causal blocks of width 128 whose residual carries the *normalised* input, as in the reference
code: with an ordinary pre-norm residual the filter gains nothing. Positions 0 and 1 (x, op) depend
on x alone, so they are computed once per value of x, and the last block for the answer only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cogment_pipe.benchmark_config import GrokkingTask

PREFIX = 2
"""Positions that depend on x alone: x itself and the operator."""


class Block(nn.Module):
    """One causal block over (prefix, tail) states."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.norm_mlp = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        # As nn.MultiheadAttention starts.
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, prefix: Tensor, tail: Tensor, x: Tensor, last: bool
    ) -> tuple[Tensor | None, Tensor]:
        """States after the block; with `last` only the final position, and no prefix.

        Args:
            prefix: (P, 2, D), for every value of x.
            tail: (B, 2, D), positions of y and `=`.
            x: (B,) value of x of each row.
        """
        prefix, tail = self.norm_attention(prefix), self.norm_attention(tail)
        q_prefix, k_prefix, v_prefix = self._heads(self.qkv(prefix))
        q_tail, k_tail, v_tail = self._heads(self.qkv(tail))
        keys = torch.cat([k_prefix.index_select(0, x), k_tail], dim=2)  # (B, H, 4, D / H)
        values = torch.cat([v_prefix.index_select(0, x), v_tail], dim=2)
        if last:
            mixed = self._attend(q_tail[:, :, -1:], keys, values)
            return None, self._feed(tail[:, -1:] + mixed)
        tail = self._feed(tail + self._attend(q_tail, keys, values))
        prefix = self._feed(prefix + self._attend(q_prefix, k_prefix, v_prefix))
        return prefix, tail

    def _heads(self, qkv: Tensor) -> list[Tensor]:
        rows, length, width = qkv.shape
        parts = qkv.view(rows, length, 3, self.heads, width // 3 // self.heads)
        return list(parts.permute(2, 0, 3, 1, 4))  # three of (B, H, L, D / H)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Causal attention of the last positions of `keys`; (B, Lq, D)."""
        # Sums of products: batched matrix products of 2 x 4 cost twice as much.
        scores = (queries.unsqueeze(-2) * keys.unsqueeze(-3)).sum(-1) * queries.shape[-1] ** -0.5
        asked, known = scores.shape[-2:]
        if asked > 1:
            later = torch.ones(asked, known, dtype=torch.bool).triu(known - asked + 1)
            scores = scores.masked_fill(later, -torch.inf)
        mixed = (scores.softmax(-1).unsqueeze(-1) * values.unsqueeze(-3)).sum(-2)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _feed(self, state: Tensor) -> Tensor:
        return state + self.mlp(self.norm_mlp(state))


class Decoder(nn.Module):
    """Logits of the result token: 422,784 parameters with the published sizes."""

    def __init__(self, task: GrokkingTask) -> None:
        super().__init__()
        width, self.modulus = task.width, task.modulus
        self.tokens = nn.Embedding(task.modulus + 2, width)
        # The fifth position is never fed in; it is there because the reference has it.
        self.positions = nn.Embedding(5, width)
        self.blocks = nn.ModuleList(Block(width, task.heads) for _ in range(task.layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, task.modulus + 2, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits (B, p + 2) for factors x and y, both (B,)."""
        equals, operator = self.modulus, self.modulus + 1
        every = torch.arange(self.modulus)
        prefix = torch.stack([every, torch.full_like(every, operator)], 1)
        tail = torch.stack([y, torch.full_like(y, equals)], 1)
        positions = self.positions.weight
        prefix = self.tokens(prefix) + positions[:PREFIX]  # (P, 2, D)
        tail = self.tokens(tail) + positions[PREFIX : 2 * PREFIX]  # (B, 2, D)
        for number, block in enumerate(self.blocks, start=1):
            prefix, tail = block(prefix, tail, x, last=number == len(self.blocks))
        return self.head(self.norm(tail[:, -1]))


def stablemax_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with s(z) = z + 1 for z >= 0, 1 / (1 - z) below, in place of exp.

    It grows linearly, so that right answers do not vanish in rounding and still give gradients
    (Prieto et al., arXiv 2501.04697).
    """
    strength = torch.where(logits >= 0, logits + 1, 1 / (1 - logits.clamp(max=0)))
    return F.nll_loss(strength.log() - strength.sum(-1, keepdim=True).log(), target)
