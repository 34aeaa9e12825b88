"""Cogment: embeddings, refinement core, long-term memory, adapters and heads put together.

One forward pass is `prepare` (embed, place, read earlier segments), then `step` and `outputs` as
often as refinement goes on. Nothing is kept in the module between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cogment_pipe.model.adapters import StageAdapters
from cogment_pipe.model.blocks import Geometry, rope_1d, rope_2d
from cogment_pipe.model.core import Carry, RefinementCore
from cogment_pipe.model.feed import Feed, GridFeed, TextFeed
from cogment_pipe.model.heads import GridEmbedding, GridHead, TextHead
from cogment_pipe.model.memory import GatedLTM, MemoryState, WriteStats
from cogment_pipe.stage_config import MemoryWrites, ModelConfig

N_STAGES = 5
HALTING = ("core.halting.", "core.exact.")


@dataclass
class Encoded:
    """A batch ready to be refined: injected input, geometry, memory, and what is predicted where.

    inject: (B, L, D); readable: (B, L, 1) positions that stopping logits may read, or None for all;
    positions: (N,) flat indices into B * L of the predictions, or None for every position;
    labels: (N,) symbols to predict, or None; row: (N,) batch row of each prediction.
    """

    feed: Feed
    inject: Tensor
    geo: Geometry
    memory: MemoryState | None
    readable: Tensor | None
    positions: Tensor | None
    labels: Tensor | None
    row: Tensor
    writes: WriteStats | None = None


@dataclass
class StepOutput:
    """What a refinement step says: logits (N, symbols), halting and correctness logits (B,)."""

    logits: Tensor
    halt: Tensor
    exact: Tensor


class Cogment(nn.Module):
    """The whole model; `components` tells which parameters are core, memory, halting and other."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.core = RefinementCore(config)
        self.memory = GatedLTM(config.d_model, config.n_heads, config.memory_hidden)
        self.adapters = StageAdapters(N_STAGES, config.d_model, config.adapter_rank)
        self.grid_embedding = GridEmbedding(config)
        self.grid_head = GridHead(config)
        self.text = TextHead(config)

    def components(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Parameters by the optimizer that owns them; each in exactly one, names sorted."""
        groups: dict[str, list[tuple[str, nn.Parameter]]] = {
            name: [] for name in ("core", "memory", "halting", "other")
        }
        for name, parameter in sorted(self.named_parameters()):
            if name.startswith(HALTING):
                groups["halting"].append((name, parameter))
            elif name.startswith(("core.", "memory.")):
                groups[name.split(".")[0]].append((name, parameter))
            else:
                groups["other"].append((name, parameter))
        return groups

    # -- embed and place -----------------------------------------------------------------------

    def prepare(
        self,
        feed: Feed,
        writes: MemoryWrites,
        segment_steps: int = 1,
        memory: MemoryState | None = None,
    ) -> Encoded:
        """Embed a batch; where the document has earlier segments, read and write them first.

        `memory` replaces the state that the batch would start from (after its segments).
        """
        if feed.checked is not self.config:  # once a batch: each check makes a GPU wait
            feed.check(self.config)
            feed.checked = self.config
        if isinstance(feed, GridFeed):
            encoded = self._prepare_grid(feed)
        else:
            encoded = self._prepare_text(feed, feed.tokens, feed.prompt_length, feed.length)
        stats = None
        if writes.read and memory is None:
            memory, stats = self.read_document(feed, writes, segment_steps)
        encoded.memory = memory if writes.read else None
        encoded.writes = stats
        return encoded

    def _prepare_grid(self, feed: GridFeed) -> Encoded:
        height, width = feed.grid
        head_dim = self.core_head_dim
        device = feed.symbols.device
        rows = torch.arange(height, device=device).repeat_interleave(width)
        columns = torch.arange(width, device=device).repeat(height)
        cos, sin = rope_2d(rows, columns, head_dim)
        geo = Geometry(cos[None, None], sin[None, None], grid=feed.grid)
        inject = self.grid_embedding(feed.symbols, rows, columns, feed.grid, feed.task)
        inject = self.adapters(inject, feed.stage, "input")
        seen = feed.symbols != 0
        if feed.context is not None:
            geo.context, context_seen = self._encode_context(feed, head_dim)
            if feed.padded or feed.context_padded:
                geo.mask = torch.cat([seen, context_seen], 1)[:, None, None]
        elif feed.padded:
            geo.mask = seen[:, None, None]
        if feed.padded:
            geo.valid = seen.unsqueeze(-1).to(inject.dtype)
        targets = feed.targets
        positions = labels = None
        row = torch.arange(feed.symbols.shape[0], device=device)
        if targets is None:
            row = row.repeat_interleave(height * width)
        else:
            positions = (targets.flatten() != -100).nonzero().squeeze(1)
            labels, row = targets.flatten()[positions], positions // (height * width)
        return Encoded(feed, inject, geo, None, geo.valid, positions, labels, row)

    def _encode_context(
        self, feed: GridFeed, head_dim: int
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Demonstrations, encoded once: keys and values per block, and which cells are real."""
        place = feed.context_position
        cos, sin = rope_2d(place[..., 0], place[..., 1], head_dim)
        seen = feed.context.sum(-1) != 0  # (B, C)
        mask = seen[:, None, None] if feed.context_padded else None
        geo = Geometry(cos[:, None], sin[:, None], mask)
        x = self.grid_embedding.context(feed.context, place, feed.task)
        x = self.adapters(x, feed.stage, "input")
        return self.core.encode_context(x, geo), seen

    def _prepare_text(
        self, feed: TextFeed, tokens: Tensor, prompt_length: Tensor, length: Tensor
    ) -> Encoded:
        batch, width = tokens.shape
        place = torch.arange(width, device=tokens.device)
        cos, sin = rope_1d(place, self.core_head_dim)
        in_prompt = place < prompt_length.unsqueeze(1)  # (B, L)
        real = place < length.unsqueeze(1)
        # prefix-LM: the prompt sees the prompt, an answer token also the answer before it
        allowed = in_prompt[:, None, :] | (place[None, :] <= place[:, None])[None]
        # each position sees itself: a row without any key would give NaN, even on padding
        own = torch.eye(width, dtype=torch.bool, device=tokens.device)
        mask = ((allowed & real[:, None, :]) | own)[:, None]  # (B, 1, L, L)
        ahead = (place + 1 < prompt_length.unsqueeze(1)).unsqueeze(-1)  # (B, L, 1)
        geo = Geometry(cos[None, None], sin[None, None], mask, ahead=ahead)
        inject = self.adapters(self.text.embed(tokens), feed.stage, "input")
        readable = in_prompt.unsqueeze(-1).to(inject.dtype)
        positions = labels = None
        row = torch.arange(batch, device=tokens.device).repeat_interleave(width)
        if feed.targets is not None and tokens is feed.tokens:
            positions = (feed.targets.flatten() != -100).nonzero().squeeze(1)
            labels, row = feed.targets.flatten()[positions], positions // width
        return Encoded(feed, inject, geo, None, readable, positions, labels, row)

    @property
    def core_head_dim(self) -> int:
        """Width of one attention head."""
        return self.config.d_model // self.config.n_heads

    # -- memory --------------------------------------------------------------------------------

    def read_document(
        self, feed: Feed, writes: MemoryWrites, segment_steps: int
    ) -> tuple[MemoryState, WriteStats | None]:
        """The memory after all earlier segments of the document; the bank where there are none.

        With it, what the segments wrote; None where nothing was.
        """
        first = feed.symbols if isinstance(feed, GridFeed) else feed.tokens
        state, stats = self.memory.start(first.shape[0]), None
        for after, written in self.walk_document(feed, writes, segment_steps):
            state, stats = after, stats if written is None else written.after(stats)
        return state, stats

    def walk_document(
        self, feed: Feed, writes: MemoryWrites, segment_steps: int
    ) -> Iterator[tuple[MemoryState, WriteStats | None]]:
        """The memory after each earlier segment, and what that segment wrote."""
        if isinstance(feed, GridFeed) or feed.segments is None:
            return
        state, stats = self.memory.start(feed.tokens.shape[0]), None
        for number in range(feed.segments.shape[1]):
            tokens = feed.segments[:, number]
            length = (tokens != 0).sum(1)
            encoded = self._prepare_text(feed, tokens, length, length)
            encoded.memory = state
            carry = self.start(encoded)
            for _ in range(segment_steps):
                carry = self.step(encoded, carry)
            if writes.alpha > 0:
                hidden = self.memory.address(encoded.inject, carry.y)
                state, stats = self.memory.write(state, hidden, tokens != 0, writes)
            if writes.truncate and (number + 1) % writes.truncate == 0:
                state = state.detach()
            yield state, stats

    # -- refine --------------------------------------------------------------------------------

    def start(self, encoded: Encoded) -> Carry:
        """Initial states of a batch."""
        return self.core.start(*encoded.inject.shape[:2])

    def step(self, encoded: Encoded, carry: Carry, recompute: bool = False) -> Carry:
        """One refinement step; `recompute` keeps no activations (activation checkpointing)."""
        if recompute and torch.is_grad_enabled():
            return checkpoint(self._step, encoded, carry, use_reentrant=False)
        return self._step(encoded, carry)

    def _step(self, encoded: Encoded, carry: Carry) -> Carry:
        inject = encoded.inject
        if encoded.memory is not None:
            asked = self.memory.address(inject, carry.y)
            inject = inject + self.memory.read(encoded.memory, asked)
        return self.core.step(carry, inject, encoded.geo, self._adapter(encoded.feed.stage))

    def _adapter(self, stage: int) -> Callable[[Tensor, str], Tensor]:
        return lambda x, site: self.adapters(x, stage, site)

    def answer(self, encoded: Encoded, y: Tensor) -> Tensor:
        """Answer states y (B, L, D) as a head reads them: adapted; on text with the memory's find.

        A core that has learnt grids takes hundreds of updates to hand a found word on unchanged.
        """
        adapted = self.adapters(y, encoded.feed.stage, "output")
        if encoded.memory is None or isinstance(encoded.feed, GridFeed):
            return adapted
        found = self.memory.read(encoded.memory, self.memory.address(encoded.inject, y))
        return adapted + self.memory.answer_share.to(y.dtype) * found

    def outputs(self, encoded: Encoded, carry: Carry) -> StepOutput:
        """Logits at the predicted positions and the stopping logits of each row."""
        y = self.answer(encoded, carry.y)
        halt, exact = self.core.stop_logits(carry.y, encoded.readable)
        if isinstance(encoded.feed, GridFeed):
            logits = self.grid_head(y, encoded.feed.grid, encoded.geo.valid).flatten(0, 1)
            if encoded.positions is not None:
                logits = logits[encoded.positions]
        else:
            flat = y.flatten(0, 1)
            logits = self.text(flat if encoded.positions is None else flat[encoded.positions])
        return StepOutput(logits, halt, exact)


def select(encoded: Encoded, rows: Tensor) -> Encoded:
    """Some rows of a prepared batch: how rows that have halted leave it."""
    geo = encoded.geo
    pick = lambda t: t if t is None or t.shape[0] == 1 else t[rows]  # noqa: E731
    context = None if geo.context is None else [(k[rows], v[rows]) for k, v in geo.context]
    geo = replace(
        geo,
        cos=pick(geo.cos),
        sin=pick(geo.sin),
        mask=pick(geo.mask),
        valid=pick(geo.valid),
        ahead=pick(geo.ahead),
        context=context,
    )
    memory = None if encoded.memory is None else MemoryState(encoded.memory.matrix[rows])
    feed = encoded.feed.rows(rows)
    width = encoded.inject.shape[1]
    row = torch.arange(len(rows), device=rows.device).repeat_interleave(width)
    return Encoded(feed, encoded.inject[rows], geo, memory, pick(encoded.readable), None, None, row)
