"""Halting quality: ranks, reliability and difficulty, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cogment_pipe.halting_report import auroc, by_difficulty, halting_quality, rank_correlation


def test_auroc_counts_pairs_in_the_right_order():
    """Every (right, wrong) pair: 1 in order, 1/2 on a tie."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = rng.integers(0, 6, size=15) / 5
        right = rng.random(15) < 0.5
        if right.all() or not right.any():
            continue
        pairs = [
            1.0 if a > b else 0.5 if a == b else 0.0 for a in scores[right] for b in scores[~right]
        ]
        assert auroc(scores, right) == pytest.approx(np.mean(pairs), abs=1e-5)


def test_auroc_needs_both_classes():
    """All right or all wrong: nothing to tell apart."""
    assert auroc(np.array([0.1, 0.9]), np.array([True, True])) is None
    assert auroc(np.array([0.1, 0.9]), np.array([False, False])) is None


def test_reliability_by_hand():
    """Two items at .05 (one right), one at 1.0 (right): bins with means, accuracies and counts."""
    found = halting_quality(np.array([0.04, 0.06, 1.0]), np.array([1.0, 0.5, 1.0]))
    assert found["reliability"] == [[0.05, 0.5, 2], [1.0, 1.0, 1]]
    assert found["auroc"] == 0.5


def test_difficulty_groups_by_value_when_there_are_few():
    """One group per value: its count, accuracy and mean steps."""
    found = by_difficulty(np.array([1, 3, 1]), [1.0, 0.0, 0.0], np.array([2, 6, 4]))
    assert found == [
        {"difficulty": 1.0, "n": 2, "accuracy": 0.5, "mean_steps": 3.0},
        {"difficulty": 3.0, "n": 1, "accuracy": 0.0, "mean_steps": 6.0},
    ]


def test_many_difficulties_share_groups_and_lose_no_item():
    """At most eight groups, of similar size, in order."""
    values = np.random.default_rng(0).random(400)
    found = by_difficulty(values, [1.0] * 400, np.ones(400))
    assert len(found) == 8 and sum(g["n"] for g in found) == 400
    assert max(g["n"] for g in found) <= 55
    means = [g["difficulty"] for g in found]
    assert means == sorted(means)


def test_no_difficulty_no_groups():
    """Tasks without a measure of difficulty have no table."""
    assert by_difficulty(None, [], np.zeros(0)) == []


def test_rank_correlation_by_hand():
    """Spearman with ties: (1, 2.5, 2.5, 4) against (1, 2, 3, 4) is .9487; a constant has none."""
    assert rank_correlation(np.array([1, 5, 5, 9]), np.array([0, 1, 2, 7])) == 0.948683
    assert rank_correlation(np.array([3, 2, 1]), np.array([10, 20, 99])) == -1.0
    assert rank_correlation(np.array([1, 2]), np.array([4, 4])) is None
