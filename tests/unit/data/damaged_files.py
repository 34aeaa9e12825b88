"""Small sound files of every layout that is read, and ways to damage them."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cogment_pipe.data.loaders import (
    arc,
    gsm8k,
    hotpotqa,
    listops_tsv,
    longbench,
    maze_csv,
    own_grids,
    own_qa,
    scrolls,
    sudoku_csv,
)
from cogment_pipe.data.loaders.files import Corpus

ARC_TASK = {
    "train": [{"input": [[1, 2]], "output": [[2, 1]]}],
    "test": [{"input": [[3, 4]], "output": [[4, 3]]}],
}
QUESTION = {"question": "How many?", "answer": "Two <<1+1=2>>\n#### 2"}
HOTPOT = {
    "_id": "a1",
    "question": "Who?",
    "answer": "Ann",
    "type": "bridge",
    "level": "easy",
    "supporting_facts": [["T", 0]],
    "context": [["T", ["Ann.", "Bob."]], ["U", ["Cid."]]],
}
BENCH = {
    "input": "What?",
    "context": "Long ago.",
    "answers": ["it"],
    "length": 2,
    "dataset": "qmsum",
    "language": "en",
    "all_classes": None,
    "_id": "1",
}
SCROLLS = {"id": "q1", "pid": "q1_0", "input": "What?\n\nLong ago.", "output": "it"}
QMSUM = {
    "meeting_transcripts": [{"speaker": "A", "content": "hello"}],
    "general_query_list": [{"query": "What?", "answer": "hello"}],
}
QUALITY = {
    "article": "<p>Long ago</p>",
    "questions": [{"question": "What?", "options": ["a", "b", "c", "d"], "gold_label": 2}],
}
SQUALITY = {
    "document": "Long ago",
    "questions": [
        {"question_text": "What?", "question_number": 1, "responses": [{"response_text": "it"}]}
    ],
}
QASPER = {
    "p1": {
        "title": "T",
        "abstract": "A",
        "full_text": [{"section_name": "S", "paragraphs": ["P"]}],
        "qas": [
            {
                "question": "What?",
                "question_id": "q",
                "answers": [
                    {
                        "answer": {
                            "unanswerable": False,
                            "extractive_spans": ["it"],
                            "free_form_answer": "",
                            "yes_no": None,
                        }
                    }
                ],
            }
        ],
    }
}


def lines(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def many(row: dict, count: int = 40) -> bytes:
    return lines(*({**row, "question": f"{row['question']} {i}"} for i in range(count)))


def npz(**arrays) -> bytes:
    x = np.arange(12).reshape(4, 3)
    handle = io.BytesIO()
    np.savez(handle, **({"x_train": x, "y_train": x + 1, "x_test": x, "y_test": x + 1} | arrays))
    return handle.getvalue()


@dataclass(frozen=True)
class Layout:
    """One layout: the file that is damaged, sound files beside it, its reader.

    `row` is the record that field damages start from; `fields` those that the reader needs.
    """

    name: str
    content: bytes
    read: Callable[[Path], object]
    beside: dict[str, bytes] = field(default_factory=dict)
    row: dict | None = None
    fields: tuple[str, ...] = ()
    kind: str = "jsonl"


def text(load: Callable) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        done = load(Corpus.open("mine", path.parent))
        return done.records, done.dropped

    return read


def scrolls_folder(load: Callable) -> Callable[[Path], object]:
    """SCROLLS files lie one folder deeper than the corpus."""

    def read(path: Path) -> object:
        done = load(Corpus.open("mine", path.parent.parent))
        return done.records, done.dropped

    return read


def arc_files(path: Path) -> object:
    found = arc.load_files(path.parent)
    sets = {
        name: [(r.id, [[g.tolist() for g in pair] for pair in r.pairs]) for r in records]
        for name, records in found.sets.items()
    }
    return sets, found.dropped


def grids(read: Callable) -> Callable[[Path], object]:
    def told(path: Path) -> object:
        part = read(path)
        return part.inputs.tolist(), part.targets.tolist()

    return told


def own_csv(path: Path) -> own_grids.GridSplit:
    return own_grids.read_csv(path, own_grids.OwnGridParams())


def own_npz(path: Path) -> object:
    parts = own_grids.read_npz(path, own_grids.OwnGridParams())
    return {name: part.inputs.tolist() for name, part in parts.items()}


KAGGLE = lines({"x": {"train": ARC_TASK["train"], "test": [{"input": [[3]]}]}})
HEADER = "source,question,answer,rating\n"
LAYOUTS = {
    "own_qa": Layout(
        "mine.jsonl",
        many(QUESTION, 80),
        text(own_qa.load),
        row=QUESTION,
        fields=("question", "answer"),
    ),
    "gsm8k": Layout(
        "train.jsonl",
        many(QUESTION),
        text(gsm8k.load),
        {"test.jsonl": lines(QUESTION)},
        QUESTION,
        ("question", "answer"),
    ),
    "hotpotqa": Layout(
        "hotpot_train_v1.1.json",
        many(HOTPOT, 4),
        text(hotpotqa.load),
        {"hotpot_dev_distractor_v1.json": lines(HOTPOT)},
        HOTPOT,
        ("question", "answer", "supporting_facts", "context"),
    ),
    "longbench": Layout(
        "qmsum.jsonl",
        lines(BENCH, BENCH),
        text(longbench.load),
        {},
        BENCH,
        ("input", "context", "answers", "length", "dataset", "language"),
    ),
    "scrolls": Layout(
        "qmsum/train.jsonl",
        lines(SCROLLS),
        scrolls_folder(scrolls.load),
        {"qmsum/validation.jsonl": lines({**SCROLLS, "id": "q2"})},
        SCROLLS,
        ("id", "input", "output"),
    ),
    "qmsum": Layout(
        "x/train.jsonl",
        lines(QMSUM),
        scrolls_folder(scrolls.load),
        {},
        QMSUM,
        ("meeting_transcripts", "general_query_list"),
    ),
    "quality": Layout(
        "x/train.jsonl",
        lines(QUALITY),
        scrolls_folder(scrolls.load),
        {},
        QUALITY,
        ("article", "questions"),
    ),
    "squality": Layout(
        "x/train.jsonl",
        lines(SQUALITY),
        scrolls_folder(scrolls.load),
        {},
        SQUALITY,
        ("document", "questions"),
    ),
    "qasper": Layout(
        "x/qasper-train-v0.1.json",
        json.dumps(QASPER).encode(),
        scrolls_folder(scrolls.load),
        {},
        QASPER["p1"],
        ("title", "abstract", "full_text", "qas"),
        kind="json",
    ),
    "arc": Layout(
        "training/abc.json",
        json.dumps(ARC_TASK).encode(),
        arc_files,
        {},
        ARC_TASK,
        ("train", "test"),
        kind="json",
    ),
    "arc_kaggle": Layout(
        "arc-agi_training_challenges.json",
        KAGGLE,
        arc_files,
        {"arc-agi_training_solutions.json": lines({"x": [[[4]]]})},
        kind="json",
    ),
    "sudoku_extreme": Layout(
        "train.csv",
        (HEADER + "x,12343412..4343.1,1234341221434321,3\n").encode(),
        grids(sudoku_csv.read),
        kind="csv",
    ),
    "maze_hard": Layout(
        "train.csv",
        (HEADER + "x,  S##   G,  S##o  G,2\n").encode(),
        grids(maze_csv.read),
        kind="csv",
    ),
    "own_csv": Layout("own.csv", b"question,answer\n12 3,12 40\n", grids(own_csv), kind="csv"),
    "listops": Layout(
        "train_d20s.tsv", b"7\t( ( [SM 4 ) 3 ) ]\n5\t[MED 5 4 6 ]\n", listops_tsv.read, kind="tsv"
    ),
    "listops_lra": Layout(
        "basic_train.tsv", b"Source\tTarget\n[MIN 2 3 ]\t2\n", listops_tsv.read, kind="tsv"
    ),
    "own_npz": Layout("own.npz", npz(), own_npz, kind="npz"),
}
