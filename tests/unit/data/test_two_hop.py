"""Two-hop questions. Run: pytest tests/unit/data/test_two_hop.py"""

import re
from collections import Counter
from itertools import islice

import pytest

from cogment_pipe.data.corpus import generate
from cogment_pipe.data.generators import two_hop
from cogment_pipe.data.loaders.hotpotqa import original
from cogment_pipe.model.memory import KEY_TAPS
from cogment_pipe.scoring import hotpot

KEYS = {"seed": 3, "stage": 3, "purpose": "t"}
BEHIND = r" (?:by|to|follows|from) (\w+)\."


def drawn(count, split="train", **params):
    return list(islice(two_hop.items(two_hop.Params(**params), split, **KEYS), count))


def solve(record):
    """Answer by following the hops over the paragraphs' words alone."""
    text = {title: " ".join(sentences) for title, sentences in record["context"]}
    if record["type"] == "comparison":
        names = re.findall(r"[A-Z][a-z]+", record["question"])[1:]
        ages = {n: int(re.search(r"is (\d+) years", text[n]).group(1)) for n in names}
        return max(ages, key=ages.get)
    asked = record["question"].rstrip("?").split()
    work = next(word for word in reversed(asked) if word in text)
    person = re.search(BEHIND, text[work]).group(1)
    cue = {"Where": r"lives in (\w+)", "job": r"is a (\w+)", "pet": r"has a (\w+)"}
    pattern = next(p for word, p in cue.items() if word in asked)
    return re.search(pattern, text[person]).group(1)


@pytest.mark.parametrize("extra", [0, 2])
def test_answers_follow_from_two_hops(extra):
    """Promise: each question has the stored answer by its hops, variants too."""
    for item in drawn(300, extra_sentences=extra):
        for record in (item.record, *(r for r, _ in item.variants.values())):
            assert solve(record) == record["answer"]


def test_layout_is_hotpotqa_and_support_tells():
    """Promise: records pass the loader of real files; supporting sentences exist and suffice."""
    for item in drawn(200):
        record = original(item.record, "here")
        assert record == item.record
        texts = dict(record["context"])
        support = [texts[title][i] for title, i in record["supporting_facts"]]
        assert any(record["answer"] in sentence for sentence in support)
        others = len(record["context"]) - len({t for t, _ in record["supporting_facts"]})
        assert others >= 4


def test_one_hop_shortcuts_fail():
    """Promise (design, small's table): answering without the bridge is right at most .2."""
    records = [item.record for item in drawn(2000, "test")]
    train = [item.record for item in drawn(2000)]
    rates = two_hop.shortcuts(records, train)
    assert 0 < rates["one_hop_shortcut"] <= 0.2
    # The baseline itself works: where one paragraph holds everything, it is always right.
    easy = [
        {**r, "context": [p for p in r["context"] if any(r["answer"] in s for s in p[1])]}
        for r in records
        if r["type"] == "bridge"
    ]
    assert two_hop.shortcuts(easy, train)["one_hop_overlap"] == 1.0


def test_answer_types_are_balanced():
    """Promise: cities, jobs, pets and persons are answers about equally often."""
    kinds = Counter()
    for item in drawn(2000, "test"):
        answer = item.record["answer"]
        pools = {
            "person": two_hop.lexicon.NAMES,
            **{k: v[2] for k, v in two_hop.ATTRIBUTES.items()},
        }
        kinds[next(k for k, pool in pools.items() if answer in pool)] += 1
    assert set(kinds) == {"person", "city", "job", "pet"}
    assert max(kinds.values()) <= 0.3 * 2000


def test_a_question_belongs_to_one_split():
    """Promise: no wording of a test question was trained on."""
    asked = {s: {i.record["question"] for i in drawn(1500, s)} for s in ("train", "test")}
    assert not asked["train"] & asked["test"]


def test_generated_task_has_baselines_and_no_leaks():
    """Promise: the manifest gets the measured shortcut; gold answers score 1, empty ones 0."""
    counts = {"train": 200, "validation": 20, "test": 100}
    done = generate("two_hop", {"generator": "two_hop", **counts}, 1, 3)
    assert {"one_hop_shortcut", "commonest_answer"} <= done.baselines.keys()
    assert set(done.leaks.values()) == {0}
    golds = [{**r, "answers": [r["answer"]]} for r in done.records["test"]]
    whole = [{"answer": g["answer"], "supporting_facts": g["supporting_facts"]} for g in golds]
    assert set(hotpot.score(whole, golds).values()) == {1.0}
    assert set(hotpot.score([""] * len(golds), golds).values()) == {0.0}


def test_probes_are_true_and_keep_to_training():
    """Promise: further questions of training rows have right answers, in words of no other split;
    validation and test rows have none."""
    found = Counter()
    for item in drawn(200, probes=6):
        for record in (item.record, *(r for r, _ in item.variants.values())):
            text = {title: " ".join(sentences) for title, sentences in record["context"]}
            for question, answer in record["probes"]:
                assert "bridge" not in record
                if question.startswith("Who is the oldest"):
                    kind, right = "comparison", solve({**record, "question": question})
                elif question.startswith("Who is"):
                    work = question.rstrip("?").split()[-1]
                    kind, right = "first hop", re.search(BEHIND, text[work]).group(1)
                elif " of the " in question or " the " in question.replace("the job of", ""):
                    kind, right = "two hops", solve({**record, "question": question})
                else:
                    name = next(w for w in question.rstrip("?").split() if w in text)
                    kind, right = "second hop", answer
                    assert f" {answer}." in text[name]
                assert answer == right
                found[kind] += 1
        for question, _ in item.record["probes"]:
            assert two_hop.split_of(question) == "train"
    assert set(found) == {"comparison", "first hop", "two hops", "second hop"}
    assert all("probes" not in item.record for item in drawn(20, "test", probes=6))


def test_a_trace_names_the_word_that_is_asked_about():
    """Promise: with `trace` every training question says from which word on it can be answered, and
    a work's target is the person behind it; the memory's keys reach from every name to what is
    said of it."""
    seen = Counter()
    for item in drawn(100, probes=6, trace=True):
        for record in (item.record, *(r for r, _ in item.variants.values())):
            text = {title: " ".join(sentences) for title, sentences in record["context"]}
            own = [record["question"], record["answer"], *record["bridge"]]
            for question, answer, word, said in [*record["probes"], own]:
                behind = re.search(BEHIND, text[word])
                assert said == (behind.group(1) if behind else answer)
                assert word in question.rstrip("?").split()[-2:]
                seen["work" if behind else "person"] += 1
            for sentence in text.values():
                words = sentence.removesuffix(".").split()
                assert len(words) <= KEY_TAPS or words[-2:] == ["years", "old"]
    assert min(seen["work"], seen["person"]) > 100
    record = drawn(1, "test", probes=6, trace=True)[0].record
    assert "bridge" not in record and "probes" not in record
