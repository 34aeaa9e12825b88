"""The decoder of the grokking benchmark against a plain one, and the rules that its arms use."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cogment_pipe.benchmark_config import FilterConfig, GrokkingArm, GrokkingTask
from cogment_pipe.benchmarks.grokking.arms import AdEMAMix, Updater, make_perpendicular
from cogment_pipe.benchmarks.grokking.network import Decoder, stablemax_loss

TASK = GrokkingTask(modulus=7, width=16, heads=2, warmup_steps=2)


def plain_logits(decoder: Decoder, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The published forward pass over all four tokens, with torch's own attention."""
    p = decoder.modulus
    tokens = torch.stack([x, torch.full_like(x, p + 1), y, torch.full_like(x, p)])  # (4, B)
    state = decoder.tokens(tokens) + decoder.positions.weight[:4].unsqueeze(1)
    mask = torch.full((4, 4), -torch.inf).triu(1)
    for block in decoder.blocks:
        width = state.shape[-1]
        attention = nn.MultiheadAttention(width, block.heads)
        attention.in_proj_weight, attention.in_proj_bias = block.qkv.weight, block.qkv.bias
        attention.out_proj.weight, attention.out_proj.bias = block.out.weight, block.out.bias
        state = block.norm_attention(state)
        state = state + attention(state, state, state, attn_mask=mask, need_weights=False)[0]
        state = state + block.mlp(block.norm_mlp(state))
    return decoder.head(decoder.norm(state))[-1]


def test_logits_and_gradients_equal_the_plain_forward_pass() -> None:
    """Sharing the work on equal prefixes changes neither logits nor gradients."""
    torch.manual_seed(0)
    decoder = Decoder(TASK).double()
    x, y = torch.arange(7).repeat(6), torch.arange(1, 7).repeat_interleave(7)
    gradients = []
    for logits in (decoder(x, y), plain_logits(decoder, x, y)):
        decoder.zero_grad()
        F.cross_entropy(logits, x * y % 7).backward()
        gradients.append([p.grad.clone() for p in decoder.parameters()])
        gradients[-1].append(logits.detach())
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-12)


def test_the_published_sizes_have_the_published_parameters() -> None:
    """422,784 parameters, as the reference network prints."""
    assert sum(p.numel() for p in Decoder(GrokkingTask()).parameters()) == 422_784


def test_stablemax_is_its_formula() -> None:
    """s(z) = z + 1 or 1 / (1 - z), normalised; finite for logits where exp is not."""
    logits = torch.tensor([[2.0, -3.0, 0.0], [1e30, 0.0, -1e30]])
    expected = torch.tensor([3.0, 0.25, 1.0])
    loss = stablemax_loss(logits[:1], torch.tensor([1]))
    torch.testing.assert_close(loss, -(expected[1] / expected.sum()).log())
    assert torch.isfinite(stablemax_loss(logits[1:], torch.tensor([1])))


def test_perpendicular_gradients_have_no_part_along_the_weight() -> None:
    """The gradient is orthogonal to its weight and as long as before; a zero weight is fine."""
    generator = torch.Generator().manual_seed(1)
    weights = [nn.Parameter(torch.randn(3, 5, generator=generator)), nn.Parameter(torch.zeros(4))]
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=generator)
    before = [weight.grad.clone() for weight in weights]
    make_perpendicular(weights)
    assert abs((weights[0].grad * weights[0]).sum().item()) < 1e-5
    for weight, old in zip(weights, before, strict=True):
        torch.testing.assert_close(weight.grad.norm(), old.norm())
    torch.testing.assert_close(weights[1].grad, before[1])


def step_both(weight: nn.Parameter, other: nn.Parameter, optimizers: list, steps: int) -> None:
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        weight.grad = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        other.grad = weight.grad.clone()
        for optimizer in optimizers:
            optimizer.step()


def test_ademamix_without_a_slow_part_is_adamw() -> None:
    """With weight 0 on the slow average 20 steps equal AdamW's."""
    weight, other = (nn.Parameter(torch.ones(6, dtype=torch.float64)) for _ in range(2))
    ours = AdEMAMix([weight], 1e-2, (0.9, 0.98), 0.98, 0.0, weight_decay=0.5)
    theirs = torch.optim.AdamW([other], lr=1e-2, betas=(0.9, 0.98), weight_decay=0.5)
    step_both(weight, other, [ours, theirs], 20)
    torch.testing.assert_close(weight, other, rtol=1e-9, atol=1e-12)


def test_ademamix_adds_the_slow_average_to_the_numerator_only() -> None:
    """One step by hand: lr * (m1 / (1 - b1) + w m2) / (sqrt(v / (1 - b2)) + eps)."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = AdEMAMix([weight], 0.1, (0.9, 0.98), 0.75, 2.0, weight_decay=0.0)
    weight.grad = torch.tensor([4.0])
    optimizer.step()
    # m1 / (1 - b1) = 4, m2 = 1, sqrt(v / (1 - b2)) = 4
    assert weight.item() == pytest.approx(-0.1 * (4 + 2 * 1) / 4, rel=1e-6)


def updater(**arm: object) -> tuple[nn.Module, Updater]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    return model, Updater(model, GrokkingArm(title="t", **arm), warmup=2)


def test_the_rate_rises_from_zero() -> None:
    """As in the reference: rate 0 at the first step, half at the second, full from the third."""
    model, update = updater(optimizer="adam", learning_rate=1e-2)
    moved = []
    for _ in range(4):
        before = model.weight.detach().clone()
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        update.step()
        moved.append((before - model.weight.detach()).max().item())
        assert model.weight.grad is None
    assert moved[0] == 0.0
    assert moved[1:] == pytest.approx([0.005, 0.01, 0.01], rel=1e-4)


def test_an_arm_with_a_filter_sees_filtered_gradients() -> None:
    """Decay inside Adam meets the filtered gradient: a constant one is 1 + lambda times as big."""
    model, update = updater(filter=FilterConfig(lamb=2.0), weight_decay=0.0)
    seen = []
    update._optimizers[0].step = lambda: seen.append(model.weight.grad.clone())
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        update.step()
    for gradient in seen:
        torch.testing.assert_close(gradient, torch.full_like(gradient, 3.0))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_muon_takes_the_matrices_of_the_blocks_only() -> None:
    """Embeddings, output matrix, norms and biases stay with AdamW."""
    decoder = Decoder(TASK)
    update = Updater(decoder, GrokkingArm(title="t", optimizer="muon"), warmup=1)
    muon, rest = update._optimizers
    assert sum(len(group["params"]) for group in muon.param_groups) == 4 * TASK.layers
    shapes = {tuple(p.shape) for group in rest.param_groups for p in group["params"]}
    assert tuple(decoder.tokens.weight.shape) in shapes
