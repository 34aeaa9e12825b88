"""Generation: the cache changes nothing, and teacher forcing tells what generation will say."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cogment_pipe.model.decode import END, Sampling, generate
from cogment_pipe.model.feed import TextFeed


def prompts_of(feed: TextFeed) -> TextFeed:
    """The same rows without their answers."""
    width = int(feed.prompt_length.max())
    tokens = feed.tokens[:, :width].clone()
    tokens[torch.arange(width) >= feed.prompt_length.unsqueeze(1)] = 0
    return dataclasses.replace(feed, tokens=tokens, length=feed.prompt_length, targets=None)


@torch.no_grad()
def by_recomputing(model, feed: TextFeed, home, max_new: int, steps: int | None = None):
    """Greedy decoding of one row that runs the whole sequence again for each token."""
    tokens, answer = feed.tokens[:, : int(feed.prompt_length)], []
    for _ in range(max_new):
        length = torch.tensor([tokens.shape[1]])
        whole = dataclasses.replace(feed, tokens=tokens, length=length, targets=None)
        encoded = model.prepare(whole, home.memory, home.segment_steps)
        carry = model.start(encoded)
        for _ in range(steps or home.max_refinement_steps):
            carry = model.step(encoded, carry)
        token = int(model.outputs(encoded, carry).logits[-1].argmax())
        if token == END:
            break
        answer.append(token)
        tokens = torch.cat([tokens, torch.tensor([[token]])], 1)
    return answer


@pytest.mark.parametrize("segments", [0, 2])
@pytest.mark.parametrize("halting", ["none", "threshold"])
def test_cache_equals_recomputing(build, texts, home, segments, halting):
    """Keys, values and convolution inputs kept from earlier calls give the same answers."""
    for seed in range(3):
        model = build(seed)
        feed = prompts_of(texts(seed=seed, segments=segments))
        found = generate(model, feed, home, max_new=7, halting=halting)
        for row in range(4):
            alone = feed.rows(torch.tensor([row]))
            alone.tokens = alone.tokens[:, : int(alone.prompt_length)]
            slow = by_recomputing(model, alone, home, 7, int(found.steps[row]))
            assert found.tokens[row] == slow
    assert (found.steps == 5).all() if halting == "none" else (found.steps <= 5).all()


class Recorder(Sampling):
    """Keeps the logits that every token was drawn from."""

    def draw(self, logits: torch.Tensor) -> torch.Tensor:
        self.seen = [*getattr(self, "seen", []), logits.clone()]
        return super().draw(logits)


@pytest.mark.parametrize("segments", [0, 2])
@pytest.mark.parametrize("halting", ["none", "threshold"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_cache_changes_no_logit(build, texts, home, segments, halting, temperature):
    """A batch with prompts of several lengths, greedy or drawn: fp32 logits to 1e-4 at every token,
    and the same tokens, steps and confidence."""
    feed = prompts_of(texts(seed=1, segments=segments))
    found, logits = [], []
    for cache in (True, False):
        sampling = Recorder(temperature, torch.Generator().manual_seed(0))
        options = {"max_new": 9, "halting": halting, "sampling": sampling, "cache": cache}
        found.append(generate(build(2), feed, home, **options))
        logits.append(torch.stack(sampling.seen))
    assert logits[0].shape[0] > 3 and logits[0].std() > 0.1
    torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-4)
    cached, plain = found
    assert cached.tokens == plain.tokens and torch.equal(cached.steps, plain.steps)
    assert torch.equal(cached.exact, plain.exact)
    if halting == "threshold":
        assert len(set(cached.steps.tolist())) > 1


@torch.no_grad()
def test_teacher_forcing_is_right_everywhere_exactly_when_generation_is(build, texts, home):
    """Gold answers that the model gives are right under teacher forcing, altered ones are not."""
    model = build(3)
    feed = prompts_of(texts(segments=1))
    found = generate(model, feed, home, max_new=4)
    for row, answer in enumerate(found.tokens):
        prompt = feed.tokens[row, : int(feed.prompt_length[row])].tolist()
        for change in [None, *range(len(answer))]:
            gold = list(answer)
            if change is not None:
                gold[change] = (gold[change] - 5 + 3) % 55 + 5
            tokens = torch.tensor([prompt + gold])
            targets = torch.full_like(tokens, -100)
            targets[0, len(prompt) - 1 : -1] = tokens[0, len(prompt) :]
            length = torch.tensor([tokens.shape[1]])
            taught = feed.rows(torch.tensor([row]))
            taught = dataclasses.replace(taught, tokens=tokens, length=length, targets=targets)
            encoded = model.prepare(taught, home.memory, home.segment_steps)
            carry = model.start(encoded)
            for _ in range(home.max_refinement_steps):
                carry = model.step(encoded, carry)
            right = model.outputs(encoded, carry).logits.argmax(-1) == encoded.labels
            assert bool(right.all()) == (change is None)


def test_batch_and_padding_do_not_change_answers(model, texts, home):
    """Rows answered together, alone and behind more padding say the same."""
    feed = prompts_of(texts())
    together = generate(model, feed, home, max_new=5)
    wide = dataclasses.replace(feed, tokens=torch.nn.functional.pad(feed.tokens, (0, 5)))
    assert generate(model, wide, home, max_new=5).tokens == together.tokens
    for row in range(4):
        alone = generate(model, feed.rows(torch.tensor([row])), home, max_new=5)
        assert alone.tokens[0] == together.tokens[row]
        assert alone.steps[0] == together.steps[row]


def test_sampling_is_greedy_at_zero_and_keyed_above():
    """Temperature 0 takes the largest logit; else equal generators draw equal tokens."""
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 0.0]])
    assert Sampling().draw(logits).tolist() == [1, 0]
    draws = [
        Sampling(1.0, torch.Generator().manual_seed(7)).draw(logits.expand(50, 2, 3)[:, 0])
        for _ in range(2)
    ]
    assert torch.equal(*draws) and len(set(draws[0].tolist())) > 1
