"""Rotary positions, norms, convolutions and mixers against slow references."""

from __future__ import annotations

import math

import pytest
import torch

from cogment_pipe.model.blocks import (
    Attention,
    DepthwiseConv,
    Geometry,
    RMSNorm,
    SwiGLU,
    TokenMLP,
    rope_1d,
    rope_2d,
)
from cogment_pipe.model.elementwise import rotate


def test_hand_worked_angle():
    """Width 4, base 10,000: at place 2 the first pair turns by 2, the second by 2 / 100."""
    cos, sin = rope_1d(torch.tensor([2]), 4)
    x = torch.tensor([[[[1.0, 0.0, 1.0, 0.0]]]])
    expected = [math.cos(2), math.sin(2), math.cos(0.02), math.sin(0.02)]
    torch.testing.assert_close(rotate(x, cos, sin)[0, 0, 0], torch.tensor(expected))


def test_scores_depend_on_distance_alone():
    """q at m and k at n score as q at m + 7 and k at n + 7."""
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def score(m: int, n: int) -> torch.Tensor:
        a, b = (
            rotate(q, *rope_1d(torch.tensor([m]), 16)),
            rotate(k, *rope_1d(torch.tensor([n]), 16)),
        )
        return (a * b).sum()

    torch.testing.assert_close(score(3, 1), score(10, 8), atol=1e-5, rtol=1e-5)
    assert abs(score(3, 1) - score(3, 2)) > 1e-3


def test_grid_angles_are_relative_in_rows_and_in_columns():
    """2-D: shifting both cells by the same (rows, columns) changes no score; each axis counts."""
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def score(a: tuple[int, int], b: tuple[int, int]) -> torch.Tensor:
        turned = [
            rotate(x, *rope_2d(torch.tensor([r]), torch.tensor([c]), 16))
            for x, (r, c) in ((q, a), (k, b))
        ]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(score((0, 1), (2, 4)), score((5, 3), (7, 6)), atol=1e-5, rtol=1e-5)
    assert abs(score((0, 1), (2, 4)) - score((0, 1), (2, 5))) > 1e-3
    assert abs(score((0, 1), (2, 4)) - score((0, 1), (3, 4))) > 1e-3


def test_rotation_keeps_lengths():
    """No position is louder than another."""
    x = torch.randn(2, 3, 5, 8)
    cos, sin = rope_1d(torch.arange(5), 8)
    torch.testing.assert_close(rotate(x, cos, sin).norm(dim=-1), x.norm(dim=-1))


def test_norm_in_float64_terms():
    """x / sqrt(mean(x^2) + eps) * weight, computed in fp32 for bf16 inputs."""
    norm = RMSNorm(6)
    norm.weight.data = torch.rand(6)
    x = torch.randn(3, 6)
    slow = x.double() / (x.double().pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), slow.float())
    low = norm(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low, norm(x.bfloat16().float()).bfloat16())


def test_attention_equals_a_loop_over_queries():
    """QK-norm, rotation, softmax over allowed keys and demonstrations, one query at a time."""
    torch.manual_seed(0)
    layer, length, extra = Attention(16, 2), 5, 3
    for norm in (layer.q_norm, layer.k_norm):
        norm.weight.data = torch.rand(8) + 0.5
    x, shown = torch.randn(1, length, 16), torch.randn(1, extra, 16)
    cos, sin = rope_1d(torch.arange(length), 8)
    mask = torch.rand(length, length + extra) < 0.6
    mask |= torch.eye(length, length + extra, dtype=torch.bool)
    pairs = layer.keys_values(shown, *rope_1d(torch.arange(extra), 8))
    found = layer(x, Geometry(cos[None, None], sin[None, None], mask[None, None]), pairs)

    w = layer.qkv.weight.detach().double()
    out = torch.zeros(length, 16, dtype=torch.float64)
    for h in range(2):
        rows = [w[16 * part + 8 * h : 16 * part + 8 * h + 8] for part in range(3)]

        def turned(row, norm, states, wide=rows):
            vectors = states[0].double() @ wide[row].T
            vectors = vectors / (vectors.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
            vectors = (vectors * norm.weight.detach().double())[None, None]
            angle = rope_1d(torch.arange(states.shape[1]), 8)
            return rotate(vectors, *(a.double() for a in angle))[0, 0]

        q = turned(0, layer.q_norm, x)
        k = torch.cat([turned(1, layer.k_norm, x), turned(1, layer.k_norm, shown)])
        v = torch.cat([x[0], shown[0]]).double() @ rows[2].T
        for i in range(length):
            seen = mask[i].nonzero().squeeze(1)
            share = torch.softmax(k[seen] @ q[i] / math.sqrt(8), 0)
            out[i, 8 * h : 8 * h + 8] = share @ v[seen]
    slow = out @ layer.out.weight.detach().double().T
    torch.testing.assert_close(found[0].detach().double(), slow, atol=1e-5, rtol=1e-5)


def test_grid_convolution_sees_its_neighbours_and_no_others():
    """A 3x3 kernel per channel; beyond the border there is zero."""
    conv = DepthwiseConv(2)
    x = torch.randn(1, 12, 2)
    planes = x[0].T.view(2, 3, 4)
    slow = torch.zeros(2, 3, 4)
    for d in range(2):
        for r in range(3):
            for c in range(4):
                for i in range(-1, 2):
                    for j in range(-1, 2):
                        if 0 <= r + i < 3 and 0 <= c + j < 4:
                            weight = conv.weight[d, 0, i + 1, j + 1].detach()
                            slow[d, r, c] += weight * planes[d, r + i, c + j]
    torch.testing.assert_close(conv(x, (3, 4)).detach()[0], slow.flatten(1).T)


def test_a_grid_of_one_row_is_convolved_as_text():
    """By the kernel's middle row: values and gradients; the other rows have the gradient zero."""
    conv, x = DepthwiseConv(3), torch.randn(2, 7, 3, requires_grad=True)
    ways = conv(x, (1, 7)), conv.along(x, torch.ones(2, 7, 1))
    torch.testing.assert_close(*ways)
    found = [torch.autograd.grad(y.sin().sum(), (x, conv.weight)) for y in ways]
    for grid, text in zip(*found, strict=True):
        torch.testing.assert_close(grid, text)
    assert not found[0][1][:, :, [0, 2]].any() and found[0][1][:, :, 1].all()


def test_text_convolution_looks_right_only_where_allowed():
    """w0 x[i-1] + w1 x[i] + w2 x[i+1] inside the prompt; no right neighbour elsewhere."""
    conv = DepthwiseConv(3)
    x = torch.randn(1, 4, 3)
    ahead = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 4, 1)
    w = conv.weight[:, 0, 1].detach().T  # (3, D)
    slow = x.clone() * w[1]
    slow[0, 1:] += w[0] * x[0, :-1]
    slow[0, 0] += w[2] * x[0, 1]
    torch.testing.assert_close(conv.along(x, ahead).detach(), slow)


def test_swiglu_by_its_formula():
    """down(silu(gate x) * up x)."""
    layer, x = SwiGLU(4, 6), torch.randn(3, 4)
    gate, up = (x.double() @ w.double().T for w in layer.gate_up.weight.detach().chunk(2))
    slow = (gate * torch.sigmoid(gate) * up) @ layer.down.weight.detach().double().T
    torch.testing.assert_close(layer(x).detach().double(), slow, atol=1e-6, rtol=1e-5)


def test_token_mixer_refuses_another_number_of_cells():
    """It was built for so many cells and says so."""
    with pytest.raises(ValueError, match="built for 16 cells and got 9"):
        TokenMLP(16, 8)(torch.randn(1, 9, 4))
