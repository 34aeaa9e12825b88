"""Every sample file of the upstream corpora. Run: pytest tests/unit/data/test_shared_data.py"""

import json
import re
from collections import Counter

import numpy as np
import pytest

from cogment_pipe import scoring
from cogment_pipe.data import symbols
from cogment_pipe.data.check import check_path
from cogment_pipe.data.generators import GridSplit
from cogment_pipe.data.loaders import arc, hotpotqa, listops_tsv, maze_csv, sudoku_csv
from cogment_pipe.data.loaders.files import Corpus, records
from cogment_pipe.data.storage import sha256_file
from cogment_pipe.data.text_layout import LAYOUTS

ABOUT = {"README.md", "SHA256SUMS"}


def told(folder):
    """File -> (count or None, sha256) by the folder's README table, or its SHA256SUMS."""
    table = r"^\| (\S+) \| (\d+) (?:lines|items|rows) \| \d+ \| (\w{64}) \|$"
    text = (folder / "README.md").read_text()
    found = {name: (int(n), digest) for name, n, digest in re.findall(table, text, re.M)}
    sums = folder / "SHA256SUMS"
    lines = sums.read_text().splitlines() if sums.is_file() else []
    return found | {line[66:].removeprefix("./"): (None, line[:64]) for line in lines}


def count(path):
    """Items that our readers find in a file."""
    if path.suffix == ".csv":
        read = maze_csv.read if "maze" in str(path) else sudoku_csv.read
        return len(read(path))
    if path.suffix == ".tsv":
        return len(listops_tsv.read(path))
    if "tdoku_format" in path.parts:
        return len(sudoku_csv.read_list(path))
    if path.suffix == ".json" and "arc" in path.parts[-2]:
        return sum(map(len, arc.load_files(path.parent).sets.values()))
    if path.name.startswith("qasper"):
        return len(json.loads(path.read_text()))
    return sum(1 for _ in records(Corpus.open("sample", path).members[0]))


def test_every_file_is_there_with_its_bytes_and_its_count(shared_data):
    """Promise: each file of the samples is read whole; bytes and counts are those of its README."""
    seen = Counter()
    for folder in sorted(p for p in shared_data.iterdir() if p.is_dir()):
        listed = told(folder)
        files = [p for p in folder.rglob("*") if p.is_file() and p.name not in ABOUT]
        assert {p.relative_to(folder).as_posix() for p in files} == set(listed), folder.name
        for path in files:
            wanted, digest = listed[path.relative_to(folder).as_posix()]
            assert sha256_file(path) == digest, path
            if wanted is not None:
                assert count(path) == wanted, path
            else:
                assert len(arc.load_files(path).sets[arc._set_of(path)]) == 1, path
            seen[folder.name] += 1
    assert len(seen) == 15 and sum(seen.values()) == 733


def test_data_check_knows_every_folder(shared_data):
    """Promise: `data check` says of each sample folder what it is."""
    words = {
        **{"arc-agi-1": "ARC", "arc-agi-2": "ARC", "arc-kaggle": "ARC", "conceptarc": "ARC"},
        **{"gsm8k": "gsm8k", "hotpotqa": "hotpotqa", "longbench": "longbench"},
        **{"scrolls_layout": "scrolls", "qmsum": "scrolls", "squality": "scrolls"},
        **{"listops": "ListOps", "maze_hard_layout": "mazes", "sudoku/tdoku_format": "tdoku"},
        "sudoku/sudoku_extreme_layout": "Sudoku",
    }
    for folder, word in words.items():
        assert word in check_path(shared_data / folder), folder


def golds(part: GridSplit):
    return [
        {"target": target.tolist(), "input": given.tolist()}
        for given, target in zip(part.inputs, part.targets, strict=True)
    ]


def grid_items(folder):
    """(metric, gold items) of a sample folder, by the readers that the pipeline uses."""
    if "arc" in folder.name:
        sets = arc.load_files(folder).sets.values()
        tests = [
            (record.id, pair) for records in sets for record in records for pair in record.test
        ]
        return "arc", [{"target": b.tolist(), "task": name} for name, (_, b) in tests]
    if folder.name == "listops":
        rows = [row for path in sorted(folder.rglob("*.tsv")) for row in listops_tsv.read(path)]
        return "listops", [{"target": [[symbols.DIGIT0 + label]]} for label, _ in rows]
    if folder.name == "maze_hard_layout":
        return "maze", [
            g for path in sorted(folder.rglob("*.csv")) for g in golds(maze_csv.read(path))
        ]
    tables = [sudoku_csv.read(path) for path in sorted(folder.rglob("*.csv"))]
    lists = [sudoku_csv.read_list(p) for p in sorted((folder / "tdoku_format").iterdir())]
    return "grid_exact", [gold for part in tables + lists for gold in golds(part)]


@pytest.mark.parametrize(
    ("folder", "least"),
    [
        *[("arc-agi-1", 598), ("arc-agi-2", 59), ("arc-kaggle", 50), ("conceptarc", 48)],
        *[("sudoku", 600), ("maze_hard_layout", 40), ("listops", 2030)],
    ],
)
def test_gold_grids_score_1_and_empty_ones_0(shared_data, folder, least):
    """Promise: on every real puzzle the stored answer scores 1 and no answer 0, by the task's
    metric; a blank grid is no answer, but where the answer is blank itself."""
    metric, items = grid_items(shared_data / folder)
    assert len(items) >= least
    name = scoring.primary(metric)
    right = [g["target"] for g in items]
    assert scoring.score(metric, right, items)[name] == 1.0
    assert scoring.score(metric, [None] * len(items), items)[name] == 0.0
    blank = [np.zeros_like(np.array(g["target"])).tolist() for g in items]
    empty = sum(not np.any(g["target"]) for g in items) / len(items)
    assert scoring.score(metric, blank, items)[name] == pytest.approx(empty, abs=0.01)


def test_gold_answers_of_hotpotqa_score_1_and_empty_ones_0(shared_data):
    """Promise: answer and F1 of gold are 1, of empty text 0."""
    done = hotpotqa.load(Corpus.open("hotpotqa", shared_data / "hotpotqa"))
    items = [LAYOUTS["hotpotqa"](row).gold for rows in done.records.values() for row in rows]
    best = scoring.score("hotpot", [gold["answers"][0] for gold in items], items)
    worst = scoring.score("hotpot", [""] * len(items), items)
    assert best["em"] == best["f1"] == 1.0 and worst["em"] == worst["f1"] == 0.0


def test_our_solver_agrees_with_the_stored_answers(shared_data):
    """Promise: lists without answers get the answer that the same puzzles have elsewhere."""
    folder = shared_data / "sudoku"
    known = sudoku_csv.read(folder / "sudoku_extreme_layout" / "test.csv")
    answers = {a.tobytes(): b.tobytes() for a, b in zip(known.inputs, known.targets, strict=True)}
    for file in sorted((folder / "tdoku_format").iterdir()):
        part = sudoku_csv.read_list(file)
        for given, solution in zip(part.inputs, part.targets, strict=True):
            assert answers[given.tobytes()] == solution.tobytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "no puzzle"),
        ("." * 80 + "\n", "line 1: a puzzle has 81 cells, not 80"),
        ("# list\n" + "." * 80 + "x\n", "line 2: only digits"),
        ("11" + "." * 79 + "\n", "line 1: the puzzle has no solution"),
    ],
)
def test_damaged_lists_are_one_line(tmp_path, text, message):
    """Promise: a list that is none names file and line."""
    from cogment_pipe.errors import CogmentError

    (tmp_path / "list").write_text(text)
    with pytest.raises(CogmentError, match=message):
        sudoku_csv.read_list(tmp_path / "list")
