"""The grokking benchmark as a target: parallel jobs, one table, nothing of the curriculum."""

from __future__ import annotations

import json

import pytest

SUITE = "results/benchmarks/grokking_smoke"
TABLE = "Grokking benchmark: table and figure"
TINY = ("set=benchmarks.grokking.smoke.seeds=[0,1]",)


def test_a_suite_is_made_and_made_only_once(bare):
    """One job per arm and seed, then the table; a second call does nothing; bytes are the same."""
    planned = bare.planned(f"{SUITE}/", config=TINY)
    runs = {f"Grokking benchmark: arm {arm}, seed {seed}" for arm in "AB" for seed in (0, 1)}
    assert planned == {*runs, TABLE}
    done = bare.snakemake(f"{SUITE}/", config=TINY)
    assert done.returncode == 0, done.stderr[-3000:]
    table = json.loads((bare.out / SUITE / "table.json").read_text())
    assert [row["arm"] for row in table["rows"]] == ["A", "B"]
    assert sorted(table["runs"]) == ["A-seed0", "A-seed1", "B-seed0", "B-seed1"]
    assert bare.planned(f"{SUITE}/", config=TINY) == set()
    before = bare.hashes()
    assert bare.snakemake(f"{SUITE}/", "-F", config=TINY, cores="1").returncode == 0
    assert bare.hashes() == before


def test_an_edit_runs_what_it_touches(bare):
    """An arm's setting runs that arm and the table; a reference makes the table alone."""
    everything = (f"{SUITE}/", "results/benchmarks/grokking/")
    assert len(bare.planned(everything[1])) == 31
    assert bare.snakemake(everything[0]).returncode == 0
    arm = ("set=benchmarks.grokking.arms.B.weight_decay=0.1",)
    assert bare.planned(everything[0], config=arm) == {"Grokking benchmark: arm B, seed 0", TABLE}
    reference = ("set=benchmarks.grokking.references.versus_adamw=E",)
    assert bare.planned(everything[0], config=reference) == {TABLE}


def test_a_typo_in_an_arm_is_one_line(bare):
    """The key, and the nearest one that exists."""
    done = bare.snakemake("-n", f"{SUITE}/", config=("set=benchmarks.grokking.arms.B.optimiser=x",))
    assert done.returncode != 0
    assert "error: config: benchmarks.grokking.arms.B.optimiser: unknown key; did you mean " in (
        done.stderr
    )


def test_every_evidence_file_can_be_planned(bare):
    """Guards: a rule that only its own evidence file asks for is never broken unseen."""
    tables = ("ablations", "filter", "generation", "grokking", "puzzles", "throughput")
    files = [f"docs/evidence/{name}.json" for name in (*tables, "data-throughput", "tiny-seed0")]
    clone = bare.out / "clone/models/losses.py"
    clone.parent.mkdir(parents=True)
    clone.touch()
    checkout = ("set=benchmarks.peers.checkout=clone",)
    files += ["docs/evidence/peers.json", "docs/evidence/whole_run.json"]
    planned = bare.planned(*files, config=checkout)
    tables += ("peers", "whole_run")
    assert {f"Writing the evidence {name}" for name in tables} <= planned
    assert {"Measuring how fast data are made", "Writing the evidence"} <= planned


@pytest.mark.slow
def test_smoke_shows_what_the_benchmark_is_for(bare):
    """Two minutes of the real task: GrokFast groks within 1,400 steps, the baseline does not."""
    done = bare.snakemake(f"{SUITE}/", config=("scale=small",))
    assert done.returncode == 0, done.stderr[-3000:]
    table = json.loads((bare.out / SUITE / "table.json").read_text())
    assert table["runs"]["B-seed0"]["reached"] is not None
    assert [claim["holds"] for claim in table["claims"]][:2] == [True, True]


def test_peers_without_a_clone_say_which_key_is_missing(bare):
    """Before anything is trained."""
    done = bare.snakemake("-n", "results/benchmarks/peers/", config=("scale=small",))
    assert done.returncode != 0
    assert "benchmarks.peers.checkout is null: clone the peer's repository" in done.stdout


def test_what_fit_solves_becomes_a_table(bare):
    """`fit` runs as a user would call it; a second call trains nothing."""
    target = "results/benchmarks/puzzles/"
    done = bare.snakemake(target)
    assert done.returncode == 0, done.stderr[-3000:]
    (row,) = json.loads((bare.out / target / "table.json").read_text())["rows"]
    assert (row["task"], row["seconds"], row["items"], row["reached"]) == ("sudoku4", 5, 10, True)
    run = bare.out / "results/benchmarks/puzzles_runs/sudoku4-5s-seed0/fit.json"
    assert json.loads(run.read_text())["test"]["voted"]["exact"] == row["least"]
    assert row["views"] == 2
    assert bare.planned(target) == set()
