"""LongBench's metrics. Run: pytest tests/unit/scoring/test_longbench.py"""

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.scoring import longbench, score

CLASSES = ["city", "big city", "state", "country"]


@pytest.mark.parametrize(
    ("dataset", "prediction", "answer", "value"),
    [
        ("hotpotqa", "yes it is", "yes", 0.5),  # no rule for yes: plain token F1
        ("hotpotqa", "The Oslo", "oslo", 1.0),
        ("triviaqa", "Oslo\nand more", "Oslo", 1.0),  # first line only
        ("triviaqa", "\n\nOslo\nand", "Oslo", 1.0),
        ("qasper", "Oslo\nBergen", "Oslo", 2 / 3),  # the whole text elsewhere
        ("passage_retrieval_en", "Paragraph 15", "Paragraph 15", 1.0),
        ("passage_retrieval_en", "15 or 3", "Paragraph 15", 0.5),
        ("passage_retrieval_en", "Paragraph", "Paragraph 15", 0.0),
        ("passage_retrieval_en", "Paragraph 1", "Paragraph 15", 0.0),
        ("passage_retrieval_zh", "段落3", "段落3", 1.0),
        ("passage_count", "There are 7 of 30", "7", 0.5),
        ("passage_count", "seven", "7", 0.0),
        ("lcc", "```\n# note\nreturn x\nmore", "return x", 1.0),
        ("lcc", "return y", "return x", 0.88),
        ("lcc", "", "return x", 0.0),
        ("gov_report", "", "text", 0.0),
        ("gov_report", "...", "text", 0.0),
        ("recall", " lamp ", "lamp", 1.0),
        ("recall", "a lamp", "lamp", 0.0),
    ],
)
def test_values_by_hand(dataset, prediction, answer, value):
    """Promise: each data set's metric as in THUDM/LongBench metrics.py, worked out by hand."""
    assert longbench.item(dataset, prediction, [answer]) == pytest.approx(value)


@pytest.mark.parametrize(
    ("prediction", "answer", "value"),
    [
        ("a country", "country", 1.0),
        ("state or country", "country", 0.5),
        ("big city", "big city", 1.0),  # "city" is part of the right name: taken off
        ("big city", "city", 0.5),
        ("big city", "state", 0.0),
        ("state\ncountry", "state", 1.0),  # first line only
    ],
)
def test_classification(prediction, answer, value):
    """Promise: 1 / (classes named), parts of the right name aside."""
    assert longbench.item("trec", prediction, [answer], CLASSES) == value


def test_classification_keeps_the_references_skipping():
    """Promise: upstream removes from the list it walks, so a neighbour stays; so do we."""
    # Named: big, city, big city. "big" goes, which skips "city": two are left.
    classes = ["big", "city", "big city"]
    assert longbench.item("trec", "big city", ["big city"], classes) == 0.5


def test_best_reference_and_published_scale():
    """Promise: maximum over references, mean x 100 rounded to two digits."""
    assert longbench.item("hotpotqa", "oslo", ["bergen", "oslo"]) == 1.0
    answers = [["oslo"], ["bergen"], ["riga"]]
    assert longbench.official("hotpotqa", ["oslo", "x", "y"], answers) == 33.33
    assert longbench.by_length([1.0, 0.0, 1.0], [3999, 4000, 8000]) == {
        "0-4k": 100.0,
        "4-8k": 0.0,
        "8k+": 100.0,
    }


def test_figures_per_dataset_and_their_mean():
    """Promise: the score is the mean over data sets, not over items."""
    golds = [{"answers": ["oslo"], "dataset": "hotpotqa"}] * 3
    golds += [{"answers": ["7"], "dataset": "passage_count"}]
    figures = score("longbench", ["oslo", "oslo", None, "8"], golds)
    assert figures == {"hotpotqa": pytest.approx(2 / 3), "passage_count": 0.0, "longbench": 1 / 3}
    assert score("longbench:passage_count", ["7"], [{"answers": ["7"]}])["longbench"] == 1.0
    with pytest.raises(CogmentError, match="no data set 'other'"):
        longbench.item("other", "a", ["a"])


def test_every_dataset_scores_gold_and_empty():
    """Promise: gold answers 1, empty ones 0, in each of the 21 data sets that need no jieba."""
    chinese = {"multifieldqa_zh", "dureader", "vcsum"}
    for dataset in longbench.METRICS.keys() - chinese:
        answer = {"passage_retrieval_en": "Paragraph 3", "passage_retrieval_zh": "段落3"}.get(
            dataset, "3" if dataset == "passage_count" else "city"
        )
        assert longbench.item(dataset, answer, [answer], CLASSES) == pytest.approx(1.0)
        assert longbench.item(dataset, "", [answer], CLASSES) == 0.0
