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


class _RMSNorm(torch.autograd.Function):
    # autocast is on during the backward pass too, and would take the product with `weight` in bf16
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        x = x.contiguous()
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()  # (..., 1): 1 / rms
        ctx.save_for_backward(x, scale, weight)
        return (x * scale).mul_(weight)

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, scale, weight = ctx.saved_tensors
        # LayerNorm's fused kernel with mean zero: of RMSNorm's gradient it lacks nothing but the
        # mean of grad * weight, which LayerNorm subtracts
        grad_x, grad_weight, _ = torch.ops.aten.native_layer_norm_backward(
            grad.contiguous(),
            x,
            weight.shape,
            torch.zeros_like(scale),
            scale,
            weight,
            None,
            [True, True, False],
        )
        mean = (grad @ (weight / x.shape[-1])).unsqueeze(-1)
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
