"""Templated word problems. Run: pytest tests/unit/data/test_word_problem.py"""

import re
from itertools import islice

import pytest

from cogment_pipe.data import corpus
from cogment_pipe.data.corpus import generate
from cogment_pipe.data.generators import word_problem
from cogment_pipe.errors import CogmentError
from cogment_pipe.scoring import gsm8k

KEYS = {"seed": 3, "stage": 3, "purpose": "t"}


def task(**params):
    return {"generator": "word_problem", "train": 300, "validation": 50, "test": 100, **params}


def drawn(count, split="train", **params):
    stream = word_problem.items(word_problem.Params(**params), split, **KEYS)
    return list(islice(stream, count))


def check_marks(answer):
    """Recompute every calculator mark and return the last result."""
    marks = re.findall(r"<<(\d+)([-+*/])(\d+)=(\d+)>>", answer)
    for a, sign, b, result in marks:
        assert eval(f"{a}{sign}{b}") == int(result)
    return int(marks[-1][3])


def test_every_rationale_is_right_and_ends_in_the_answer():
    """Promise: calculator marks compute, and the final line is the last result, in 0..99."""
    for item in drawn(500):
        for record in (item.record, *(r for r, _ in item.variants.values())):
            assert check_marks(record["answer"]) == int(gsm8k.final_answer(record["answer"]))
            assert 0 <= int(gsm8k.final_answer(record["answer"])) <= 99


def test_numbers_of_the_question_are_those_of_the_rationale():
    """Promise: the label belongs to the question: first operands come from its numbers."""
    for item in drawn(300):
        asked = re.findall(r"\d+", item.record["question"])
        first = re.search(r"<<(\d+).(\d+)", item.record["answer"])
        assert {first.group(1), first.group(2)} <= set(asked)


def test_variants_keep_or_recompute_the_label():
    """Promise: renaming keeps the answer, number variation recomputes it, both differ in text."""
    changed = 0
    for item in drawn(300):
        renamed, _ = item.variants["rename_entities"]
        assert renamed["answer"] == item.record["answer"]
        numbers = re.findall(r"\d+", item.record["question"])
        assert re.findall(r"\d+", renamed["question"]) == numbers
        if "vary_numbers" in item.variants:
            varied, _ = item.variants["vary_numbers"]
            assert re.findall(r"\d+", varied["question"]) != numbers
            assert re.sub(r"\d+", "0", varied["question"]) == re.sub(
                r"\d+", "0", item.record["question"]
            )
            changed += varied["answer"] != item.record["answer"]
    assert changed > 200


def test_no_test_problem_in_training_under_other_names():
    """Promise: splits are by template and numbers, so names alone never make a test item."""
    seen = {}
    for split in ("train", "test"):
        texts = [item.record["question"] for item in drawn(1000, split)]
        names = "|".join((*word_problem.lexicon.NAMES, *word_problem.lexicon.ITEMS))
        seen[split] = {re.sub(rf"\b({names}|[HhSs]he|his|her)\b", "_", t) for t in texts}
    assert not seen["train"] & seen["test"]


def test_params_choose_operations_and_rationale(monkeypatch):
    """Promise: params mean what their descriptions say; a bad one is one line."""
    single = drawn(100, operations=[1], rationale=False)
    assert all(i.record["answer"].startswith("#### ") for i in single)
    worded = drawn(20, rationale="words")[0].record["answer"]
    assert "=<<" in worded
    plus = drawn(100, operators="+", operations=[1])
    assert all(set(re.findall(r"[-+*/]", i.record["answer"])) == {"+"} for i in plus)
    with pytest.raises(CogmentError, match="task t: operations"):
        generate("t", task(params={"operations": [3]}), 0, 3)
    monkeypatch.setattr(corpus, "MAX_DUPLICATES", 1)
    with pytest.raises(CogmentError, match="distinct test items"):
        generate("t", task(test=10**6, params={"operators": "*", "operations": [1]}), 0, 3)


def test_generation_is_a_function_of_its_arguments():
    """Promise: the same seed gives the same items, another seed others."""
    first, again = generate("w", task(), 5, 3), generate("w", task(), 5, 3)
    assert first.records == again.records and first.variants == again.variants
    assert first.records["test"] != generate("w", task(), 6, 3).records["test"]
    assert set(first.leaks.values()) == {0}
