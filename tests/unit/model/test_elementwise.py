"""Operations with a backward pass of their own: values and gradients of the plain formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cogment_pipe.model.elementwise import along, rms_norm, rotate, silu_gate


def _plain_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight


def _plain_turn(x: Tensor, angle: Tensor) -> Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    turned = a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()
    return torch.stack(turned, -1).flatten(-2)


def _plain_gate(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, -1)
    return gate * torch.sigmoid(gate) * up


def _plain_along(x: Tensor, taps: Tensor) -> Tensor:
    padded = F.pad(x, (0, 0, 1, 1))
    return padded[:, :-2] * taps[:, 0] + x * taps[:, 1] + padded[:, 2:] * AHEAD * taps[:, 2]


# rows of five positions, of which the last two, or the last, may not look to the right
AHEAD = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]]).unsqueeze(-1)
ANGLES = torch.linspace(-3, 3, 28, dtype=torch.float64).view(1, 7, 1, 4)
OPERATIONS = {
    "norm": (lambda x, w: rms_norm(x, w, 1e-5), _plain_norm, [(3, 5, 8), (8,)]),
    "rotate": (
        lambda x: rotate(x, ANGLES.cos().to(x.dtype), ANGLES.sin().to(x.dtype)),
        lambda x: _plain_turn(x, ANGLES.to(x.dtype)),
        [(2, 7, 3, 8)],
    ),
    "silu": (silu_gate, _plain_gate, [(3, 5, 12)]),
    "along": (lambda x, w: along(x, w, AHEAD.to(x.dtype)), _plain_along, [(3, 5, 6), (6, 3)]),
}


def _inputs(name: str, dtype: torch.dtype) -> list[Tensor]:
    made = torch.Generator().manual_seed(0)
    shapes = OPERATIONS[name][2]
    drawn = [torch.randn(s, generator=made, dtype=torch.float64) for s in shapes]
    return [x.to(dtype).requires_grad_() for x in drawn]


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_are_those_of_finite_differences(name: str):
    """The backward pass belongs to the forward pass, in float64."""
    assert torch.autograd.gradcheck(OPERATIONS[name][0], _inputs(name, torch.float64))


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_and_gradients_equal_the_plain_formula(name: str):
    """In fp32, also through a transposed view and for a gradient that is not contiguous."""
    own, plain, _ = OPERATIONS[name]

    def run(function: Callable, dtype: torch.dtype) -> list[Tensor]:
        inputs = _inputs(name, dtype)
        first = inputs[0].transpose(0, -2).contiguous().transpose(0, -2)
        out = function(first, *inputs[1:])
        out.transpose(0, 1).pow(2).sum(0).sin().sum().backward()
        return [out, *(x.grad for x in inputs)]

    for found, slow in zip(run(own, torch.float32), run(plain, torch.float64), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, slow.float(), atol=2e-5, rtol=5e-5)


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_the_compiler_is_given_says_the_same(name: str, monkeypatch: pytest.MonkeyPatch):
    """The plain formulation that torch.compile sees differs by rounding at most."""
    own, inputs = OPERATIONS[name][0], _inputs(name, torch.float32)
    eager = own(*inputs)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(own(*inputs), eager)


def test_norm_under_autocast_differentiates_in_fp32():
    """Its backward pass runs under autocast too, and no product in it may fall to bf16."""
    x, weight = _inputs("norm", torch.float32)

    def gradients(enabled: bool) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            return torch.autograd.grad(rms_norm(x, weight, 1e-5).sin().sum(), (x, weight))

    for under, without in zip(gradients(True), gradients(False), strict=True):
        assert torch.equal(under, without)


@pytest.mark.parametrize("function", [lambda x: rotate(x, *_angles()), silu_gate])
def test_half_precision_stays_half(function: Callable):
    """bf16 in, bf16 out and bf16 gradients, close to the fp32 result."""
    x = torch.randn(2, 7, 3, 8).bfloat16().requires_grad_()
    out = function(x)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), function(x.detach().float()), atol=0.05, rtol=0.05)


def test_gate_equals_the_library():
    """silu(gate) * up, by torch's own silu."""
    x = torch.randn(4, 12)
    torch.testing.assert_close(silu_gate(x), F.silu(x[:, :6]) * x[:, 6:])


def _angles() -> tuple[Tensor, Tensor]:
    return ANGLES.cos().float(), ANGLES.sin().float()
