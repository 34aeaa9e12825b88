"""Halting after Graves, against hand-worked numbers and a slow loop in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cogment_pipe.model.act import HALT_BIAS, halting_weights, ponder_cost, ponder_price
from cogment_pipe.model.core import RefinementCore
from cogment_pipe.stage_config import ModelConfig


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def by_the_book(logits: list[float], threshold: float) -> tuple[list[float], int]:
    """Graves' rule step by step: halt at the first running sum that reaches the threshold."""
    weights, spent = [0.0] * len(logits), 0.0
    for t, value in enumerate(logits):
        p = 1 / (1 + math.exp(-value))
        if spent + p >= threshold or t == len(logits) - 1:
            weights[t] = 1.0 - spent
            return weights, t + 1
        weights[t] = p
        spent += p
    raise AssertionError("unreachable")


def test_hand_worked_weights():
    """p = .2, .3, .6: halts at step 3 of 4 with remainder .5; ponder = .2 + .6 + 1.5."""
    logits = torch.tensor([[logit(0.2), logit(0.3), logit(0.6), logit(0.9)]])
    weights, steps = halting_weights(logits, 0.99)
    torch.testing.assert_close(weights, torch.tensor([[0.2, 0.3, 0.5, 0.0]]))
    assert steps.tolist() == [3]
    torch.testing.assert_close(ponder_cost(weights), torch.tensor([2.3]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-6, 6, width=32), min_size=1, max_size=8),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_equals_the_loop_in_float64(logits, threshold):
    """Weights and step equal the rule carried out one step at a time."""
    expected, halted = by_the_book(logits, threshold)
    running = [
        sum(1 / (1 + math.exp(-v)) for v in logits[: t + 1]) - threshold for t in range(len(logits))
    ]
    if min(abs(r) for r in running) < 1e-5:
        return  # which side of the threshold rounding falls is nobody's promise
    weights, steps = halting_weights(torch.tensor([logits]), threshold)
    torch.testing.assert_close(
        weights[0].double(), torch.tensor(expected).double(), atol=1e-6, rtol=0
    )
    assert steps.item() == halted


def test_weights_sum_to_exactly_one_and_are_not_negative():
    """The remainder closes the sum to the last bit of fp32."""
    torch.manual_seed(0)
    weights, steps = halting_weights(torch.randn(500, 8) * 3, 0.99)
    place = (steps - 1).unsqueeze(1)
    last = weights.gather(1, place).squeeze(1)
    before = weights.scatter(1, place, 0.0).sum(1)
    assert torch.equal(before + last, torch.ones(500))
    assert (weights >= 0).all()
    cost = ponder_cost(weights)
    assert (cost >= 1 - 1e-6).all() and (cost <= 8 + 1e-6).all()


@pytest.mark.parametrize(("value", "step"), [(20.0, 1), (-40.0, 6)])
def test_extremes(value, step):
    """All halt at step 1, or never: the whole weight is on one step."""
    weights, steps = halting_weights(torch.full((3, 6), value), 0.99)
    assert steps.tolist() == [step] * 3
    torch.testing.assert_close(weights[:, step - 1], torch.ones(3))
    torch.testing.assert_close(ponder_cost(weights), torch.full((3,), float(step)))


def test_gradient_reaches_every_logit_before_the_last_step():
    """The remainder is inside autograd: a task loss moves each p, whose analytic slope is known."""
    logits = torch.tensor([[-1.0, -0.5, 0.3, 2.0]], requires_grad=True)
    weights, steps = halting_weights(logits, 0.99)
    gain = torch.tensor([1.0, 3.0, -2.0, 7.0])
    (weights * gain).sum().backward()
    assert steps.item() == 3
    p = torch.sigmoid(logits.detach())[0]
    slope = p * (1 - p) * (gain - gain[2])
    slope[2:] = 0.0
    torch.testing.assert_close(logits.grad[0], slope)


def test_halting_starts_late_but_can_learn():
    """The logit starts at bias -3 with zero weights, and its gradient is not zero."""
    core = RefinementCore(ModelConfig(d_model=16, n_heads=2, ffn_hidden=8))
    assert HALT_BIAS == -3.0
    assert core.halting.bias.item() == -3.0 and not core.halting.weight.any()
    halt, _ = core.stop_logits(torch.randn(2, 5, 16), None)
    halt.sum().backward()
    assert core.halting.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("applied", "price"), [(0, 0.01), (50, 0.015), (100, 0.02), (900, 0.02)])
def test_price_warms_up_from_start_to_end(applied, price):
    """tau goes linearly from its stage's start to its end and stays there."""
    assert ponder_price(applied, 100, 0.01, 0.02) == pytest.approx(price)


def test_wrong_shape_is_refused():
    """A (B,) tensor is not a table of steps."""
    with pytest.raises(ValueError, match=r"\(batch, steps\)"):
        halting_weights(torch.zeros(3), 0.9)
