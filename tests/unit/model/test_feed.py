"""What the model refuses to be fed, and that it says why in the terms of the configuration."""

from __future__ import annotations

import pytest
import torch

from cogment_pipe.model.feed import GridFeed, TextFeed
from cogment_pipe.stage_config import MemoryWrites


def grid_feed(**change: object) -> GridFeed:
    fields = {"symbols": torch.ones(2, 6, dtype=torch.int64), "grid": (2, 3)}
    fields |= {"stage": 1, "task": 3} | change
    return GridFeed(**fields)


def text_feed(**change: object) -> TextFeed:
    tokens = torch.full((2, 6), 7)
    fields = {"stage": 3, "task": 8, "tokens": tokens}
    fields |= {"prompt_length": torch.tensor([2, 3]), "length": torch.tensor([4, 6])} | change
    return TextFeed(**fields)


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.int64)


BAD = [
    (grid_feed(grid=(2, 4)), r"symbols \(2, 6\) are not \(batch, 8\)"),
    (grid_feed(symbols=ones(2, 34), grid=(17, 2)), "grid is 17 x 2; model.max_side allows 16"),
    (grid_feed(symbols=ones(2, 34), grid=(2, 17)), "grid is 2 x 17; model.max_side allows 16"),
    (grid_feed(symbols=ones(2, 6) * 64), "symbols hold 64; the cell alphabet ends at 63"),
    (grid_feed(symbols=-ones(2, 6)), "symbols hold -1"),
    (grid_feed(targets=ones(2, 6) * 70), "targets hold 70"),
    (grid_feed(targets=ones(2, 5)), r"targets must be \(2, 6\), got \(2, 5\)"),
    (grid_feed(task=16), "task 16; model.max_tasks allows 0 to 15"),
    (grid_feed(context=ones(2, 3, 2)), "context and its positions"),
    (
        grid_feed(context=ones(2, 3, 2), context_position=16 * ones(2, 3, 3)),
        "context places hold 16; the grid ends at 15",
    ),
    (
        grid_feed(context=ones(2, 3, 2), context_position=13 * ones(2, 3, 3)),
        "context pairs hold 13; the pairs ends at 11",
    ),
    (text_feed(tokens=ones(6)), r"tokens must be \(batch, length\)"),
    (text_feed(tokens=ones(2, 6) * 60), "tokens hold 60; the vocabulary ends at 59"),
    (text_feed(tokens=-ones(2, 6)), "tokens hold -1"),
    (text_feed(length=torch.tensor([4, 7])), "1 <= prompt_length <= length <= 6"),
    (text_feed(prompt_length=torch.tensor([0, 1])), "1 <= prompt_length <= length <= 6"),
    (text_feed(prompt_length=torch.tensor([1])), r"prompt_length must be \(2,\)"),
    (text_feed(segments=ones(2, 5)), r"segments must be \(2, segments, length\)"),
    (text_feed(segments=ones(2, 1, 5) * 99), "segments hold 99"),
]


@pytest.mark.parametrize(("feed", "message"), BAD, ids=[message[:30] for _, message in BAD])
def test_what_does_not_fit_is_refused_by_name(model, feed, message):
    """Shapes, lengths and ids outside the limits: a ValueError that names what and the limit."""
    with pytest.raises(ValueError, match=message):
        model.prepare(feed, MemoryWrites())


def test_a_batch_is_checked_once_for_a_model(model, build):
    """Every check makes a GPU wait for the host; another model, or chosen rows, check again."""
    feed, calls = grid_feed(), []
    check = type(feed).check
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(feed), "check", lambda f, c: (calls.append(f), check(f, c)))
        model.prepare(feed, MemoryWrites())
        model.prepare(feed, MemoryWrites())
        assert len(calls) == 1
        build().prepare(feed, MemoryWrites())
        model.prepare(feed.rows(torch.tensor([0])), MemoryWrites())
    assert len(calls) == 3


@pytest.mark.parametrize("feed", [grid_feed(), text_feed()])
def test_longer_than_the_stage_allows_is_refused(feed):
    """sequence_length is the limit that the message names."""
    with pytest.raises(ValueError, match=r"6 (cells|tokens); sequence_length allows 5"):
        feed.check_length(5)
    feed.check_length(6)
