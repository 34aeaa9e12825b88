"""The benchmark of `fit`: puzzles that a user's file could hold, and a table that adds up."""

from __future__ import annotations

import json

import pytest

from cogment_pipe.benchmarks.puzzle_files import write_puzzle_file
from cogment_pipe.benchmarks.puzzle_table import summarise
from cogment_pipe.config import load_config
from cogment_pipe.data.own_puzzles import check_augmentation, read_puzzles
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import verify_manifest
from cogment_pipe.slices import puzzles_slice

SHIPPED = ("sudoku4", "sudoku9_easy", "sudoku9_hard", "sudoku9_hard_long", "maze9", "maze15")


@pytest.mark.parametrize("task", SHIPPED)
def test_fit_reads_every_task_and_its_symmetries(project, tmp_path, task):
    """Each file is what `fit` takes for Sudokus or mazes, and no test item is in training."""
    config = load_config(
        project,
        tmp_path,
        {"scale": "small", "set": ["benchmarks.puzzles.train=30", "benchmarks.puzzles.test=6"]},
    )
    file = tmp_path / "own.npz"
    write_puzzle_file(json.loads(puzzles_slice(config, task)), file)
    first = file.read_bytes()
    puzzles = read_puzzles(file, None, seed=0)
    wanted = config.benchmarks.puzzles.tasks[task]
    assert puzzles.kind == wanted.generator
    check_augmentation(puzzles, tuple(wanted.augment))
    assert {split: len(items) for split, items in puzzles.splits.items()}["test"] == 6
    assert not any(puzzles.dropped.values())
    write_puzzle_file(json.loads(puzzles_slice(config, task)), file)
    assert file.read_bytes() == first


def test_a_wrong_parameter_names_the_task(tmp_path):
    """One line with the key, before anything is written."""
    slice = {"generator": "maze", "params": {"sides": 9}, "seed": 0, "task": "m"}
    with pytest.raises(CogmentError, match="sides: unknown key"):
        write_puzzle_file({**slice, "train": 3, "test": 3}, tmp_path / "m.npz")
    assert not (tmp_path / "m.npz").exists()


def record(folder, exact, voted=None, **other):
    folder.mkdir(parents=True)
    figures = {"items": 500, "refinement_steps": 8, "seconds": 4.04}
    test = {"exact": exact, "views": 1, **figures}
    if voted is not None:
        test["voted"] = {"exact": voted, "views": 8, **figures, "seconds": 30.0}
    content = {
        "asked": {"threads": 2},
        "steps": 7,
        "train_seconds": 5.91,
        "test": test,
        **other,
    }
    (folder / "fit.json").write_text(json.dumps(content))
    return folder / "fit.json"


def test_the_worst_seed_decides(tmp_path):
    """A task is reached where its least exact run is; the table says what was trained."""
    runs = [
        record(tmp_path / f"maze9-60s-seed{seed}", exact) for seed, exact in enumerate((1.0, 0.98))
    ]
    runs.append(record(tmp_path / "maze9-9s-seed0", 0.5))
    table = summarise(runs, {"maze9": {"60": 0.99, "9": 0.5}}, tmp_path / "out")
    short, long = sorted(table["rows"], key=lambda row: row["seconds"])
    assert (long["exact"], long["least"], long["reached"]) == ("1.000 / 0.980", 0.98, False)
    assert (short["least"], short["reached"], table["reached"]) == (0.5, True, False)
    assert long["updates"] == "7 / 7" and long["training_seconds"] == "5.9 / 5.9"
    assert verify_manifest(tmp_path / "out") == []


def test_the_vote_counts_where_there_is_one(tmp_path):
    """`exact` is of the vote, with the single pass, the views and their seconds beside it."""
    run = record(tmp_path / "maze9-60s-seed0", 0.9, voted=0.992)
    (row,) = summarise([run], {"maze9": {"60": 0.99}}, tmp_path / "out")["rows"]
    assert (row["exact"], row["one view"], row["views"]) == ("0.992", "0.900", 8)
    assert (row["reached"], row["test_seconds"]) == (True, "30.0")


def test_a_run_without_figures_is_refused(tmp_path):
    """A fit that was killed has no test figures: an error that names its file."""
    file = record(tmp_path / "maze9-60s-seed0", 1.0)
    content = json.loads(file.read_text())
    del content["test"]
    file.write_text(json.dumps(content))
    with pytest.raises(CogmentError, match=r"seed0/fit\.json: the run has not ended"):
        summarise([file], {"maze9": {"60": 0.99}}, tmp_path / "out")
