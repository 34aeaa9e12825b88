"""GSM8K, HotpotQA and answer normalisation. Run: pytest tests/unit/scoring/test_answers.py"""

import pytest

from cogment_pipe.scoring import gsm8k, hotpot, per_item, score
from cogment_pipe.scoring.answers import exact, normalise, token_f1

GOLD = {"answers": ["the Oslo Opera"], "supporting_facts": [["A", 0], ["B", 1]]}


@pytest.mark.parametrize(
    ("prediction", "gold", "published", "numeric"),
    [
        ("so 2+3\n#### 5", "#### 5", 1, 1),
        ("#### 1,234", "#### 1234", 1, 1),
        ("#### 18.00", "#### 18", 0, 1),  # the reference compares strings
        ("#### 18.", "#### 18", 0, 1),
        ("#### -3", "#### -3", 1, 1),
        ("#### 5\n#### 6", "#### 5", 1, 1),  # the first one counts
        ("####5", "#### 5", 0, 0),  # the blank is part of the pattern
        ("5", "#### 5", 0, 0),
        ("#### $5", "#### 5", 0, 0),
        ("#### ٥", "#### 5", 0, 0),  # only ASCII digits match
        ("#### .", "#### 5", 0, 0),
        ("#### 1.2.3", "#### 1.2.3", 1, 1),
        ("", "#### 5", 0, 0),
    ],
)
def test_gsm8k_by_the_reference_expression(prediction, gold, published, numeric):
    """Promise: values of openai/grade-school-math dataset.py; the numeric variant is apart."""
    assert gsm8k.exact(prediction, gold) == published
    assert gsm8k.numeric(prediction, gold) == numeric
    figures = score("number", [prediction], [{"answers": [gold]}])
    assert figures == {"exact": published, "numeric": numeric}


def test_a_gold_without_number_is_an_error():
    """Promise: a broken gold answer is never scored as a miss."""
    with pytest.raises(ValueError, match="without"):
        gsm8k.exact("#### 5", "five")


def test_normalisation_is_squads():
    """Promise: lower case, ASCII punctuation away, then articles, then blanks."""
    assert normalise("  The  Beatles' A-side,\tan EP! ") == "beatles aside ep"
    assert normalise("theatre a.n. the") == "theatre"
    assert normalise("“Émile”") == "“émile”"
    assert normalise("?!") == ""
    assert exact("?!", "the") == 1.0
    assert token_f1("?!", "the") == 0.0


@pytest.mark.parametrize(
    ("prediction", "gold", "em", "f1"),
    [
        ("Oslo opera.", "the Oslo Opera", 1, 1),
        ("the opera of Oslo", "the Oslo Opera", 0, 0.8),
        ("yes", "yes", 1, 1),
        ("yes it is", "yes", 0, 0),  # answer yes: no partial F1
        ("no", "no country for old men", 0, 0),
        ("noanswer", "Oslo", 0, 0),
        ("", "Oslo", 0, 0),
    ],
)
def test_hotpotqa_answers(prediction, gold, em, f1):
    """Promise: hotpot_evaluate_v1.py, its rule for yes and no included."""
    found = hotpot.answer_scores(prediction, gold)
    assert found[0] == em and found[1] == pytest.approx(f1)


def test_hotpotqa_support_and_joint():
    """Promise: joint precision and recall are products, joint EM too; computed by hand."""
    facts = [["A", 0], ["C", 2]]
    one = hotpot.item({"answer": "Oslo", "supporting_facts": facts}, GOLD)
    # answer: p 1, r 1/2; support: p 1/2, r 1/2; joint: p 1/2, r 1/4
    assert (one["em"], one["f1"]) == (0.0, pytest.approx(2 / 3))
    assert (one["sp_em"], one["sp_f1"]) == (0.0, 0.5)
    assert one["joint_f1"] == pytest.approx(2 * 0.5 * 0.25 / 0.75) and one["joint_em"] == 0
    whole = {"answer": "Oslo Opera", "supporting_facts": [("B", 1), ("A", 0)]}
    assert set(hotpot.item(whole, GOLD).values()) == {1.0}


def test_hotpotqa_missing_parts_count_zero_over_all_items():
    """Promise: the divisor is the number of gold items, whatever was predicted."""
    whole = {"answer": "Oslo Opera", "supporting_facts": [["A", 0], ["B", 1]]}
    figures = hotpot.score([whole, None, {"answer": "Oslo Opera"}, "x"], [GOLD] * 4)
    assert figures["em"] == 0.5 and figures["sp_em"] == 0.25 and figures["joint_em"] == 0.25
    assert "sp_em" not in hotpot.score(["Oslo Opera"], [GOLD])
    assert per_item("hotpot", "Oslo Opera", GOLD) == 1.0
