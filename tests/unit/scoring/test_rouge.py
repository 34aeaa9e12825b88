"""ROUGE against its two reference packages. Run: pytest tests/unit/scoring/test_rouge.py"""

import random

import pytest

from cogment_pipe.scoring import rouge

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "a",
    "dog.",
    ".",
    "ran",
    "fast,",
    "Very",
    "fast",
    "12",
    "3.5",
    "über",
    "Über\n",
    "...",
    "日本",
    "x_y",
]
# Computed once with rouge 1.0.1 and rouge-score 0.1.2.
PINNED = [
    ("the cat sat on the mat", "the cat is on the mat", 0.799999995, 0.8333333333333334),
    ("A b c. D e f.", "D e f. A b c.", 0.999999995, 0.5),
    ("a a a b", "a b b b", 0.999999995, 0.5),
]


def pairs(count):
    draw = random.Random(0)
    for _ in range(count):
        yield tuple(" ".join(draw.choices(WORDS, k=draw.randint(0, 25))) for _ in range(2))


@pytest.mark.parametrize(("prediction", "reference", "long", "google"), PINNED)
def test_pinned_values(prediction, reference, long, google):
    """Promise: both dialects keep the packages' values, set semantics and word order included."""
    assert rouge.rouge_l(prediction, reference) == pytest.approx(long, abs=1e-12)
    assert rouge.rouge_score(prediction, reference)["rougeL"] == pytest.approx(google, abs=1e-12)


def test_agrees_with_rouge_score_on_random_pairs():
    """Promise: SCROLLS' ROUGE-1, -2 and -L equal the package rouge-score, 1,000 pairs."""
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(
        ["rouge1", "rouge2", "rougeL"], use_stemmer=False
    )
    for prediction, reference in pairs(1000):
        expected = scorer.score(reference, prediction)
        for name, value in rouge.rouge_score(prediction, reference).items():
            assert value == pytest.approx(expected[name].fmeasure, abs=1e-12)


def test_agrees_with_rouge_on_random_pairs():
    """Promise: LongBench's ROUGE-L equals the package rouge, its exceptions counting 0."""
    reference_rouge = pytest.importorskip("rouge").Rouge()
    for prediction, reference in pairs(1000):
        try:
            scores = reference_rouge.get_scores([prediction], [reference], avg=True)
            expected = scores["rouge-l"]["f"]
        except ValueError:
            expected = 0.0
        assert rouge.rouge_l(prediction, reference) == pytest.approx(expected, abs=1e-12)
