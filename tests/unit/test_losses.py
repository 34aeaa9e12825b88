"""Losses against hand-worked numbers and slow float64 references."""

from __future__ import annotations

import math

import pytest
import torch

from cogment_pipe.losses import (
    Alignment,
    LossParts,
    Share,
    consistency_loss,
    cross_entropy,
    deep_weights,
    improvement_loss,
    joint_loss,
    mean,
    paired,
    row_solved,
    step_loss,
)
from cogment_pipe.model.act import halting_weights, ponder_cost
from cogment_pipe.model.model import StepOutput
from cogment_pipe.stage_config import LossWeights

ROW = torch.tensor([0, 0, 0, 1, 1, 2])
LABELS = torch.tensor([1, 0, 3, 2, 2, 1])


def outputs(steps: int = 4, seed: int = 0, scale: float = 1.5) -> list[StepOutput]:
    """Random leaves: logits (6, 4), stopping logits (3,)."""
    torch.manual_seed(seed)
    return [
        StepOutput(*(torch.randn(*s).mul(scale).requires_grad_() for s in ((6, 4), (3,), (3,))))
        for _ in range(steps)
    ]


# -- pieces ------------------------------------------------------------------------------------


def test_deep_weights_by_hand():
    """decay .5, T = 5: 1, .5, .25, .125, .1 over their sum; `last` gives the last the most."""
    raw = torch.tensor([1.0, 0.5, 0.25, 0.125, 0.1]) / 1.975
    torch.testing.assert_close(deep_weights(5, 0.5, "first"), raw)
    torch.testing.assert_close(deep_weights(5, 0.5, "last"), raw.flip(0))
    assert deep_weights(1, 0.5, "last").tolist() == [1.0]
    torch.testing.assert_close(deep_weights(7, 0.3, "last").sum(), torch.tensor(1.0))


def test_cross_entropy_by_hand_and_with_smoothing():
    """-log softmax of the right symbol; smoothing s mixes in the mean over all symbols."""
    logits = torch.tensor([[0.0, math.log(3.0)]])
    label = torch.tensor([1])
    torch.testing.assert_close(cross_entropy(logits, label), torch.tensor([math.log(4 / 3)]))
    both = torch.tensor([math.log(4 / 3) * 0.95 + math.log(4.0) * 0.05])
    torch.testing.assert_close(cross_entropy(logits, label, 0.1), both)
    stacked = cross_entropy(logits.expand(3, 1, 2), label)
    assert stacked.shape == (3, 1)


@pytest.mark.parametrize(
    ("before", "after", "loss"),
    [(0.5, 0.51, 0.0), (0.5, 0.5, 0.01), (0.5, 0.3, 0.21), (0.995, 0.995, 0.005), (1.0, 1.0, 0.0)],
)
def test_improvement_by_hand(before, after, loss):
    """A step must gain the margin .01, or what is left to 1."""
    found = improvement_loss(torch.tensor([after]), torch.tensor([before]), 0.01)
    torch.testing.assert_close(found, torch.tensor(loss), atol=1e-6, rtol=0)


def test_improvement_never_pays_for_a_worse_earlier_step():
    """p_{t-1} has no gradient; p_t is pushed up where it did not gain enough."""
    before = torch.tensor([0.5, 0.5], requires_grad=True)
    after = torch.tensor([0.4, 0.9], requires_grad=True)
    improvement_loss(after, before, 0.01).backward()
    assert before.grad is None
    assert after.grad.tolist() == [-0.5, 0.0]


def test_row_solved_needs_every_target_and_none_means_right():
    """Row 0 has one wrong target, row 1 none, row 2 has no target at all."""
    logits = torch.eye(3)[[0, 1, 2]]
    labels, row = torch.tensor([0, 2, 2]), torch.tensor([0, 0, 1])
    assert row_solved(logits, labels, row, 3).tolist() == [False, True, True]


def test_mean_of_nothing_is_zero_with_a_gradient():
    """A batch without targets does not end in NaN."""
    empty = torch.zeros(0, requires_grad=True)
    loss = mean(empty)
    loss.backward()
    assert loss.item() == 0.0


# -- consistency -------------------------------------------------------------------------------


def test_consistency_by_hand_and_its_stop_gradient():
    """KL((.5, .5) || (.25, .75)) = .5 log 2 + .5 log(2/3); only the augmented side learns."""
    original = torch.tensor([[0.0, 0.0]], requires_grad=True)
    augmented = torch.tensor([[0.0, math.log(3.0)]], requires_grad=True)
    loss = consistency_loss(original, augmented)
    torch.testing.assert_close(loss, torch.tensor(0.5 * math.log(2) + 0.5 * math.log(2 / 3)))
    loss.backward()
    assert original.grad is None
    torch.testing.assert_close(augmented.grad, torch.tensor([[-0.25, 0.25]]))


def test_consistency_maps_back_before_comparing():
    """Cells move and symbols are renamed: an equivariant model pays nothing, others do."""
    torch.manual_seed(0)
    plain = torch.randn(3, 5, 4)  # three steps, five cells, four symbols
    cells, symbols = torch.randperm(5), torch.randperm(4)
    moved = torch.empty_like(plain)
    moved[..., symbols] = plain[:, cells]  # new cell c came from cells[c], s is called symbols[s]
    logits = torch.cat([plain, moved], 1)
    alignment = Alignment(cells, 5 + torch.arange(5), symbols.expand(5, 4))
    original, back = paired(logits, alignment)
    assert torch.equal(original, back)
    assert consistency_loss(original, back).abs() < 1e-7
    wrong = Alignment(cells, 5 + torch.arange(5), None)
    assert consistency_loss(*paired(logits, wrong)) > 0.1


# -- all steps together ------------------------------------------------------------------------


def slow_joint(out: list[StepOutput], weights: LossWeights, threshold: float, price: float):
    """The formula of the design, target by target, in float64."""
    steps = len(out)
    powers = [max(weights.decay**t, 0.1) for t in range(steps)]
    v = [p / sum(powers) for p in (powers[::-1] if weights.emphasis == "last" else powers)]
    logits = [o.logits.double() for o in out]
    log_p = [torch.log_softmax(x, -1) for x in logits]
    share, _ = halting_weights(torch.stack([o.halt for o in out], 1), threshold)
    share = share.double()
    n = len(LABELS)
    l_steps = l_mixed = l_gain = torch.zeros((), dtype=torch.float64)
    for i, (label, row) in enumerate(zip(LABELS, ROW, strict=True)):
        l_steps = l_steps + sum(-v[t] * log_p[t][i, label] for t in range(steps)) / n
        mixed = sum(share[row, t] * logits[t][i] for t in range(steps))
        l_mixed = l_mixed - torch.log_softmax(mixed, -1)[label] / n
        for t in range(1, steps):
            now, before = log_p[t][i, label].exp(), log_p[t - 1][i, label].exp().detach()
            want = min(weights.margin, float(1 - before))
            l_gain = l_gain + torch.relu(want - (now - before)) / n / (steps - 1)
    bce = torch.zeros((), dtype=torch.float64)
    for o in out:
        for b in range(3):
            mine = b == ROW
            right = float((o.logits[mine].argmax(-1) == LABELS[mine]).all())
            p = torch.sigmoid(o.exact[b].double())
            bce = bce - (right * p.log() + (1 - right) * (1 - p).log()) / 3 / steps
    ponder = sum((t + 1) * share[:, t] for t in range(steps)).mean()
    loss = weights.deep * (l_steps + l_mixed) / 2 + weights.improvement * l_gain
    return loss + weights.ponder * price * ponder + weights.exact * bce, ponder


@pytest.mark.parametrize("emphasis", ["last", "first"])
def test_joint_loss_is_the_formula(emphasis):
    """Value and every gradient equal the slow reference."""
    weights = LossWeights(deep=0.8, improvement=0.7, ponder=1.2, emphasis=emphasis)
    fast, slow = outputs(), outputs()
    parts = joint_loss(fast, LABELS, ROW, weights=weights, threshold=0.9, price=0.3)
    expected, ponder = slow_joint(slow, weights, 0.9, 0.3)
    torch.testing.assert_close(parts.loss.double(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(parts.ponder.double(), ponder, atol=1e-6, rtol=1e-6)
    parts.loss.backward()
    expected.backward()
    for a, b in zip(fast, slow, strict=True):
        for name in ("logits", "halt", "exact"):
            x, y = getattr(a, name).grad, getattr(b, name).grad
            if name == "halt" and x is None:
                assert y is None
                continue
            torch.testing.assert_close(x, y, atol=1e-6, rtol=1e-4)


def test_the_task_teaches_halting():
    """The mixed output's loss alone has a gradient in the halt logit."""
    out = outputs()
    weights = LossWeights(improvement=0, ponder=0, exact=0)
    joint_loss(out, LABELS, ROW, weights=weights, threshold=0.99, price=0.0).loss.backward()
    assert out[0].halt.grad.abs().sum() > 0


def test_ignored_targets_and_empty_batches():
    """No target at all: a finite loss with zero task part."""
    out = [StepOutput(o.logits[:0], o.halt, o.exact) for o in outputs()]
    none = torch.zeros(0, dtype=torch.int64)
    parts = joint_loss(out, none, none, weights=LossWeights(), threshold=0.9, price=0.1)
    assert torch.isfinite(parts.loss) and parts.steps.item() == parts.mixed.item() == 0.0


# -- one step at a time ------------------------------------------------------------------------


def by_steps(out: list[StepOutput], weights: LossWeights, threshold: float, price: float = 0.0):
    """step_loss over all steps: parts of each and the halting logits that they were given."""
    history, found, given = None, [], []
    for o in out:
        before = None
        if history is not None:
            before = given_logit = out[history.count - 1].halt.detach().clone().requires_grad_()
            given.append(given_logit)
        y = torch.zeros(3, 1, 1)
        parts, history = step_loss(
            o, y, LABELS, ROW, history, before, weights=weights, threshold=threshold, price=price
        )
        found.append(parts)
    return found, given


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_step_loss_mixes_as_graves_would_if_this_step_were_the_last(threshold, seed):
    """At every t: mixed loss and ponder of the joint rule over the first t steps."""
    out, weights = outputs(5, seed), LossWeights()
    found, _ = by_steps(out, weights, threshold)
    for t in range(1, 6):
        halt = torch.stack([o.halt for o in out[:t]], 1).detach()
        share, _ = halting_weights(halt, threshold)
        logits = torch.stack([o.logits for o in out[:t]]).detach()
        mixed = torch.einsum("nt,tnv->nv", share[ROW], logits)
        expected = cross_entropy(mixed, LABELS).mean()
        torch.testing.assert_close(found[t - 1].mixed.detach(), expected, atol=1e-5, rtol=1e-5)
        cost = ponder_cost(share).mean()
        torch.testing.assert_close(found[t - 1].ponder.detach(), cost, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("threshold", [0.6, 0.95])
def test_step_loss_has_the_joint_gradient_for_the_last_two_steps(threshold):
    """d/d halt_{t-1} and d/d o_t equal autograd through the joint formula ending at t."""
    weights = LossWeights(deep=2.0, improvement=0.0, ponder=1.0, exact=0.0)
    for t in range(2, 6):
        out = outputs(t, seed=t)
        found, given = by_steps(out, weights, threshold, price=0.4)
        # the term of this step's own cross-entropy is not part of the mixture
        (found[-1].mixed + 0.4 * found[-1].ponder).backward()
        again = outputs(t, seed=t)
        share, _ = halting_weights(torch.stack([o.halt for o in again], 1), threshold)
        logits = torch.stack([o.logits for o in again])
        mixed = torch.einsum("nt,tnv->nv", share[ROW], logits)
        loss = cross_entropy(mixed, LABELS).mean() + 0.4 * ponder_cost(share).mean()
        loss.backward()
        torch.testing.assert_close(given[-1].grad, again[t - 2].halt.grad, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(out[-1].logits.grad, again[-1].logits.grad, atol=1e-6, rtol=1e-5)


def test_rows_that_have_halted_drop_out():
    """Once the sum has reached the threshold later outputs weigh nothing."""
    out = outputs(4)
    for o in out:
        o.halt.data.fill_(4.0)
    found, given = by_steps(out, LossWeights(), 0.9)
    torch.testing.assert_close(found[3].mixed, found[0].mixed, atol=1e-5, rtol=1e-5)
    assert found[3].ponder.item() == pytest.approx(1.0, abs=1e-5)
    found[3].mixed.backward()
    assert out[3].logits.grad.abs().max() < 1e-6
    assert given[-1].grad is None or given[-1].grad.abs().max() < 1e-6


def test_step_loss_parts_are_this_steps_own():
    """Cross-entropy of the newest step, and its improvement over the one before."""
    out = outputs(3)
    found, _ = by_steps(out, LossWeights(improvement=1.0), 0.99)
    right = [torch.exp(-cross_entropy(o.logits, LABELS)) for o in out]
    for t in range(3):
        torch.testing.assert_close(found[t].steps, cross_entropy(out[t].logits, LABELS).mean())
        if t:
            torch.testing.assert_close(
                found[t].improvement, improvement_loss(right[t], right[t - 1], 0.01)
            )
    assert found[0].improvement.item() == 0.0


# -- micro-batches -----------------------------------------------------------------------------


def test_shares_weigh_parts_by_targets_rows_and_pairs():
    """Two micro-batches of unequal size add up to the whole, part by part."""
    weights = LossWeights(deep=0.7, improvement=0.9, consistency=0.5, ponder=1.1)
    options = {"weights": weights, "threshold": 0.9, "price": 0.3}
    alignment = Alignment(torch.tensor([0, 3]), torch.tensor([1, 4]))
    whole = joint_loss(outputs(), LABELS, ROW, alignment=alignment, **options)
    chunks = []
    for rows, pairs in (([0], ([0], [1])), ([1, 2], ([0], [1]))):
        mine = torch.isin(ROW, torch.tensor(rows))
        part = [StepOutput(o.logits[mine], o.halt[rows], o.exact[rows]) for o in outputs()]
        aligned = Alignment(*map(torch.tensor, pairs))
        share = Share(int(mine.sum()) / 6, len(rows) / 3, 0.5)
        row = ROW[mine] - rows[0]
        chunks.append(
            joint_loss(part, LABELS[mine], row, alignment=aligned, share=share, **options)
        )
    together = LossParts.total(chunks)
    for name, value in whole.detached().items():
        torch.testing.assert_close(together.detached()[name], value, atol=1e-6, rtol=1e-5)
    assert whole.consistency > 0 and not together.loss.requires_grad
