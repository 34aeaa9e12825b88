"""GatedLTM: a long-term associative memory written by the gated delta rule.

The memory M is state, passed in and returned, per sequence and reset per document; no optimizer
owns it. What is trained are the projections, the gates and the starting state, the `bank`
(sources: gated delta rule arXiv 2412.06464; segment-wise associative memory arXiv 2407.04841;
surprise as the memory's own prediction error after Titans, arXiv 2501.00663).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cogment_pipe.model.blocks import RMSNorm, SwiGLU, linear
from cogment_pipe.stage_config import MemoryWrites

KEY_TAPS = 4  # positions that a key is made of


@dataclass
class MemoryState:
    """M (B, heads, d_k, d_v) in fp32: what one sequence has written so far."""

    matrix: Tensor

    def detach(self) -> MemoryState:
        """The same content without its gradient."""
        return MemoryState(self.matrix.detach())


@dataclass
class WriteStats:
    """What was written, without gradient.

    gate, surprise: (B, heads) means over the positions that wrote; positions: (B,) how many.
    """

    gate: Tensor
    surprise: Tensor
    positions: Tensor

    def after(self, earlier: WriteStats | None) -> WriteStats:
        """These writes and those before them on the same documents; positions count alike."""
        if earlier is None:
            return self
        positions = self.positions + earlier.positions
        share = (self.positions / positions.clamp(min=1.0)).unsqueeze(-1)  # (B, 1)
        gate = earlier.gate.lerp(self.gate, share)
        return WriteStats(gate, earlier.surprise.lerp(self.surprise, share), positions)


def delta_write(matrix: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor) -> Tensor:
    """Write a whole segment by the gated delta rule, exactly as position by position.

    S_i = a_i S_{i-1} + k_i u_i^T with u_i = beta_i (v_i - a_i S_{i-1}^T k_i). All u_i follow from
    one unit-lower-triangular system (WY form), so there is no loop over positions.

    Args:
        matrix: (B, h, d_k, d_v) fp32, state before the segment.
        k: (B, h, L, d_k) unit-norm keys; v: (B, h, L, d_v) values.
        beta: (B, h, L) write strengths in [0, 1], 0 at positions that do not write.
        decay: (B, h, L) factors a_i in (0, 1], 1 at positions that do not write.
    """
    log_sum = decay.log().cumsum(-1)  # log of gamma_i = a_1 ... a_i
    ratio = (
        (log_sum.unsqueeze(-1) - log_sum.unsqueeze(-2)).tril().exp().tril(-1)
    )  # gamma_i / gamma_j
    overlap = beta.unsqueeze(-1) * ratio * (k @ k.transpose(-1, -2))  # (B, h, L, L)
    seen = log_sum.exp().unsqueeze(-1) * (k @ matrix)  # what the decayed old state answers
    right = beta.unsqueeze(-1) * (v - seen)
    u = torch.linalg.solve_triangular(
        overlap.tril(-1) + torch.eye(k.shape[-2], device=k.device), right, upper=False
    )
    rest = (log_sum[..., -1:] - log_sum).exp().unsqueeze(-1)  # gamma_L / gamma_j
    return log_sum[..., -1:].exp().unsqueeze(-1) * matrix + (k * rest).transpose(-1, -2) @ u


class GatedLTM(nn.Module):
    """Read and write an associative memory; unit-norm keys, fp32 state, read before write."""

    def __init__(self, d_model: int, n_heads: int, read_hidden: int) -> None:
        super().__init__()
        self.n_heads, self.head_dim = n_heads, d_model // n_heads
        # How much of the state joins the input in what is asked and written: none at the start. A
        # trained state has one large component common to all positions, which makes keys alike.
        self.state_share = nn.Parameter(torch.zeros(d_model))
        # How much of the second look joins the first, which is all that most questions need.
        self.hop_share = nn.Parameter(torch.full((d_model,), 0.5))
        self.answer_share = nn.Parameter(torch.ones(d_model))  # of what is found, to the text head
        self.query = linear(d_model, d_model)
        self.key = linear(d_model, d_model)
        self.value = linear(d_model, d_model)
        self.out = linear(d_model, d_model)
        # a key mixes its own position with the ones before: what is written at a word is then found
        # by the word that it was said of
        self.key_taps = nn.Parameter(torch.empty(KEY_TAPS, d_model))
        self._start_as_recall()
        self.read_norm = RMSNorm(d_model)
        self.read_ffn = SwiGLU(d_model, read_hidden)
        self.content = nn.Linear(d_model, n_heads)
        self.surprise = nn.Parameter(torch.zeros(n_heads))
        self.threshold = nn.Parameter(torch.zeros(n_heads))
        self.bank = nn.Parameter(torch.randn(n_heads, self.head_dim, self.head_dim) * 0.02)
        nn.init.zeros_(self.content.weight)
        nn.init.zeros_(self.content.bias)

    @torch.no_grad()
    def _start_as_recall(self) -> None:
        """Untrained, a read at a word finds the words that followed it, as they are.

        Queries equal keys, keys are made of the positions before their own, and the read-out undoes
        the values' rotation (mimetic initialisation, arXiv 2410.11135, done for the delta rule).
        """
        self.key.weight.copy_(self.query.weight)
        nn.init.constant_(self.key_taps, 0.5)
        nn.init.zeros_(self.key_taps[-1])
        nn.init.orthogonal_(self.value.weight)
        self.out.weight.copy_(self.value.weight.T)

    def start(self, batch: int) -> MemoryState:
        """The state of a new document: the learned bank, one copy per sequence."""
        return MemoryState(self.bank.float().unsqueeze(0).expand(batch, -1, -1, -1))

    def address(self, inject: Tensor, state: Tensor) -> Tensor:
        """What is asked and written from: the input and a learned share of the state (B, L, D)."""
        return inject + self.state_share.to(state.dtype) * state

    def _heads(self, x: Tensor) -> Tensor:
        return x.float().unflatten(-1, (self.n_heads, self.head_dim)).transpose(1, 2)

    def _with_left(self, hidden: Tensor) -> Tensor:
        """Short causal convolution over positions, as gated delta networks have: (B, L, D)."""
        taps = self.key_taps.to(hidden.dtype)
        padded, length = F.pad(hidden, (0, 0, KEY_TAPS - 1, 0)), hidden.shape[1]
        shifted = (padded[:, i : i + length] for i in range(KEY_TAPS))
        return sum(tap * part for tap, part in zip(taps, shifted, strict=True))

    def queries(self, hidden: Tensor) -> Tensor:
        """What `hidden` (B, L, D) asks the memory for: unit-norm (B, heads, L, d_k)."""
        return F.normalize(self._heads(self.query(hidden)), dim=-1)

    def read(self, state: MemoryState, hidden: Tensor) -> Tensor:
        """What the memory answers to `hidden` (B, L, D), and to that answer: (B, L, D).

        The second look follows a chain of two facts in one read (memory networks with hops, arXiv
        1503.08895).
        """
        found = self._find(state, hidden)
        found = found + self.hop_share.to(found.dtype) * self._find(state, found)
        return found + self.read_ffn(found)

    def _find(self, state: MemoryState, hidden: Tensor) -> Tensor:
        q = self.queries(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            found = (q @ state.matrix).transpose(1, 2).flatten(2)  # (B, L, D)
        return self.out(self.read_norm(found).to(hidden.dtype))

    def write(
        self, state: MemoryState, hidden: Tensor, valid: Tensor | None, writes: MemoryWrites
    ) -> tuple[MemoryState, WriteStats]:
        """Write a segment's states `hidden` (B, L, D); `valid` (B, L) is True where it may write.

        The gate sigmoid(content + w * surprise - threshold) times the stage's alpha is the write
        strength; surprise is the memory's own error |v - M k| / |v| before the write, so it needs
        no label and is the same in training and in use.
        """
        k = F.normalize(self._heads(self.key(self._with_left(hidden))), dim=-1)
        v = F.normalize(self._heads(self.value(hidden)), dim=-1)
        with torch.autocast(hidden.device.type, enabled=False):
            error = (v - k @ state.matrix).norm(dim=-1)  # (B, h, L); |v| = 1
            logit = -self.threshold.view(1, -1, 1)
            if writes.gate != "surprise":
                logit = logit + self.content(hidden.float()).transpose(1, 2)
            if writes.gate != "content":
                weight = self.surprise if writes.gate == "both" else self.surprise + 1.0
                logit = logit + weight.view(1, -1, 1) * error
            gate = torch.sigmoid(logit)
            real = torch.ones_like(gate) if valid is None else valid.unsqueeze(1).to(gate.dtype)
            beta = writes.alpha * gate * real
            decay = 1.0 - writes.decay * real
            matrix = delta_write(state.matrix, k, v, beta, decay)
        with torch.no_grad():
            wrote = real.sum(-1)  # (B, h), or (B, 1): all heads write at the same positions
            count = wrote.clamp(min=1.0)
            means = [(part * real).sum(-1) / count for part in (gate, error)]
        return MemoryState(matrix), WriteStats(*means, wrote[:, 0])

    @torch.no_grad()
    def consolidate(self, state: MemoryState, rate: float) -> None:
        """Move the bank towards what the sequences ended with: b <- (1 - c) b + c mean(M_end)."""
        self.bank.lerp_(state.matrix.mean(0).to(self.bank.dtype), rate)
