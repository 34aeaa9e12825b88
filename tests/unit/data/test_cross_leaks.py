"""Leaks between tasks and stages. Run: pytest tests/unit/data/test_cross_leaks.py"""

import json

import numpy as np
import pytest

from cogment_pipe.cli import main
from cogment_pipe.data.arc_prepare import ArcParams, load_tasks, split_tasks
from cogment_pipe.data.corpus import split_corpus
from cogment_pipe.data.cross_leaks import (
    check_leaks,
    document_leaks,
    grid_leaks,
    question_leaks,
)
from cogment_pipe.data.manifest import augmentation_entry, write_manifest
from cogment_pipe.data.storage import write_array, write_lines
from cogment_pipe.data.tokenizer import train_tokenizer
from cogment_pipe.errors import CogmentError

HOTPOT = {"answer": "Ann", "type": "", "_id": "1", "supporting_facts": [], "context": []}
BENCH = {"answers": ["Ann"], "all_classes": None, "_id": "1", "dataset": "hotpotqa"}


def corpus(folder, stage, name, layout, **splits):
    """A folder as `split_corpus` writes it; splits that are not named are empty."""
    for split in ("train", "validation", "test"):
        write_lines(folder / f"{name}.{split}.jsonl", splits.get(split, []))
    entry = {"stage": stage, "tasks": {name: {"layout": layout, "corpus": name}}}
    (folder / "manifest.json").write_text(json.dumps(entry))
    return folder


def hotpot(question):
    return {**HOTPOT, "question": question}


def bench(question, context=""):
    return {**BENCH, "input": question, "context": context}


def scrolls(question, text):
    return {"id": "1", "dataset": "qmsum", "input": f"{question}\n\n{text}", "outputs": ["so"]}


def document(number):
    return " ".join(f"word{number}x{i} said number {i * number}" for i in range(150))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_hotpotqa_questions_in_longbench_are_found(tmp_path, split):
    """Promise: case, punctuation and blanks hide no question; the tokenizer's step stops too."""
    a = corpus(tmp_path / "a", 3, "hotpotqa", "hotpotqa", **{split: [hotpot("Who wrote  Emma?")]})
    b = corpus(tmp_path / "b", 4, "longbench", "longbench", test=[bench("who wrote EMMA")])
    what = "questions of stage 3 hotpotqa in the test of stage 4 longbench"
    assert question_leaks([a, b])[what] == question_leaks([b, a])[what] == 1
    with pytest.raises(CogmentError, match=f"1 {what}"):
        train_tokenizer({"vocab_size": 300}, [a, b], tmp_path / "tokenizer.json")
    with pytest.raises(CogmentError, match=f"leak across tasks: 1 {what}"):
        check_leaks([], [a, b], tmp_path / "leaks.json")
    assert not (tmp_path / "leaks.json").exists()
    other = corpus(tmp_path / "c", 4, "longbench", "longbench", test=[bench("Who wrote Ulysses?")])
    assert set(question_leaks([a, other]).values()) == {0}


def test_qmsum_documents_in_longbench_are_found(tmp_path):
    """Promise: a document is found however it is cut; equal questions on others are no leak."""
    train = [scrolls("What was said?", document(n)) for n in range(4)]
    shifted = "  ".join(document(2).split()[40:]).upper()
    a = corpus(tmp_path / "a", 4, "scrolls", "scrolls", train=train)
    b = corpus(tmp_path / "b", 4, "longbench", "longbench", test=[bench("What?", shifted)])
    what = "documents of stage 4 scrolls in the test of stage 4 longbench"
    assert document_leaks([a, b])[what] == 1
    c = corpus(tmp_path / "c", 4, "longbench", "longbench", test=[bench("Said?", document(9))])
    assert set(document_leaks([a, c]).values()) == {0} and question_leaks([a, c]) == {}


def grids(folder, stage, name, train, test):
    for split, groups in (("train", train), ("validation", [1]), ("test", test)):
        write_array(folder / f"{name}.{split}.group.npy", np.array(groups, dtype=np.uint64))
    write_manifest(folder, stage, {name: {"kind": "grid"}}, {}, augmentation_entry({}))
    return folder


def test_grids_of_one_task_in_the_test_of_another_are_found(tmp_path, capsys):
    """Promise: mazes or own puzzles used in two stages cannot be learnt and tested; nothing is
    written where they are, and counts of what was compared where they are not."""
    a = grids(tmp_path / "a", 0, "toy", [5, 6, 7], [8])
    b = grids(tmp_path / "b", 2, "maze", [9], [7, 5])
    assert grid_leaks([a, b]) == {
        "groups of stage 0 toy in the test of stage 2 maze": 2,
        "groups of stage 2 maze in the test of stage 0 toy": 0,
    }
    out = tmp_path / "leaks.json"
    words = ["data", "leaks", "--out", str(out), "--data", str(a)]
    assert main([*words, str(b)]) == 2 and not out.exists()
    assert "error: leak across tasks: 2 groups of stage 0 toy" in capsys.readouterr().err
    assert main([*words, str(grids(tmp_path / "c", 2, "maze", [9], [10]))]) == 0
    assert json.loads(out.read_text())["compared"] == 2


def test_generated_text_has_nothing_to_compare(tmp_path):
    """Promise: built-in tasks, whose keys were compared when drawn, are not compared again."""
    task = {"generator": "recall", "train": 5, "validation": 2, "test": 2}
    slice = {"seed": 0, "stage": {"source": "builtin", "tasks": {"recall": task}}, "corpora": {}}
    split_corpus(4, slice, tmp_path)
    assert question_leaks([tmp_path]) == document_leaks([tmp_path]) == {}


def test_arc_1_evaluation_tasks_inside_arc_2_training_are_dropped():
    """Promise: training on ARC-2 while testing on ARC-1's evaluation set drops the tasks that are
    in both (376 by name), counted, and leaves no pair that is in both."""
    params = ArcParams(sets=["arc2-training"], test_sets=["arc1-evaluation"])
    tasks, _, _ = load_tasks(params, None, "here")
    splits, dropped = split_tasks(tasks)
    assert len(splits["test"]) == 400
    lost = sum(n for reason, n in dropped.items() if not reason.startswith("test"))
    assert lost >= 376 and len(splits["train"]) + len(splits["validation"]) == 1000 - lost
    names = {split: {record.id for record in records} for split, records in splits.items()}
    assert not names["test"] & (names["train"] | names["validation"])
    pairs = {s: {h for r in rs for h in r.pair_hashes.tolist()} for s, rs in splits.items()}
    assert not pairs["test"] & (pairs["train"] | pairs["validation"])
