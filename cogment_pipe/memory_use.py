"""What the memory is for: the same documents with it tampered with, and a record of its use.

The record is exact: the memory of a document is the bank plus what each segment changed, so what
a question reads splits into one part per segment.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cogment_pipe.answers import Answering
from cogment_pipe.model.decode import generate
from cogment_pipe.model.feed import TextFeed
from cogment_pipe.model.memory import MemoryState, WriteStats
from cogment_pipe.stage_config import HomeConfig

MODES = ("zeroed", "swapped", "unwritten")
NOTE = (
    "Means over documents: gate and surprise of a segment's writes, by how much it changed the "
    "memory, what the question reads of that change, and its share of all that is read."
)
FIELDS = ("tokens", "gate", "surprise", "change", "read")


@dataclass
class MemoryUse:
    """values: answers under each tampering, in item order; traces: per item one row per segment.

    A row has `segment` (from 1), `tokens`, mean `gate` and `surprise` of its writes, `change` (norm
    of what it changed in the memory, mean over heads) and `read` (norm of what the question reads
    of that change, mean over heads and the question's positions).
    """

    values: dict[str, list[str]] = field(default_factory=lambda: {mode: [] for mode in MODES})
    traces: list[list[dict]] = field(default_factory=list)


def memory_use(run: Answering, task: object, home: HomeConfig, stage: int, count: int) -> MemoryUse:
    """Answer the first `count` items with the memory zeroed, swapped with that of the next item's
    document, and never written; and record what was written and read."""
    found = MemoryUse()
    for index in run.parts(count):
        with torch.no_grad(), run.autocast():
            feed = run.feed(task, stage, index)
            beyond = run.feed(task, stage, (index[-1:] + 1) % count)
            walked = list(run.model.walk_document(feed, home.memory, home.segment_steps))
            bank = run.model.memory.start(len(index))
            ends = walked[-1][0] if walked else bank
            after, _ = run.model.read_document(beyond, home.memory, home.segment_steps)
            states = {
                "zeroed": torch.zeros_like(ends.matrix),
                "swapped": torch.cat([ends.matrix[1:], after.matrix]),
                "unwritten": bank.matrix,
            }
            for mode, matrix in states.items():
                tokens = generate(
                    run.model,
                    feed,
                    home,
                    max_new=run.settings.max_new_tokens,
                    halting=run.settings.halting,
                    exact_threshold=run.settings.exact_threshold,
                    memory=MemoryState(matrix),
                ).tokens
                found.values[mode] += run.texts(tokens)
            found.traces += _traces(run, feed, home, bank, walked)
    return found


def _traces(
    run: Answering,
    feed: TextFeed,
    home: HomeConfig,
    bank: MemoryState,
    walked: list[tuple[MemoryState, WriteStats | None]],
) -> list[list[dict]]:
    """One list of rows per item, see `MemoryUse`; empty where nothing is written."""
    rows: list[list[dict]] = [[] for _ in range(len(feed.tokens))]
    if not walked or walked[0][1] is None:
        return rows
    query, asked = _queries(run, feed, home, walked[-1][0])
    before = bank.matrix
    for number, (state, stats) in enumerate(walked):
        change = state.matrix - before  # (B, h, d_k, d_v)
        read = (query @ change).norm(dim=-1).mean(1)  # (B, P)
        read = (read * asked).sum(1) / asked.sum(1)
        columns = (
            stats.positions,
            stats.gate.mean(-1),
            stats.surprise.mean(-1),
            change.flatten(2).norm(dim=-1).mean(-1),
            read,
        )
        table = torch.stack([column.float().cpu() for column in columns], 1).tolist()
        for row, values in zip(rows, table, strict=True):
            if values[0] > 0:
                said = {n: float(f"{v:.4g}") for n, v in zip(FIELDS, values, strict=True)}
                row.append({"segment": number + 1, **said, "tokens": int(values[0])})
        before = state.matrix
    return rows


def _queries(
    run: Answering, feed: TextFeed, home: HomeConfig, memory: MemoryState
) -> tuple[Tensor, Tensor]:
    """Unit-norm queries (B, h, P, d_k) of the answer states, as the head has them, and which
    positions (B, P) belong to the question."""
    encoded = run.model.prepare(feed, home.memory, home.segment_steps, memory)
    carry = run.model.start(encoded)
    for _ in range(home.max_refinement_steps):
        carry = run.model.step(encoded, carry)
    asked = torch.arange(feed.tokens.shape[1], device=run.device) < feed.prompt_length.unsqueeze(1)
    ltm = run.model.memory
    query = ltm.queries(ltm.address(encoded.inject, carry.y))
    return query, asked.to(query.dtype)


def by_segment(traces: list[list[dict]]) -> dict | None:
    """Means over documents of what happened in their first, second, ... segment; None if nothing.

    `documents` counts those that have the segment; `read_share` is its part of all that was read.
    """
    traces = [rows for rows in traces if rows]
    if not traces:
        return None
    table = []
    for number in range(1, 1 + max(row["segment"] for rows in traces for row in rows)):
        own = [
            (row, sum(r["read"] for r in rows))
            for rows in traces
            for row in rows
            if row["segment"] == number
        ]
        means = {name: float(np.mean([row[name] for row, _ in own])) for name in FIELDS}
        means["read_share"] = float(np.mean([row["read"] / max(all_, 1e-12) for row, all_ in own]))
        said = {name: float(f"{value:.4g}") for name, value in means.items()}
        table.append({"segment": number, "documents": len(own), **said})
    return {"note": NOTE, "segments": table}
