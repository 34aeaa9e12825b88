"""Ablations and seeds as targets: a variant trains from its first change on, the rest is shared."""

from __future__ import annotations

import json

CONFIG = ("stop_after=1", "set=ablations.only=[replay_off]")
TABLE = "Comparing the ablations"


def training(planned: set[str]) -> set[str]:
    return {message for message in planned if message.startswith("Training stage")}


def test_a_dry_run_plans_only_what_variants_change(bare):
    """Stages 0 and 1 of the base for a gate that is used from stage 2 on; data made once."""
    planned = bare.planned("results/ablations/", config=("set=ablations.only=[gate_content]",))
    stages = [("base", k) for k in range(5)] + [("gate_content", k) for k in (2, 3, 4)]
    assert training(planned) == {f"Training stage {k}, run {v}-seed0" for v, k in stages}
    assert sum(message.startswith("Preparing") for message in planned) == 5
    assert TABLE in planned


def test_a_seed_is_a_whole_curriculum(bare):
    """Another seed makes its own data and stages; the main run's seed is the main run."""
    planned = bare.planned("results/seeds/1/")
    assert training(planned) == {f"Training stage {k}, run seed1" for k in range(5)}
    assert "Preparing the data of stage 0, run seed1" in planned
    planned = bare.planned("results/seeds/0/")
    assert training(planned) == {f"Training stage {k}" for k in range(5)}


def test_variants_never_plan_the_main_run(bare):
    """Editing variants or benchmarks plans nothing of the default target."""
    before = bare.planned()
    change = "set=ablations.budget=0.5;ablations.seeds=[1,2];benchmarks.grokking.seeds=[5]"
    assert bare.planned(config=(change,)) == before


def test_a_variant_runs_end_to_end(bare):
    """Base and variant with two stages: table with paired differences, no snapshot left over."""
    done = bare.snakemake("results/ablations/", config=CONFIG)
    assert done.returncode == 0, done.stderr[-4000:]
    table = json.loads((bare.out / "results/ablations/table.json").read_text())
    assert [row["variant"] for row in table["rows"]] == ["base", "replay_off"]
    assert table["rows"][1]["stage 0 difference"] == "+0.000"
    assert not (bare.out / "results/runs/replay_off-seed0/stage0").exists()
    parent = json.loads(
        (bare.out / "results/runs/replay_off-seed0/stage1/manifest.json").read_text()
    )
    base = json.loads((bare.out / "results/runs/base-seed0/stage0/manifest.json").read_text())
    assert parent["parent"] == base["outputs"]["checkpoint.pt"]
    left = (bare.out / "results/.snapshots/runs").rglob("*.pt")
    assert list(left) == []
    assert bare.planned("results/ablations/", config=CONFIG) == set()
    longer = ("stop_after=1", "set=ablations.only=[replay_off,gate_content]")
    assert bare.planned("results/ablations/", config=longer) == {TABLE}
