"""What is recorded of the memory: parts that add up, tampering that does what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cogment_pipe import memory_use as module
from cogment_pipe.memory_use import by_segment, memory_use
from cogment_pipe.model.decode import Generated
from tests.unit.evaluated import TEST, Evaluated


def states_of(evaluation: Evaluated, monkeypatch: pytest.MonkeyPatch, size: int) -> dict:
    """The memories that answers are generated from, per tampering, in item order."""
    seen: list[torch.Tensor] = []

    def generate(_model: object, feed: object, _home: object, *, memory, **_: object) -> Generated:
        seen.append(memory.matrix)
        rows = len(feed.tokens)
        return Generated([[]] * rows, *torch.zeros(3, rows))

    monkeypatch.setattr(module, "generate", generate)
    memory_use(
        evaluation.answering(batch_size=size), evaluation.task(4), evaluation.home(4), 4, TEST
    )
    return {mode: torch.cat(seen[i::3]) for i, mode in enumerate(module.MODES)}


@pytest.mark.parametrize("size", [1, 3, 32])
def test_tampering_is_what_it_says_whatever_the_batch(evaluation, monkeypatch, size):
    """Zeros; the bank; the memory of the next item's document, the first one's for the last."""
    found = states_of(evaluation, monkeypatch, size)
    run, home = evaluation.answering(), evaluation.home(4)
    with torch.no_grad():
        feed = run.feed(evaluation.task(4), 4, np.arange(TEST))
        ends, _ = run.model.read_document(feed, home.memory, home.segment_steps)
    assert not found["zeroed"].any()
    assert torch.equal(found["unwritten"], run.model.memory.start(TEST).matrix)
    torch.testing.assert_close(found["swapped"], ends.matrix.roll(-1, 0), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found["swapped"], ends.matrix, atol=1e-3)


@torch.no_grad()
def test_what_is_read_splits_into_what_the_segments_changed(evaluation):
    """Bank plus changes is the memory that answers read; each row's figures are of its own part."""
    run, task, home = evaluation.answering(batch_size=4), evaluation.task(4), evaluation.home(4)
    traces = memory_use(run, task, home, 4, TEST).traces
    for item in (0, 5, TEST - 1):
        feed = run.feed(task, 4, np.array([item]))
        walked = list(run.model.walk_document(feed, home.memory, home.segment_steps))
        query, asked = module._queries(run, feed, home, walked[-1][0])
        before, total = run.model.memory.start(1).matrix, 0.0
        whole = query @ walked[-1][0].matrix - query @ before
        for row, (state, stats) in zip(traces[item], walked, strict=True):
            change = state.matrix - before
            part = query @ change
            total, before = total + part, state.matrix
            tokens = int((feed.segments[0, row["segment"] - 1] != 0).sum())
            assert row["tokens"] == tokens
            norm = part.norm(dim=-1).mean(1)[0]
            read = float((norm * asked[0]).sum() / asked[0].sum())
            assert row["read"] == pytest.approx(read, rel=2e-3)
            assert row["change"] == pytest.approx(
                float(change[0].flatten(1).norm(dim=1).mean()), rel=2e-3
            )
            assert row["gate"] == pytest.approx(float(stats.gate.mean()), rel=2e-3)
        torch.testing.assert_close(total, whole, atol=1e-5, rtol=1e-4)


def test_documents_of_several_lengths_by_hand():
    """Means over the documents that have a segment; shares are of each document's own reading."""
    row = {"tokens": 4, "gate": 0.5, "surprise": 1.0, "change": 1.0}
    long = [{"segment": 1, **row, "read": 1.0}, {"segment": 2, **row, "gate": 0.1, "read": 3.0}]
    short = [{"segment": 1, **row, "tokens": 8, "read": 2.0}]
    found = by_segment([long, [], short])["segments"]
    assert [r["documents"] for r in found] == [2, 1]
    assert [r["read_share"] for r in found] == [0.625, 0.75]
    assert [r["tokens"] for r in found] == [6.0, 4.0] and [r["gate"] for r in found] == [0.5, 0.1]
    assert by_segment([[], []]) is None
