"""SCROLLS' metrics. Run: pytest tests/unit/scoring/test_scrolls.py"""

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.scoring import score, scrolls

# The example of the docstring of tau/scrolls metrics/scrolls.py.
PREDICTIONS = ["exact match example", "hello there", "general kenobi"]
REFERENCES = [["exact match example"], ["hello", "hi there"], ["commander kenobi"]]


def test_the_published_example():
    """Promise: the reference's own example, to its digits."""
    figures = scrolls.all_metrics(PREDICTIONS, REFERENCES)
    assert figures["rouge/rouge1"] == pytest.approx(72.2222, abs=1e-4)
    assert figures["rouge/rouge2"] == pytest.approx(33.3333, abs=1e-4)
    assert figures["rouge/rougeL"] == pytest.approx(72.2222, abs=1e-4)
    assert figures["rouge/geometric_mean"] == pytest.approx(55.8136, abs=1e-4)
    assert figures["exact_match"] == pytest.approx(33.3333, abs=1e-4)
    assert figures["f1"] == pytest.approx(72.2222, abs=1e-4)


@pytest.mark.parametrize("dataset", sorted(scrolls.METRICS))
def test_gold_and_empty(dataset):
    """Promise: gold answers 100, empty ones 0, in every data set."""
    references = {"a": ["the quick fox ran", "x"], "b": ["yes it did run"]}
    gold = scrolls.evaluate(dataset, {i: r[0] for i, r in references.items()}, references)
    assert gold["score"] == pytest.approx(100)
    assert scrolls.evaluate(dataset, {"a": "", "b": ""}, references)["score"] == 0


def test_no_rule_for_yes_in_f1():
    """Promise: SCROLLS' F1 is plain, unlike HotpotQA's."""
    assert scrolls.item("qasper", "yes it is", ["yes"]) == pytest.approx(0.5)


@pytest.mark.parametrize("found", [{"a": "x"}, {"a": "x", "b": "y", "c": "z"}])
def test_missing_and_surplus_ids_are_errors(found):
    """Promise: an id without prediction, or the reverse, is an error and not a zero."""
    with pytest.raises(CogmentError, match="every id needs exactly one"):
        scrolls.evaluate("qasper", found, {"a": ["x"], "b": ["y"]})
    golds = [{"id": "a", "dataset": "qasper", "answers": ["x"]}]
    with pytest.raises(CogmentError, match="1 ids without prediction"):
        score("scrolls", [None], golds)


def test_score_is_the_mean_over_datasets():
    """Promise: data sets count alike; ROUGE sets use the geometric mean of their means."""
    golds = [
        {"id": str(i), "dataset": "qmsum", "answers": refs} for i, refs in enumerate(REFERENCES)
    ]
    golds.append({"id": "q", "dataset": "quality", "answers": ["Yes."]})
    figures = score("scrolls", [*PREDICTIONS, "yes"], golds)
    assert figures["qmsum"] == pytest.approx(0.558136, abs=1e-6) and figures["quality"] == 1.0
    assert figures["scrolls"] == pytest.approx((0.558136 + 1) / 2, abs=1e-6)
