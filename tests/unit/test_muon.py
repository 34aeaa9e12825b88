"""Muon moves matrices as its paper says, in fp32 on a CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cogment_pipe.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 48), (1, 8)])
def test_singular_values_come_near_to_one(shape: tuple[int, int]) -> None:
    """Whatever the gradient's spectrum, all directions are moved alike: .65 to 1.25 of one."""
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    spread = torch.logspace(0, -1, min(shape))
    found = torch.linalg.svdvals(orthogonalised(left @ torch.diag(spread) @ right))
    assert found.min() > 0.65
    assert found.max() < 1.25


def test_directions_are_those_of_the_gradient() -> None:
    """The result is U f(S) V^T: it commutes with the gradient as a polynomial of it does."""
    torch.manual_seed(1)
    gradient = torch.randn(12, 20)
    product = orthogonalised(gradient) @ gradient.T
    torch.testing.assert_close(product, product.T, rtol=0, atol=1e-4)


def test_fp32_on_a_cpu() -> None:
    """A scaled gradient gives the same to fp32's own precision: bf16 would differ by a percent."""
    torch.manual_seed(2)
    gradient = torch.randn(16, 32)
    plain = orthogonalised(gradient.double())
    assert plain.dtype == torch.float64
    torch.testing.assert_close(orthogonalised(gradient * 3), plain.float(), rtol=0, atol=1e-5)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_steps_are_those_of_torch() -> None:
    """Momentum, decay and step length as torch.optim.Muon's, up to its bf16."""
    torch.manual_seed(3)
    start = torch.randn(16, 32)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine = Muon([ours], lr=0.02, weight_decay=0.1)
    reference = torch.optim.Muon(
        [theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(5):
        ours.grad = torch.randn(16, 32)
        theirs.grad = ours.grad.clone()
        mine.step()
        reference.step()
    moved = (ours - start).norm()
    assert moved > 0.1
    assert (ours - theirs).norm() < 0.02 * moved


def test_a_matrix_without_gradient_stays() -> None:
    """No gradient: neither weight decay nor a state; vectors are refused at once."""
    matrix = nn.Parameter(torch.ones(3, 4))
    muon = Muon([matrix], lr=0.1, weight_decay=0.5)
    muon.step()
    assert torch.equal(matrix, torch.ones(3, 4))
    assert matrix not in muon.state
    with pytest.raises(ValueError, match=r"takes matrices, not shape \(4,\)"):
        Muon([nn.Parameter(torch.ones(4))])
