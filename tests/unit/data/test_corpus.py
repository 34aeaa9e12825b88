"""Splitting text corpora. Run: pytest tests/unit/data/test_corpus.py"""

import json

import pytest

from cogment_pipe.data.corpus import split_corpus
from cogment_pipe.data.fingerprint import Fingerprints
from cogment_pipe.data.storage import sha256_file, write_lines
from cogment_pipe.errors import CogmentError

COUNTS = {"train": 40, "validation": 10, "test": 10}


def builtin(*names):
    tasks = {name: {"generator": name, **COUNTS} for name in names}
    return {"seed": 1, "stage": {"source": "builtin", "tasks": tasks}, "corpora": {}}


def real(tasks=None, **paths):
    corpora = {name: {"corpus": name} for name in paths}
    return {
        "seed": 1,
        "stage": {"source": "corpora", "tasks": tasks or {}, "corpora": corpora},
        "corpora": {name: {"path": str(path)} for name, path in paths.items()},
    }


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def longbench_row(number, context, dataset="qmsum", question="What was said?"):
    return {
        "input": question,
        "context": context,
        "answers": [f"answer {number}"],
        "length": 3,
        "dataset": dataset,
        "language": "en",
        "all_classes": None,
        "_id": str(number),
    }


def document(number):
    return " ".join(f"word{number}x{i} said number {i * number}" for i in range(150))


def test_the_same_slice_gives_the_same_bytes(tmp_path):
    """Promise: splitting is a function of stage and slice; the manifest's hashes are right."""
    for name in "ab":
        split_corpus(3, builtin("word_problem", "two_hop"), tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == sorted(p.name for p in (tmp_path / "b").iterdir())
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    for file, digest in manifest(tmp_path / "a")["outputs"].items():
        assert sha256_file(tmp_path / "a" / file) == digest


def test_documents_of_a_test_are_not_trained_on(tmp_path):
    """Promise: SCROLLS documents that LongBench tests are dropped from training, and counted."""
    rows = {"train": range(30), "validation": range(25, 35)}
    for split, numbers in rows.items():
        write_lines(
            tmp_path / "scrolls/qmsum" / f"{split}.jsonl",
            (
                {"id": f"{n}", "pid": f"{n}_0", "input": f"Why?\n\n{document(n)}", "output": "so"}
                for n in numbers
            ),
        )
    # Another cut and spacing of document 3.
    shifted = "  ".join(document(3).split()[40:])
    write_lines(tmp_path / "longbench/data/qmsum.jsonl", [longbench_row(0, shifted)])
    slice = real(scrolls=tmp_path / "scrolls", longbench=tmp_path / "longbench")
    split_corpus(4, slice, tmp_path / "out")
    splits = manifest(tmp_path / "out")["tasks"]["scrolls"]["splits"]
    dropped = [splits[s]["dropped"] for s in ("train", "validation")]
    assert sum(d.get("document is in LongBench", 0) for d in dropped) == 1
    assert sum(d.get("document is in the test split", 0) for d in dropped) == 5
    assert splits["train"]["items"] + splits["validation"]["items"] == 24
    assert splits["test"]["items"] == 10
    assert not any(manifest(tmp_path / "out")["leaks"].values())


def test_longbench_alone_is_tested_but_never_trained_on(tmp_path):
    """Promise: training items then are generated ones, and the manifest says so."""
    rows = [longbench_row(n, document(n)) for n in range(5)]
    write_lines(tmp_path / "bench/data/qmsum.jsonl", rows)
    tasks = {"recall": {"generator": "recall", **COUNTS}}
    split_corpus(4, real(tasks, longbench=tmp_path / "bench"), tmp_path / "out")
    entry = manifest(tmp_path / "out")["tasks"]["longbench"]
    assert entry["splits"]["test"]["items"] == 5 and entry["splits"]["train"]["items"] == 40
    assert "built-in task recall" in entry["notes"][0]
    with pytest.raises(CogmentError, match="no training items"):
        split_corpus(4, real(longbench=tmp_path / "bench"), tmp_path / "none")


def test_a_missing_corpus_is_one_line(tmp_path):
    """Promise: a corpus that is asked for and not there stops with its name."""
    with pytest.raises(CogmentError, match=r"corpus gsm8k: .* does not exist"):
        split_corpus(3, real(gsm8k=tmp_path / "none"), tmp_path / "out")
    slice = real(gsm8k=tmp_path)
    slice["corpora"] = {}
    with pytest.raises(CogmentError, match="not configured"):
        split_corpus(3, slice, tmp_path / "out")


def test_fingerprints_tell_documents_apart():
    """Promise: the same document is found when cut elsewhere, another one is not."""
    known = Fingerprints([document(1), "a short one"])
    assert known.holds(" ".join(document(1).split()[30:]).upper())
    assert known.holds("A short one!")
    assert not known.holds(document(2))
    assert not known.holds("another short one")
