"""Early exit: rows leave the batch with the answer they have, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from cogment_pipe.inference import Stopper, refine
from cogment_pipe.model.act import halting_weights
from cogment_pipe.model.feed import GridFeed
from cogment_pipe.model.model import Cogment, StepOutput
from cogment_pipe.stage_config import HomeConfig, MemoryWrites, ModelConfig

STEPS = 6


@pytest.fixture(scope="module")
def model() -> Cogment:
    """Random weights with a lively halting logit."""
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_heads": 2, "ffn_hidden": 48, "vocab_size": 20, "max_side": 8}
    sizes |= {"head_hidden": 16, "adapter_rank": 2, "memory_hidden": 16}
    model = Cogment(ModelConfig(**sizes))
    with torch.no_grad():
        model.core.halting.weight.normal_(std=0.6)
        model.core.halting.bias.fill_(-1.2)
        model.core.exact.weight.normal_(std=0.6)
        model.core.exact.bias.fill_(-0.5)
    return model


@pytest.fixture(scope="module")
def feed() -> GridFeed:
    """Sixteen random 3 x 3 grids with demonstrations, one of them with padding."""
    random = torch.Generator().manual_seed(1)
    symbols = torch.randint(1, 12, (16, 9), generator=random)
    context = torch.randint(1, 12, (16, 5, 2), generator=random)
    places = torch.randint(0, 3, (16, 5, 3), generator=random)
    return GridFeed(1, 3, (3, 3), symbols, None, context, places)


def home(threshold: float = 0.7) -> HomeConfig:
    return HomeConfig(
        max_refinement_steps=STEPS,
        act_threshold=threshold,
        batch_size=16,
        update="per_step",
        detach=True,
        segment_steps=1,
        memory=MemoryWrites(),
    )


@torch.no_grad()
def all_outputs(model: Cogment, feed: GridFeed) -> list[StepOutput]:
    encoded = model.prepare(feed, MemoryWrites())
    carry, outputs = model.start(encoded), []
    for _ in range(STEPS):
        carry = model.step(encoded, carry)
        outputs.append(model.outputs(encoded, carry))
    return outputs


def test_fixed_depth_keeps_every_step(model, feed):
    """Without halting all steps are run, and the last is the answer."""
    refined = refine(model, feed, home())
    outputs = all_outputs(model, feed)
    steps = torch.stack([o.logits.argmax(-1).view(16, 9) for o in outputs])
    assert torch.equal(refined.by_step, steps)
    assert torch.equal(refined.prediction, steps[-1])
    assert refined.steps.tolist() == [STEPS] * 16


@pytest.mark.parametrize("threshold", [0.4, 0.7, 0.95])
def test_a_row_stops_where_the_rule_says_with_the_answer_of_that_step(model, feed, threshold):
    """Step, answer and confidence equal those of the run in which nobody leaves."""
    refined = refine(model, feed, home(threshold), halting="threshold")
    outputs = all_outputs(model, feed)
    _, steps = halting_weights(torch.stack([o.halt for o in outputs], 1), threshold)
    assert torch.equal(refined.steps, steps) and torch.equal(refined.halted_at, steps)
    for row, step in enumerate(steps.tolist()):
        said = outputs[step - 1]
        assert torch.equal(refined.prediction[row], said.logits.view(16, 9, -1)[row].argmax(-1))
        torch.testing.assert_close(refined.exact[row], torch.sigmoid(said.exact[row]))
    if threshold == 0.7:
        assert len(set(steps.tolist())) > 1  # else the test would show nothing
    full = refine(model, feed, home(threshold))
    assert torch.equal(full.halted_at, steps)


def test_exit_by_the_correctness_logit(model, feed):
    """A row leaves at the first step at which the model thinks it is right."""
    refined = refine(model, feed, home(), halting="exact", exact_threshold=0.4)
    sure = torch.stack([torch.sigmoid(o.exact) for o in all_outputs(model, feed)], 1) >= 0.4
    sure[:, -1] = True
    first = sure.int().argmax(1) + 1
    assert torch.equal(refined.steps, first)
    assert len(set(first.tolist())) > 1


def test_leaving_saves_work(model, feed, monkeypatch):
    """The rows that the core sees are those that still go on: the sum of the steps taken."""
    seen = []
    step = Cogment.step
    monkeypatch.setattr(
        Cogment, "step", lambda self, e, c, *a: (seen.append(len(c.y)), step(self, e, c, *a))[1]
    )
    refined = refine(model, feed, home(), halting="threshold")
    assert sum(seen) == int(refined.steps.sum()) < 16 * STEPS


def test_a_batch_of_one_takes_the_same_steps(model, feed):
    """The halting step of a row does not depend on the rows beside it."""
    together = refine(model, feed, home(), halting="threshold")
    for row in range(16):
        alone = refine(model, feed.rows(torch.tensor([row])), home(), halting="threshold")
        assert alone.steps.item() == together.steps[row].item()
        assert torch.equal(alone.prediction[0], together.prediction[row])


def test_stopper_by_hand():
    """p = .5 three times, threshold .9: two steps."""
    stopper = Stopper(1, "threshold", 0.9, 0.5)
    output = StepOutput(torch.zeros(1, 2), torch.zeros(1), torch.zeros(1))
    live = torch.arange(1)
    assert [bool(stopper.stops(live, output)) for _ in range(3)] == [False, True, True]
    assert stopper.halted_at.tolist() == [2]
