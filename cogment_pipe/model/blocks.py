"""The parts of a block: normalisation, rotary positions, attention, SwiGLU, convolution.

A block is post-norm, x <- norm(x + f(x)), because it is applied many times over: a pre-norm
residual carried around a loop grows without bound. Blocks know nothing of states, steps or losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cogment_pipe.model.elementwise import along, rms_norm, rotate, silu_gate
from cogment_pipe.stage_config import ModelConfig


class Tape:
    """Keys and values of earlier positions, one entry per attention call, in the order of calls.

    Every refinement step runs the same blocks again, so a position that is decoded later meets each
    earlier position as it was at that very call.
    """

    def __init__(self, last: Tensor) -> None:
        """`last` (B,) is the place of each row's last position in the first pass (the prompt)."""
        self.entries: list[tuple[Tensor, Tensor]] = []
        self.inputs: list[Tensor] = []
        self.last = last
        self.position = self.conv_position = 0

    def rewind(self) -> None:
        """Start over with the first call: before the next position."""
        self.position = self.conv_position = 0

    def left(self, x: Tensor) -> Tensor | None:
        """Input (B, 1, D) of the position before x at this convolution; None on the first pass."""
        number, self.conv_position = self.conv_position, self.conv_position + 1
        if number == len(self.inputs):
            self.inputs.append(x[torch.arange(len(x), device=x.device), self.last].unsqueeze(1))
            return None
        before, self.inputs[number] = self.inputs[number], x
        return before

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values (B, heads, L, head_dim) of this call; returns all so far."""
        if self.position == len(self.entries):
            self.entries.append((k, v))
        else:
            before = self.entries[self.position]
            k, v = torch.cat([before[0], k], 2), torch.cat([before[1], v], 2)
            self.entries[self.position] = (k, v)
        self.position += 1
        return k, v


@dataclass
class Geometry:
    """How the positions of one batch relate: what attention and convolution must know.

    cos, sin: (1 or B, 1, L, head_dim / 2) rotary angles of the own positions.
    mask: (B, 1, 1 or L, L + C) True where a key may be seen, or None where all keys may.
    valid: (B, L, 1) 1.0 at real positions, or None where all are real.
    grid: (H, W) with H * W = L on grids, None on text.
    ahead: (B, L, 1) on text, 1.0 where the next position belongs to the prompt: only there may a
        position see to its right.
    context: keys and values (B, heads, C, head_dim) of the demonstrations for each block, or None.
    tape: keys and values of positions before these (decoding), or None.
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor | None = None
    valid: Tensor | None = None
    grid: tuple[int, int] | None = None
    ahead: Tensor | None = None
    context: list[tuple[Tensor, Tensor]] | None = None
    tape: Tape | None = None


def init_linear(layer: nn.Linear, gain: float = 1.0) -> nn.Linear:
    """Truncated normal of standard deviation gain / sqrt(fan_in), cut at two of them; 0: zeros."""
    std = gain / math.sqrt(layer.in_features)
    if std:
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    else:
        nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def linear(fan_in: int, fan_out: int, gain: float = 1.0) -> nn.Linear:
    """A linear map without bias, initialised by `init_linear`."""
    return init_linear(nn.Linear(fan_in, fan_out, bias=False), gain)


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last dimension, in fp32 whatever autocast says."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x.float(), self.weight, self.eps).to(x.dtype)


def rope_1d(positions: Tensor, head_dim: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Rotary angles (arXiv 2104.09864) of positions (..., L): cos, sin (..., L, head_dim / 2)."""
    rates = base ** (-torch.arange(0, head_dim, 2, device=positions.device).float() / head_dim)
    angles = positions.float().unsqueeze(-1) * rates
    return angles.cos(), angles.sin()


def rope_2d(
    rows: Tensor, columns: Tensor, head_dim: int, base: float = 100.0
) -> tuple[Tensor, Tensor]:
    """Axial rotary angles: half of the pairs turn with the row, half with the column."""
    cos_r, sin_r = rope_1d(rows, head_dim // 2, base)
    cos_c, sin_c = rope_1d(columns, head_dim // 2, base)
    return torch.cat([cos_r, cos_c], -1), torch.cat([sin_r, sin_c], -1)


class Attention(nn.Module):
    """Multi-head attention with QK-norm and rotary positions; demonstrations join as extra keys."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads, self.head_dim = n_heads, d_model // n_heads
        self.qkv = linear(d_model, 3 * d_model)
        # Residual branches start at zero: with random ones, T steps of three passes through two
        # blocks scramble the carried state, and later steps learn nothing for hundreds of updates.
        self.out = linear(d_model, d_model, gain=0.0)
        self.q_norm = RMSNorm(self.head_dim)
        self.k_norm = RMSNorm(self.head_dim)

    def _heads(self, x: Tensor, norm: RMSNorm | None = None) -> Tensor:
        x = x.unflatten(-1, (self.n_heads, self.head_dim))
        return (x if norm is None else norm(x)).transpose(1, 2)  # (B, heads, L, hd)

    def keys_values(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, L, head_dim) of states that others will attend to."""
        d = x.shape[-1]
        k, v = F.linear(x, self.qkv.weight[d:]).chunk(2, dim=-1)
        return rotate(self._heads(k, self.k_norm), cos, sin), self._heads(v)

    def forward(
        self, x: Tensor, geo: Geometry, extra: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q = rotate(self._heads(q, self.q_norm), geo.cos, geo.sin)
        k, v = rotate(self._heads(k, self.k_norm), geo.cos, geo.sin), self._heads(v)
        if geo.tape is not None:
            k, v = geo.tape.extend(k, v)
        if extra is not None:
            k, v = torch.cat([k, extra[0].to(k.dtype)], 2), torch.cat([v, extra[1].to(v.dtype)], 2)
        y = F.scaled_dot_product_attention(q, k, v.to(q.dtype), attn_mask=geo.mask)
        return self.out(y.transpose(1, 2).flatten(2))  # (B, L, D)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (arXiv 2002.05202); starts as zero, for use as a residual."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = linear(width, 2 * hidden)
        self.down = linear(hidden, width, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(silu_gate(self.gate_up(x)))


class DepthwiseConv(nn.Module):
    """3x3 depthwise convolution over the cells of a grid; its middle row serves text."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # of about the size that training gives it: from zero AdamW would take long
        self.weight = nn.Parameter(torch.randn(width, 1, 3, 3) * 0.3)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        planes = x.transpose(1, 2).unflatten(-1, grid)  # (B, D, H, W)
        weight, padding = self.weight.to(x.dtype), (1, 1)
        if grid[0] == 1:  # the other rows of the kernel would meet padding alone
            weight, padding = weight[:, :, 1:2], (0, 1)
        mixed = F.conv2d(planes, weight, padding=padding, groups=planes.shape[1])
        return mixed.flatten(2).transpose(1, 2)

    def along(self, x: Tensor, ahead: Tensor, left: Tensor | None = None) -> Tensor:
        """Over text (B, L, D): the position before, the own, and the next where `ahead` allows.

        An answer position never sees to its right, so nothing teacher-forced leaks. `left` is the
        position before the first one of x, zero at the start of a sequence.
        """
        left = None if left is None else left.to(x.dtype)
        return along(x, self.weight[:, 0, 1].to(x.dtype), ahead.to(x.dtype), left)


class TokenMLP(nn.Module):
    """Mixes a fixed number of cells by a SwiGLU over positions (MLP-Mixer, arXiv 2105.01601)."""

    def __init__(self, cells: int, hidden: int) -> None:
        super().__init__()
        self.cells = cells
        self.mix = SwiGLU(cells, hidden)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.cells:
            raise ValueError(
                f"mixer token_mlp was built for {self.cells} cells and got {x.shape[1]}; "
                "set model.mixer_cells to the grid's number of cells or use mixer attention"
            )
        return self.mix(x.transpose(1, 2)).transpose(1, 2)


def token_hidden(cells: int, ffn_hidden: int) -> int:
    """Hidden width over positions: as the channels' SwiGLU, but at most four times the cells.

    On 16 cells a SwiGLU of the channels' width takes half of a step's time.
    """
    return min(ffn_hidden, 4 * cells)


class Block(nn.Module):
    """x <- norm(x + mixer(x) + conv(x)); x <- norm(x + SwiGLU(x)).

    With `mixer: convolution` the convolution alone mixes positions, one cell further each time.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d_model, hidden = config.d_model, config.ffn_hidden
        self.mixer: nn.Module | None = None
        if config.mixer == "token_mlp":
            cells = config.mixer_cells
            self.mixer = TokenMLP(cells, token_hidden(cells, hidden))
        elif config.mixer == "attention":
            self.mixer = Attention(d_model, config.n_heads)
        self.conv = DepthwiseConv(d_model) if config.conv else None
        self.ffn = SwiGLU(d_model, hidden)
        self.mixer_norm = RMSNorm(d_model)
        self.ffn_norm = RMSNorm(d_model)

    def forward(
        self, x: Tensor, geo: Geometry, extra: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        x = self.mixer_norm(x + self._mix(x, geo, extra))
        return self.ffn_norm(x + self.ffn(x))

    def _mix(self, x: Tensor, geo: Geometry, extra: tuple[Tensor, Tensor] | None) -> Tensor:
        """What positions tell each other: by the mixer, the convolution, or both."""
        if self.mixer is None:
            return self._around(x, geo)
        mixed = self.mixer(x) if isinstance(self.mixer, TokenMLP) else self.mixer(x, geo, extra)
        return mixed if self.conv is None else mixed + self._around(x, geo)

    def _around(self, x: Tensor, geo: Geometry) -> Tensor:
        """The convolution: over the grid, or along the text."""
        if geo.grid is not None:
            return self.conv(x if geo.valid is None else x * geo.valid, geo.grid)
        if geo.ahead is None:  # demonstrations: a set of cells, not a sequence
            return torch.zeros_like(x)
        return self.conv.along(x, geo.ahead, geo.tape.left(x) if geo.tape else None)
