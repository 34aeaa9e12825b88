"""Generation by prefix-LM: the prompt is refined once, each new token on top of its cache.

Prompt states never depend on the answer, so the keys and values of every attention call of every
refinement step are kept and a new token costs one position, not the whole sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cogment_pipe.model.blocks import Geometry, Tape, rope_1d
from cogment_pipe.model.core import Carry
from cogment_pipe.model.feed import TextFeed
from cogment_pipe.model.memory import MemoryState
from cogment_pipe.model.model import Cogment, Encoded
from cogment_pipe.stage_config import HomeConfig, MemoryWrites, StageConfig

END = 2


@dataclass
class Sampling:
    """How a token is drawn: greedy at temperature 0, else from softmax(logits / temperature)."""

    temperature: float = 0.0
    generator: torch.Generator | None = None

    def draw(self, logits: Tensor) -> Tensor:
        """Next tokens (B,) from logits (B, vocab)."""
        if self.temperature == 0.0:
            return logits.argmax(-1)
        share = torch.softmax(logits.float() / self.temperature, -1)
        return torch.multinomial(share, 1, generator=self.generator).squeeze(1)


@dataclass
class Generated:
    """Answers of a batch of prompts.

    tokens: without the end token; steps: (B,) refinement steps used; halted_at: (B,) step at which
    halting by threshold would have stopped; exact: (B,) probability of being right, by the model.
    """

    tokens: list[list[int]]
    steps: Tensor
    halted_at: Tensor
    exact: Tensor


@torch.no_grad()
def generate(
    model: Cogment,
    feed: TextFeed,
    home: StageConfig | HomeConfig,
    *,
    max_new: int,
    halting: str = "none",
    exact_threshold: float = 0.5,
    sampling: Sampling | None = None,
    memory: MemoryState | None = None,
    cache: bool = True,
) -> Generated:
    """Answer prompts; `feed` holds prompts alone (length == prompt_length).

    How many refinement steps a row takes is decided on its prompt and holds for its answer.
    Without `cache` every token runs the whole sequence again: the same answers, for comparison.
    """
    sampling = sampling or Sampling()
    prompts = TextFeed(
        feed.stage,
        feed.task,
        feed.tokens,
        feed.prompt_length,
        feed.prompt_length,
        None,
        feed.segments,
    )
    encoded = model.prepare(prompts, home.memory, home.segment_steps, memory)
    # without a cache the prompt leaves nothing behind
    tape = RoomyTape(feed.prompt_length - 1, max_new) if cache else None
    encoded.geo.tape = tape
    y, steps, halted_at, exact = _refine_prompt(model, encoded, home, halting, exact_threshold)
    rows = torch.arange(len(y), device=y.device)
    last = y[rows, feed.prompt_length - 1]  # (B, D): the position that predicts the first token
    kind = _Cached if cache else _Recomputed
    after = kind(model, encoded, steps)
    answers: list[list[int]] = [[] for _ in rows]
    open_rows = torch.ones(len(rows), dtype=torch.bool, device=y.device)
    for number in range(max_new):
        token = sampling.draw(model.text(last))
        open_rows &= token != END
        if not bool(open_rows.any()):
            break
        for row in open_rows.nonzero().squeeze(1).tolist():
            answers[row].append(int(token[row]))
        if number + 1 == max_new:
            break
        last = after.token(token)
    return Generated(answers, steps.cpu(), halted_at.cpu(), exact.cpu())


class RoomyTape(Tape):
    """A tape with room for all positions to come, so that a new one copies none of the others."""

    def __init__(self, last: Tensor, room: int) -> None:
        super().__init__(last)
        self.room = room
        self.filled: list[int] = []

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put keys and values (B, heads, L, head_dim) of this call in; returns all so far."""
        number, self.position = self.position, self.position + 1
        if number == len(self.entries):
            wide = (*k.shape[:2], k.shape[2] + self.room, k.shape[3])
            self.entries.append((k.new_empty(wide), v.new_empty(wide)))
            self.filled.append(0)
        start = self.filled[number]
        self.filled[number] = end = start + k.shape[2]
        for whole, new in zip(self.entries[number], (k, v), strict=True):
            whole[:, :, start:end] = new
        keys, values = self.entries[number]
        return keys[:, :, :end], values[:, :, :end]


class _Cached:
    """New tokens on top of what the prompt and earlier tokens left on the tape."""

    def __init__(self, model: Cogment, encoded: Encoded, steps: Tensor) -> None:
        self.model, self.encoded, self.steps = model, encoded, steps
        feed = encoded.feed
        width = torch.arange(feed.tokens.shape[1], device=steps.device)
        self.mask = width < feed.prompt_length.unsqueeze(1)  # (B, P), one column more per token
        self.place = feed.prompt_length.unsqueeze(1)  # (B, 1)

    def token(self, token: Tensor) -> Tensor:
        """Adapted answer state (B, D) after one more token (B,)."""
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], 1)
        place, self.place = self.place, self.place + 1
        tape = self.encoded.geo.tape
        arguments = (self.model, self.encoded, token, place, self.mask, self.steps, tape)
        return _refine_token(*arguments)


class _Recomputed:
    """New tokens by running prompt and answer anew, each row for its own number of steps."""

    def __init__(self, model: Cogment, encoded: Encoded, steps: Tensor) -> None:
        self.model, self.encoded, self.steps = model, encoded, steps
        self.tokens, self.length = encoded.feed.tokens, encoded.feed.prompt_length

    def token(self, token: Tensor) -> Tensor:
        """Adapted answer state (B, D) after one more token (B,)."""
        model, prompts = self.model, self.encoded.feed
        rows = torch.arange(len(token), device=token.device)
        if int(self.length.max()) == self.tokens.shape[1]:
            self.tokens = torch.cat([self.tokens, torch.zeros_like(self.tokens[:, :1])], 1)
        self.tokens = self.tokens.clone()
        self.tokens[rows, self.length] = token
        self.length = self.length + 1
        feed = replace(prompts, tokens=self.tokens, length=self.length, segments=None)
        whole = model.prepare(feed, MemoryWrites())
        whole.memory = self.encoded.memory
        carry = model.start(whole)
        final = torch.zeros_like(whole.inject)
        for number in range(1, int(self.steps.max()) + 1):
            carry = model.step(whole, carry)
            final = torch.where((self.steps == number)[:, None, None], carry.y, final)
        return model.answer(whole, final)[rows, self.length - 1]


def _refine_prompt(
    model: Cogment,
    encoded: Encoded,
    home: StageConfig | HomeConfig,
    halting: str,
    exact_threshold: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Adapted answer states (B, P, D) at each row's last step, that step, where the threshold
    would have stopped, and the correctness probability, each (B,)."""
    carry = model.start(encoded)
    batch = encoded.inject.shape[0]
    device = encoded.inject.device
    steps = torch.zeros(batch, dtype=torch.int64, device=device)
    halted_at = torch.zeros_like(steps)
    spent = torch.zeros(batch, device=device)
    exact = torch.zeros(batch, device=device)
    going = torch.ones(batch, dtype=torch.bool, device=device)
    final = torch.zeros_like(encoded.inject)
    for _ in range(home.max_refinement_steps):
        carry = model.step(encoded, carry)
        halt, right = model.core.stop_logits(carry.y, encoded.readable)
        final = torch.where(going[:, None, None], carry.y, final)
        exact = torch.where(going, torch.sigmoid(right), exact)
        steps += going
        halted_at += spent < home.act_threshold
        spent += torch.sigmoid(halt)
        if halting == "threshold":
            going = going & (spent < home.act_threshold)
        elif halting == "exact":
            going = going & (torch.sigmoid(right) < exact_threshold)
        if not bool(going.any()):
            break
    return model.answer(encoded, final), steps, halted_at, exact


def _refine_token(
    model: Cogment,
    encoded: Encoded,
    token: Tensor,
    place: Tensor,
    mask: Tensor,
    steps: Tensor,
    tape: Tape,
) -> Tensor:
    """Adapted answer state (B, D) of one new position, each row after its own number of steps."""
    stage = encoded.feed.stage
    cos, sin = rope_1d(place, model.core_head_dim)
    ahead = torch.zeros_like(place).unsqueeze(-1)  # an answer sees nothing to its right
    geo = Geometry(cos[:, None], sin[:, None], mask[:, None, None], ahead=ahead, tape=tape)
    inject = model.adapters(model.text.embed(token.unsqueeze(1)), stage, "input")
    one = Encoded(encoded.feed, inject, geo, encoded.memory, None, None, None, steps)
    carry: Carry = model.start(one)
    tape.rewind()
    final = torch.zeros_like(inject)
    for number in range(1, int(steps.max()) + 1):
        carry = model.step(one, carry)
        final = torch.where((steps == number)[:, None, None], carry.y, final)
    return model.answer(one, final).squeeze(1)
