"""Elementwise operations with a backward pass of their own, in fewer passes over memory.

On a CPU a block of width 128 spends as long on these as on its matrix products when autograd
composes them from single multiplications. The values are those of the plain formulas; where the
compiler fuses (`torch.compile`) or a fused kernel exists (RMSNorm on CUDA) that is taken instead.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x) * weight over the last dimension (arXiv 1910.07467); x and weight in one dtype."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.rms_norm(x, weight.shape, weight, eps)
    return _RMSNorm.apply(x, weight, eps)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (x_2i, x_2i+1) of x (..., d) by the given angles, (..., d / 2) each."""
    if torch.compiler.is_compiling():  # it does not generate code for complex numbers
        a, b = _wide(x).unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2).to(x.dtype)
    return _Rotation.apply(x, torch.complex(cos, sin))


def silu_gate(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of gate_up (..., 2 H), whose first half is the gate -> (..., H)."""
    if torch.compiler.is_compiling():
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate) * up
    return _SiLUGate.apply(gate_up)


def along(x: Tensor, taps: Tensor, ahead: Tensor, left: Tensor | None = None) -> Tensor:
    """A depthwise convolution over three positions of x (B, L, D), in one dtype.

    y_i = taps_0 x_(i-1) + taps_1 x_i + ahead_i taps_2 x_(i+1): taps (D, 3), ahead (B, L, 1). `left`
    (B, 1, D) is the position before the first one, none where a sequence starts.
    """
    if left is None and not torch.compiler.is_compiling():
        return _Along.apply(x, taps, ahead)
    edge = torch.zeros_like(x[:, :1])
    before = torch.cat([edge if left is None else left, x[:, :-1]], 1)
    after = torch.cat([x[:, 1:], edge], 1) * ahead
    return before * taps[:, 0] + x * taps[:, 1] + after * taps[:, 2]


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        x = x.contiguous()
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()  # (..., 1): 1 / rms
        ctx.save_for_backward(x, scale, weight)
        return (x * scale).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, scale, weight = ctx.saved_tensors
        grad = grad.contiguous()
        # LayerNorm's fused kernel with mean zero: of RMSNorm's gradient it lacks nothing but the
        # mean of grad * weight, which LayerNorm subtracts
        grad_x, grad_weight, _ = torch.ops.aten.native_layer_norm_backward(
            grad,
            x,
            weight.shape,
            torch.zeros_like(scale),
            scale,
            weight,
            None,
            [True, True, False],
        )
        # mv, not matmul: autocast is on during the backward pass too, and takes matmul in bf16
        mean = torch.mv(grad.view(-1, x.shape[-1]), weight / x.shape[-1]).view_as(scale)
        return grad_x.add_(mean.mul_(scale)), grad_weight, None


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, turn: Tensor) -> Tensor:
        ctx.save_for_backward(turn)
        return _turned(x, turn)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (turn,) = ctx.saved_tensors  # the gradient of a rotation is the rotation back
        return _turned(grad, turn.conj()), None


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """Pairs of x as complex numbers times `turn`: one pass, where real arithmetic takes seven."""
    pairs = _wide(x).unflatten(-1, (-1, 2))
    if pairs.stride(-1) != 1:
        pairs = pairs.contiguous()
    return torch.view_as_real(torch.view_as_complex(pairs) * turn).flatten(-2).to(x.dtype)


def _wide(x: Tensor) -> Tensor:
    """At least fp32: there are no complex numbers of half precision's kinds."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _SiLUGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        sigmoid = torch.sigmoid(gate)  # kept: on a CPU the exponential takes longest of all
        ctx.save_for_backward(gate_up, sigmoid)
        return (gate * sigmoid).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        gate_up, sigmoid = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        out = torch.empty_like(gate_up)
        to_gate, to_up = out.chunk(2, dim=-1)
        silu = gate * sigmoid
        torch.mul(grad, silu, out=to_up)
        # silu' = sigmoid + silu * (1 - sigmoid)
        slope = torch.addcmul(sigmoid, silu, 1 - sigmoid)
        torch.mul(slope.mul_(up), grad, out=to_gate)
        return out


class _Along(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, ahead: Tensor) -> Tensor:
        ctx.save_for_backward(x, taps, ahead)
        out = x * taps[:, 1]
        out[:, 1:].addcmul_(x[:, :-1], taps[:, 0])
        out[:, :-1].addcmul_(x[:, 1:] * ahead[:, :-1], taps[:, 2])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, taps, ahead = ctx.saved_tensors
        out = grad * taps[:, 1]
        out[:, :-1].addcmul_(grad[:, 1:], taps[:, 0])
        seen = grad[:, :-1] * ahead[:, :-1]
        out[:, 1:].addcmul_(seen, taps[:, 2])
        pairs = (grad[:, 1:], x[:, :-1]), (grad, x), (seen, x[:, 1:])
        return out, torch.stack([(g * of).sum((0, 1)) for g, of in pairs], 1), None
