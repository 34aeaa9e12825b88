"""The sampler: pure functions of the step."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogment_pipe.data.sampler import batch_indices, epoch_order, task_at


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 17), st.integers(0, 3))
def test_every_item_comes_once_an_epoch(n_items, batch_size, seed):
    """Guards: the stream of batches is a sequence of permutations, across batch borders."""
    steps = -(-3 * n_items // batch_size)
    flat = np.concatenate(
        [batch_indices(n_items, batch_size, s, seed=seed, stage=1, task="t") for s in range(steps)]
    )
    for epoch in range(3):
        part = flat[epoch * n_items : (epoch + 1) * n_items]
        assert sorted(part.tolist()) == list(range(n_items))


def test_a_step_needs_no_replay():
    """Guards: batch k is the same whatever was asked for before it (exact resume)."""
    first = [batch_indices(50, 8, s, seed=0, stage=2, task="maze") for s in range(30)]
    epoch_order.cache_clear()
    for step in (29, 3, 17):
        again = batch_indices(50, 8, step, seed=0, stage=2, task="maze")
        assert np.array_equal(again, first[step])


def test_seed_stage_task_and_epoch_change_the_order():
    """Guards: no two of seed, stage, task and epoch share an order."""
    base = {"seed": 0, "stage": 2, "task": "maze"}
    orders = {
        tuple(batch_indices(64, 64, step, **{**base, **change}).tolist())
        for step, change in [
            (0, {}),
            (1, {}),
            (0, {"seed": 1}),
            (0, {"stage": 3}),
            (0, {"task": "x"}),
        ]
    }
    assert len(orders) == 5


def test_batch_larger_than_the_task_spans_epochs():
    """Guards: a task smaller than a batch is repeated evenly."""
    batch = batch_indices(3, 8, 0, seed=0, stage=0, task="t")
    assert sorted(Counter(batch.tolist()).values()) == [2, 3, 3]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 6), st.integers(0, 3))
def test_rows_sorted_by_length_are_the_same_rows(n_items, batch_size, buckets, seed):
    """Guards: buckets change who shares a batch, never how often an item comes."""
    keys = {"seed": seed, "stage": 3, "task": "t"}
    sizes = np.random.default_rng(seed).integers(1, 9, n_items)
    for window in range(3):
        steps = range(window * buckets, (window + 1) * buckets)
        plain = [batch_indices(n_items, batch_size, s, **keys) for s in steps]
        found = [
            batch_indices(n_items, batch_size, s, **keys, sizes=sizes, buckets=buckets)
            for s in steps
        ]
        assert Counter(np.concatenate(found).tolist()) == Counter(np.concatenate(plain).tolist())
        spread = sorted((sizes[f].min(), sizes[f].max()) for f in found)
        if buckets > 1:
            assert all(a[1] <= b[0] for a, b in pairwise(spread))


def test_batches_of_one_length_come_in_no_order_of_length():
    """Guards: batches are not met from short to long, and each is a function of its step."""
    sizes = np.arange(512)
    asked = {"seed": 0, "stage": 3, "task": "t", "sizes": sizes, "buckets": 16}
    means = [batch_indices(512, 8, s, **asked).mean() for s in range(64)]
    assert all(np.any(np.diff(means[w * 16 : w * 16 + 16]) < 0) for w in range(4))
    epoch_order.cache_clear()
    assert [batch_indices(512, 8, s, **asked).mean() for s in reversed(range(64))] == means[::-1]


def test_bad_arguments_are_refused():
    """Guards: an empty task or a negative step is an error, not an endless loop."""
    for n, size, step in ((0, 1, 0), (1, 0, 0), (1, 1, -1)):
        with pytest.raises(ValueError, match="n_items"):
            batch_indices(n, size, step, seed=0, stage=0, task="t")


def test_task_shares_follow_the_weights_in_every_window():
    """Guards: in any window of 100 steps a task's count is within 3 of its share."""
    weights = {"a": 1.0, "b": 2.0, "c": 1.0, "none": 0.0}
    tasks = [task_at(step, weights) for step in range(2000)]
    for start in range(0, 1900, 37):
        counts = Counter(tasks[start : start + 100])
        assert counts["none"] == 0
        for name, share in (("a", 25), ("b", 50), ("c", 25)):
            assert abs(counts[name] - share) <= 3


def test_task_at_refuses_weights_without_a_sum():
    """Guards: impossible weights are an error."""
    for weights in ({}, {"a": 0.0}, {"a": -1.0, "b": 2.0}):
        with pytest.raises(ValueError, match="weights"):
            task_at(0, weights)
