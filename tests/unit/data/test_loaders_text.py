"""Loaders of text corpora. Run: pytest tests/unit/data/test_loaders_text.py"""

import json
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogment_pipe import scoring
from cogment_pipe.data.loaders import files, gsm8k, hotpotqa, longbench, own_qa, scrolls, text_check
from cogment_pipe.data.loaders.files import Corpus, records
from cogment_pipe.data.text_layout import LAYOUTS
from cogment_pipe.errors import CogmentError

SAMPLES = Path(__file__).parents[4] / "shared" / "data"
QA = [{"question": f"What is {i}?", "answer": str(i)} for i in range(200)]
HOTPOT = {
    "_id": "a1",
    "question": "Who?",
    "answer": "Ann",
    "type": "bridge",
    "level": "easy",
    "supporting_facts": [["T", 0]],
    "context": [["T", ["Ann.", "Bob."]], ["U", ["Cid."]]],
}


def sample(folder):
    if not (SAMPLES / folder).is_dir():
        pytest.skip(f"../shared/data/{folder} is not here: samples of the real corpora")
    return Corpus.open(folder, SAMPLES / folder)


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def total(done):
    return {split: len(rows) for split, rows in done.records.items()}


@pytest.mark.parametrize(
    "folder",
    ["gsm8k", "hotpotqa", "longbench", "scrolls_layout", "qmsum", "squality", "quality", "qasper"],
)
def test_every_sample_file_has_the_counts_of_its_readme(folder):
    """Promise: every text file of the samples is read whole, and hashed as its README says."""
    corpus = sample(folder)
    readme = (SAMPLES / folder / "README.md").read_text()
    table = re.findall(r"^\| (\S+) \| (\d+) (?:lines|items) \| (\d+) \| (\w{64}) \|$", readme, re.M)
    sources = {s["path"]: s for s in corpus.sources}
    assert len(table) == len(sources) > 0
    members = {m.name: m for m in corpus.members}
    for name, count, size, digest in table:
        assert sources[name]["sha256"] == digest and sources[name]["bytes"] == int(size)
        if folder == "qasper":
            assert len(files.document(members[name])) == int(count)
        else:
            assert sum(1 for _ in records(members[name])) == int(count)


def test_gsm8k_samples_split_and_score():
    """Promise: last 473 of train are validation; gold scores 1, empty 0; no leak by question."""
    done = gsm8k.load(sample("gsm8k"))
    dropped = sum(done.dropped["train"].values())
    assert total(done) == {"train": 7000 - dropped, "validation": 473, "test": 500}
    golds = [gsm8k_gold(row) for row in done.records["test"]]
    answers = [gold["answers"][0] for gold in golds]
    assert scoring.score("number", answers, golds) == {"exact": 1.0, "numeric": 1.0}
    assert scoring.score("number", [""] * 500, golds) == {"exact": 0.0, "numeric": 0.0}


def gsm8k_gold(row):
    return LAYOUTS["gsm8k"](row).gold


def test_hotpotqa_samples_both_layouts():
    """Promise: the hub's columns give the same records as the original layout."""
    corpus = sample("hotpotqa")
    by_name = {m.name: m for m in corpus.members}
    first, second = (
        {
            record["question"]: record
            for number, raw in records(by_name[name])
            for record in [hotpotqa.original(raw, str(number))]
        }
        for name in ("hotpot_dev_distractor_v1.json", "hf_layout_distractor.jsonl")
    )
    assert len(second) == 40 and second.keys() <= first.keys()
    for question, record in second.items():
        for field in ("answer", "supporting_facts", "context", "type"):
            assert record[field] == first[question][field]
    done = hotpotqa.load(corpus)
    assert sum(total(done).values()) == 100 and min(total(done).values()) > 0
    assert any("no train file" in note for note in done.notes)
    assert total(hotpotqa.load(corpus, setting="fullwiki"))["test"] > 0


@pytest.mark.parametrize(
    ("folder", "load", "items"),
    [("longbench", longbench.load, 36), ("scrolls_layout", scrolls.load, 40)],
)
def test_long_samples_score(folder, load, items):
    """Promise: gold answers score 100 and empty ones 0 in every data set."""
    done = load(sample(folder))
    assert sum(total(done).values()) == items
    golds = [LAYOUTS[done.layout](row).gold for rows in done.records.values() for row in rows]
    best = scoring.score(done.metric, [g["answers"][0] for g in golds], golds)
    assert all(value == pytest.approx(1.0, abs=1e-6) for value in best.values())
    assert set(scoring.score(done.metric, [""] * len(golds), golds).values()) == {0.0}


def test_chinese_rows_are_left_out_and_counted():
    """Promise: English tasks by default; what is left out is counted with its reason."""
    done = longbench.load(sample("longbench"))
    assert done.dropped["test"] == {"language zh": 20}
    assert total(longbench.load(sample("longbench"), languages=("zh",)))["test"] == 20


@pytest.mark.parametrize(
    ("folder", "items"), [("qmsum", 40), ("squality", 10), ("quality", 2), ("qasper", 9)]
)
def test_original_files_become_scrolls_items(folder, items):
    """Promise: the corpora behind SCROLLS load from their own files, references grouped by id."""
    corpus = sample(folder)
    rows = [
        item
        for member in corpus.members
        for item in scrolls.grouped(member, scrolls.originals.recognise(member))
    ]
    assert len(rows) >= items
    if folder == "squality":
        assert all(len(row["outputs"]) == 4 for row in rows)
    for row in rows:
        gold = LAYOUTS["scrolls"](row).gold
        assert scoring.per_item("scrolls", gold["answers"][0], gold) == pytest.approx(1.0)
        assert scoring.per_item("scrolls", "", gold) == 0.0


def test_scrolls_zip_groups_references(tmp_path):
    """Promise: archives are read in place; rows of one id are one item with all references."""
    rows = [
        {"id": "a", "pid": "a_0", "input": "Why?\n\nDoc one.", "output": "x"},
        {"id": "a", "pid": "a_1", "input": "Why?\n\nDoc one.", "output": "y"},
        {"id": "b", "pid": "b_0", "input": "Who?\n\nDoc two.", "output": "z"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    with zipfile.ZipFile(tmp_path / "qasper.zip", "w") as archive:
        archive.writestr("qasper/train.jsonl", text.replace("Doc", "Another"))
        archive.writestr("qasper/validation.jsonl", text)
        archive.writestr("qasper/test.jsonl", text.replace('"x"', "null"))
    done = scrolls.load(Corpus.open("scrolls", tmp_path))
    assert [row["outputs"] for row in done.records["test"]] == [["x", "y"], ["z"]]
    assert len(done.sources) == 1 and "no answers" in done.notes[0]


@pytest.mark.parametrize("name", ["/etc/x.jsonl", "../x.jsonl", "a/../../x.jsonl", "C:\\x.jsonl"])
def test_unsafe_archives_are_refused(tmp_path, name):
    """Promise: a member that leaves the archive stops the run, named."""
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, '{"a": 1}\n')
    with pytest.raises(CogmentError, match=r"bad\.zip: member .* leaves the archive"):
        Corpus.open("x", tmp_path)


def test_oversized_and_damaged_archives_are_refused(tmp_path, monkeypatch):
    """Promise: sizes are capped before reading; a damaged member is one line."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jsonl", '{"a": 1}\n' * 1000)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    monkeypatch.setattr(files, "MAX_MEMBER", 100)
    with pytest.raises(CogmentError, match="unpacks to 9000 bytes"):
        Corpus.open("x", tmp_path)
    monkeypatch.undo()
    content[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(CogmentError, match=r"a\.zip:a\.jsonl"):
        list(records(Corpus.open("x", tmp_path).members[0]))
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(CogmentError, match="not a readable zip"):
        Corpus.open("x", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"[]", "the list is empty"),
        (b'{"question": "a", "answer": "b"}\n{"question": ', "line 2: not JSON"),
        (b'{"question": "a"}\n', "line 1: field 'answer' is missing"),
        (b'{"question": "a", "answer": 5}\n', "line 1: field 'answer' is int, must be str"),
        (b'{"question": NaN, "answer": "b"}\n', "line 1: not JSON .NaN"),
        (b'[1, 2]', "item 1: expected an object, found int"),
        (b'{"question": "\xff", "answer": "b"}\n', "line 1: not UTF-8"),
        (b'{"question": "\\ud800", "answer": "b"}\n', "line 1: holds half of a surrogate"),
        (b'{"question": "", "answer": "b"}\n', "must not be empty"),
        (b"[" * 100_000, "not JSON"),
        (b'{"question": "a", "answer": "b"}\n', "too few questions for a validation"),
    ],
)  # fmt: skip
def test_malformed_files_are_one_line(tmp_path, content, message):
    """Promise: every damaged file is one error line that names file and line."""
    (tmp_path / "train.jsonl").write_bytes(content)
    with pytest.raises(CogmentError, match=message) as error:
        own_qa.load(Corpus.open("mine", tmp_path))
    assert "\n" not in str(error.value)


def test_bom_crlf_arrays_and_gigantic_lines(tmp_path, monkeypatch):
    """Promise: BOM and CRLF are read as the same rows; a line has a largest length."""
    rows = "".join(json.dumps(row) + "\r\n" for row in QA)
    (tmp_path / "mine.jsonl").write_bytes(b"\xef\xbb\xbf" + rows.encode())
    first = own_qa.load(Corpus.open("mine", tmp_path / "mine.jsonl"))
    (tmp_path / "list.json").write_text(json.dumps(QA))
    assert own_qa.load(Corpus.open("mine", tmp_path / "list.json")).records == first.records
    assert sum(total(first).values()) == 200
    monkeypatch.setattr(files, "MAX_LINE", 20)
    with pytest.raises(CogmentError, match=r"mine\.jsonl, line 1: longer than 20 bytes"):
        own_qa.load(Corpus.open("mine", tmp_path / "mine.jsonl"))


def test_own_questions_keep_given_splits(tmp_path):
    """Promise: train, validation and test files stay apart; a repeated question stays in test."""
    lines(tmp_path / "train.jsonl", QA[:150])
    lines(tmp_path / "dev.jsonl", QA[150:160])
    lines(tmp_path / "test.jsonl", QA[140:150])
    done = own_qa.load(Corpus.open("mine", tmp_path))
    assert total(done) == {"train": 140, "validation": 10, "test": 10}
    assert done.dropped["train"] == {"question seen before": 10}


def test_gsm8k_needs_both_files_and_drops_what_has_no_answer(tmp_path):
    """Promise: test never comes out of train; rows without a final line are counted."""
    rows = [{"question": f"How many {i}?", "answer": f"So.\n#### {i}"} for i in range(10)]
    lines(tmp_path / "train.jsonl", [*rows, {"question": "None?", "answer": "none"}])
    with pytest.raises(CogmentError, match="no test file"):
        gsm8k.load(Corpus.open("gsm8k", tmp_path))
    lines(tmp_path / "test.jsonl", rows[:2])
    done = gsm8k.load(Corpus.open("gsm8k", tmp_path))
    assert total(done) == {"train": 7, "validation": 1, "test": 2}
    assert done.dropped["train"] == {
        "no final line '#### number'": 1,
        "question seen before": 2,
    }


def test_gsm8k_renaming_keeps_the_answer():
    """Promise: names change everywhere, numbers and the answer nowhere."""
    import numpy as np

    record = {
        "question": "Tom's sister Mary has 3 pens. How many does Mary have?",
        "answer": "Mary has 3.\n#### 3",
    }
    renamed = gsm8k.rename_entities(np.random.default_rng(0), record)
    assert not re.search(r"\b(Tom|Mary)\b", renamed["question"] + renamed["answer"])
    assert renamed["answer"].endswith("#### 3") and "'s sister" in renamed["question"]
    assert (
        gsm8k.rename_entities(np.random.default_rng(0), {"question": "Why?", "answer": ""}) is None
    )


@pytest.mark.parametrize(
    "change",
    [
        {"context": [["T"]]},
        {"context": [["T", "text"]]},
        {"context": [["T", [1]]]},
        {"supporting_facts": [["T", "0"]]},
        {"supporting_facts": [["T", True]]},
        {"supporting_facts": {"title": ["T"]}},
        {"answer": None},
        {"question": 3},
    ],
)
def test_wrong_types_in_hotpotqa_are_named(tmp_path, change):
    """Promise: a record of wrong types is one line with file and item."""
    path = tmp_path / "hotpot_dev_distractor_v1.json"
    path.write_text(json.dumps([HOTPOT, {**HOTPOT, "question": "Other?", **change}]))
    with pytest.raises(CogmentError, match=r"hotpot_dev_distractor_v1\.json, item 2"):
        hotpotqa.load(Corpus.open("hotpotqa", tmp_path))


def test_a_train_file_is_used_and_dev_is_the_test(tmp_path):
    """Promise: with a train file, dev is only tested; its questions are not trained on."""
    train = [{**HOTPOT, "_id": str(i), "question": f"Who is {i}?"} for i in range(100)]
    (tmp_path / "hotpot_train_v1.1.json").write_text(json.dumps(train))
    (tmp_path / "hotpot_dev_distractor_v1.json").write_text(json.dumps(train[:5]))
    elsewhere = frozenset({hotpotqa.question_hash("who is 7")})
    done = hotpotqa.load(Corpus.open("hotpotqa", tmp_path), elsewhere=elsewhere)
    assert total(done)["test"] == 5
    assert done.dropped["train"]["question seen before"] == 5
    dropped = [done.dropped[s].get("asked in another stage's test", 0) for s in done.records]
    assert sum(dropped) == 1
    assert sum(total(done).values()) == 99


def test_parquet_without_pyarrow_says_so(tmp_path):
    """Promise: parquet is read where pyarrow is there, else one line says what to do."""
    try:
        import pyarrow  # noqa: F401

        expected = "not a readable parquet file"
    except ImportError:
        expected = "needs the package pyarrow"
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1")
    (tmp_path / "test-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(CogmentError, match=expected):
        gsm8k.load(Corpus.open("gsm8k", tmp_path))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = ("question", "answer", "context", "supporting_facts", "input", "answers", "length")
OTHERS = ("dataset", "language", "all_classes", "id", "output", "_id")
LOADS = {
    "train.jsonl": own_qa.load,
    "hotpot_dev_distractor_v1.json": hotpotqa.load,
    "qmsum.jsonl": longbench.load,
    "qasper/validation.jsonl": scrolls.load,
}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(FIELDS + OTHERS), JSON, max_size=8), max_size=4),
    tail=st.binary(max_size=20),
    name=st.sampled_from(sorted(LOADS)),
)
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(
    tmp_path_factory, rows, tail, name
):
    """Promise: no malformed input reaches a traceback."""
    path = tmp_path_factory.mktemp("fuzz") / name
    lines(path, rows)
    with path.open("ab") as handle:
        handle.write(tail)
    try:
        done = LOADS[name](Corpus.open("fuzz", path.parent if "/" not in name else path.parents[1]))
    except CogmentError as error:
        assert "\n" not in str(error)
    else:
        for found in done.records.values():
            for record in found:
                assert LAYOUTS[done.layout](record).gold["answers"]


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("gsm8k", "gsm8k: train "),
        ("hotpotqa", "hotpotqa: train "),
        ("longbench", "longbench: train 0, validation 0, test 36 items"),
        ("scrolls_layout", "scrolls: train "),
        ("qmsum", "scrolls: train "),
    ],
)
def test_a_folder_is_recognised_and_counted(folder, line):
    """Promise: a user learns what a folder is and what would be left out, without its name."""
    text = text_check.describe(sample(folder) and SAMPLES / folder)
    assert text.startswith(line)
    assert ("left out of test: 20, language zh" in text) == (folder == "longbench")


def test_own_questions_are_recognised(tmp_path):
    """Promise: own JSON lines are recognised as such; foreign fields as nothing."""
    lines(tmp_path / "a.jsonl", QA)
    assert text_check.describe(tmp_path / "a.jsonl").startswith("qa: train ")
    lines(tmp_path / "b.jsonl", [{"x": 1}])
    assert text_check.describe(tmp_path / "b.jsonl") == ""
