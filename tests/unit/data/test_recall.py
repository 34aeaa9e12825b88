"""Tasks over several segments. Run: pytest tests/unit/data/test_recall.py"""

import re
from collections import Counter
from itertools import islice

import pytest
from pydantic import ValidationError

from cogment_pipe.data.corpus import generate, text_generator
from cogment_pipe.data.generators import recall
from cogment_pipe.data.loaders.longbench import checked
from cogment_pipe.scoring import per_item

KEYS = {"seed": 3, "stage": 4, "purpose": "t"}
LONG = ("recall", "needle", "passage_retrieval", "passage_count")


def drawn(name, count, split="train", **params):
    generator = text_generator(name)
    return list(islice(generator.items(generator.params(**params), split, **KEYS), count))


def solve(name, record):
    """The answer by a search through the context."""
    context, asked = record["context"], record["input"]
    if name == "recall":
        return re.search(rf"\b{asked[8:-1]} is (\w+)\.", context).group(1)
    if name == "needle":
        return re.search(rf"number of {asked.rstrip('?').split()[-1]} is (\d+)", context).group(1)
    texts = [p.partition(": ")[2] for p in context.split("\n\n")]
    if name == "passage_count":
        return str(len(set(texts)))
    pet, person, city = re.match(r"The (\w+) of (\w+) is in (\w+)\.", asked).groups()
    number = [t.startswith(f"{person} has a {pet} in {city}.") for t in texts].index(True)
    return f"Paragraph {number + 1}"


@pytest.mark.parametrize("name", LONG)
def test_answers_follow_from_the_context(name):
    """Promise: every item and variant is solvable from its context, and in LongBench's layout."""
    for item in drawn(name, 200):
        assert checked(item.record, "here") == item.record
        for record in (item.record, *(r for r, _ in item.variants.values())):
            assert solve(name, record) == record["answers"][0]
            gold = {"answers": record["answers"], "dataset": record["dataset"]}
            assert per_item(text_generator(name).metric, record["answers"][0], gold) == 1.0
            assert per_item(text_generator(name).metric, "", gold) == 0.0


@pytest.mark.parametrize("name", LONG)
def test_no_item_in_two_splits(name):
    """Promise: splits share no item, shuffled copies included."""
    counts = {"train": 300, "validation": 50, "test": 100}
    done = generate(name, {"generator": name, **counts}, 1, 4)
    assert set(done.leaks.values()) == {0}
    assert {len(done.records[s]) for s in counts} == {300, 50, 100}


def test_recall_cannot_be_guessed():
    """Promise: question and place tell nothing: values and segments are asked for evenly."""
    records = [item.record for item in drawn("recall", 3200, "test")]
    values = Counter(record["answers"][0] for record in records)
    assert len(values) == 32 and max(values.values()) < 160
    places = Counter()
    for record in records:
        parts = record["context"].split("\n\n")
        key = record["input"][8:-1]
        places[next(i for i, p in enumerate(parts) if re.search(rf"\b{key} is", p))] += 1
    assert len(places) == 4 and max(places.values()) - min(places.values()) <= 4
    by_question = {}
    for record in records:
        by_question.setdefault(record["input"], Counter())[record["answers"][0]] += 1
    best = sum(counter.most_common(1)[0][1] for counter in by_question.values())
    assert best / len(records) < 0.1


def test_params_shape_the_context():
    """Promise: segments, facts, values and filler mean what they say."""
    record = drawn("recall", 1, segments=6, facts=2, values=8, filler="none")[0].record
    parts = record["context"].split("\n\n")
    assert len(parts) == 6 and all(part.count(" is ") == 2 for part in parts)
    assert record["answers"][0] in recall.lexicon.VALUES[:8]
    fixed = drawn("recall", 5, filler="predictable", fact_segments=1)
    assert all(i.record["context"].count("and so it goes.") == 4 for i in fixed)
    with pytest.raises(ValidationError, match="keys there are"):
        recall.Params(segments=20, facts=3)


def test_training_rows_may_ask_more_and_be_shorter():
    """Promise: probes have right answers and spare the asked key; only training rows have them."""
    lengths = Counter()
    for item in drawn("recall", 100, probes=5, fewest=1, segments=3):
        record = item.record
        lengths[record["context"].count("\n\n") + 1] += 1
        asked = [question for question, _ in record["probes"]]
        assert len(set(asked) | {record["input"]}) == len(asked) + 1
        for question, answer in record["probes"]:
            assert solve("recall", {**record, "input": question}) == answer
    assert set(lengths) == {1, 2, 3}
    for item in drawn("recall", 20, "test", probes=5, fewest=1, segments=3):
        assert "probes" not in item.record and item.record["context"].count("\n\n") == 2
