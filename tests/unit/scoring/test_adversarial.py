"""Answers made to trip a metric, pinned with where each value comes from.

Run: pytest tests/unit/scoring/test_adversarial.py
"""

import random
import string

import pytest

from cogment_pipe.scoring import longbench, per_item, primary, score
from cogment_pipe.scoring.answers import normalise, token_f1

SQUAD = "normalize_answer of SQuAD, which HotpotQA, LongBench and SCROLLS share"
HOTPOT = "hotpot_evaluate_v1.py, f1_score: yes, no and noanswer have no partial credit"
DIGITS = r"re.findall(r'\d+'): Python's digits, compared as strings (LongBench metrics.py)"
STRINGS = "grade-school-math dataset.py: [0-9], strings compared"
CASES = [
    # metric, prediction, gold, value, origin
    ("number", "#### 18.00", {"answers": ["#### 18"]}, 0.0, STRINGS),
    ("number", "#### ١٨", {"answers": ["#### 18"]}, 0.0, STRINGS),
    ("number", "#### 1,8", {"answers": ["#### 18"]}, 1.0, STRINGS),
    ("number", "", {"answers": ["#### 18"]}, 0.0, STRINGS),
    ("hotpot", "The Opera", {"answers": ["an opera"]}, 1.0, SQUAD),
    ("hotpot", "...", {"answers": ["the"]}, 1.0, SQUAD + ": both are empty"),
    ("hotpot", "", {"answers": ["opera"]}, 0.0, SQUAD),
    ("hotpot", "Yes!", {"answers": ["yes"]}, 1.0, HOTPOT),
    ("hotpot", "yes, it is", {"answers": ["yes"]}, 0.0, HOTPOT),
    ("longbench:hotpotqa", "yes it is", {"answers": ["yes"]}, 0.5, "qa_f1_score: no rule for yes"),
    ("longbench:hotpotqa", "...", {"answers": ["the"]}, 0.0, "qa_f1_score: nothing in common"),
    ("longbench:hotpotqa", "b", {"answers": ["a", "b"]}, 1.0, "eval.py: best of the references"),
    ("longbench:passage_count", "٧", {"answers": ["7"]}, 0.0, DIGITS),
    ("longbench:passage_count", "٧ or 7", {"answers": ["7"]}, 0.5, DIGITS),
    ("longbench:passage_count", "7.0", {"answers": ["7"]}, 0.5, DIGITS),
    ("longbench:passage_count", "", {"answers": ["7"]}, 0.0, DIGITS),
    ("longbench:passage_retrieval_en", "१५", {"answers": ["Paragraph 15"]}, 0.0, DIGITS),
    ("longbench:gov_report", "?!", {"answers": ["?!"]}, 1.0, "rouge splits at blanks alone"),
    ("qa", "the", {"answers": ["?"]}, 1.0, SQUAD + ": both are empty"),
    ("qa", "b", {"answers": ["a c", "B."]}, 1.0, "best of the references"),
    ("listops", -1, {"target": [[1]]}, 0.0, "ten classes, others are wrong"),
    ("listops", None, {"target": [[1]]}, 0.0, "no answer"),
    ("arc", [[2]], {"task": "t", "target": [[2, 2]]}, 0.0, "ARC: the shape counts"),
    ("grid_exact", [], {"target": [[1]]}, 0.0, "no grid"),
    ("maze", None, {"input": [[15, 16]], "target": [[15, 16]]}, 0.0, "no answer"),
]


@pytest.mark.parametrize(("metric", "prediction", "gold", "value", "origin"), CASES)
def test_pinned_with_origin(metric, prediction, gold, value, origin):
    """Promise: each trap has the reference's value, alone and in a test set."""
    assert per_item(metric, prediction, gold) == pytest.approx(value), origin
    figures = score(metric, [prediction], [gold])
    assert figures[primary(metric)] == pytest.approx(value), origin


def slow_f1(prediction: str, reference: str) -> float:
    """Token F1 by crossing out, word by word: no counters, no set arithmetic."""
    left, right = normalise(prediction).split(), normalise(reference).split()
    rest, common = list(right), 0
    for word in left:
        if word in rest:
            rest.remove(word)
            common += 1
    if not common:
        return 0.0
    precision, recall = common / len(left), common / len(right)
    return 2 * precision * recall / (precision + recall)


def slow_normalise(text: str) -> str:
    """Lower case, drop punctuation, drop whole-word articles, one blank between words."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(word for word in kept.split() if word not in ("a", "an", "the"))


def test_token_f1_equals_a_slow_one_on_random_pairs():
    """Promise: F1 of HotpotQA, LongBench and SCROLLS, 1,000 pairs with traps among the words."""
    words = ["the", "The", "a", "an", "A.", "cat", "cat.", "yes", "12", "١٢", "...", "o'clock", ""]
    draw = random.Random(1)
    different = 0
    for _ in range(1000):
        one, two = (" ".join(draw.choices(words, k=draw.randint(0, 8))) for _ in range(2))
        assert normalise(one) == slow_normalise(one)
        expected = slow_f1(one, two)
        assert token_f1(one, two) == pytest.approx(expected, abs=1e-12)
        assert longbench.item("hotpotqa", one, [two]) == pytest.approx(expected, abs=1e-12)
        different += 0.0 < expected < 1.0
    assert different > 300
