"""The benchmark of speed as a target: a job for each stage at each scale, one at a time."""

from __future__ import annotations

import json

import pytest

SUITE = "results/benchmarks/throughput_smoke"
OTHERS = {
    "Timing steps of more and more refinement steps and segments",
    "Timing how long the start takes, and what the workflow costs around its commands",
    "Speed: table and figure",
}


def test_a_job_for_each_cell(bare):
    """All stages of both scales, whatever the run's own scale is; nothing of the curriculum."""
    cells = {f"Timing stage {k} at scale {scale}" for scale in ("small", "full") for k in range(5)}
    assert bare.planned("results/benchmarks/throughput/") == cells | OTHERS
    assert bare.planned(f"{SUITE}/") == {"Timing stage 2 at scale tiny"} | OTHERS


@pytest.mark.slow
def test_the_short_form_fills_every_table(bare):
    """Less than a minute on a quiet machine: a cell, growth, start-up, a table that verifies."""
    done = bare.snakemake(f"{SUITE}/")
    assert done.returncode == 0, done.stderr[-3000:]
    table = json.loads((bare.out / SUITE / "table.json").read_text())
    assert [row["arm"] for row in table["rows"]] == ["plain", "checkpointing", "bf16"]
    assert {row["error"] for row in table["rows"]} == {None}
    assert not any(found["imports_torch"] for found in table["start"])
    assert table["pipeline"]["jobs"] >= 4 and table["pipeline"]["outside_seconds"] > 0
    assert bare.planned(f"{SUITE}/") == set()
