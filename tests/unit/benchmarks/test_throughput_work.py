"""What is timed is what is counted: random items of the greatest lengths, at a stage's sizes."""

from __future__ import annotations

import json

import pytest
import torch

from cogment_pipe.benchmark_config import ThroughputSlice
from cogment_pipe.benchmarks.throughput import plan
from cogment_pipe.benchmarks.throughput.measure import Cell, measure_cell, shape_of
from cogment_pipe.benchmarks.throughput.sweep import measure_sweep
from cogment_pipe.benchmarks.throughput.work import Shape, build
from cogment_pipe.config import load_config
from cogment_pipe.model.blocks import Block

CPU = torch.device("cpu")


def slice_of(project, k, **changes):
    config = load_config(project, None, {"scale": "tiny"})
    return json.loads(plan.cell_slice(project, config, "throughput_smoke", "tiny", k)) | changes


def cell_of(project, k):
    part = ThroughputSlice.model_validate(slice_of(project, k, rows=2))
    shape = shape_of(part)
    return Cell(build(part.stage_slice.model_dump(mode="json"), k, shape, CPU), shape, CPU)


@pytest.mark.parametrize("k", [0, 1, 2, 4])
def test_operations_are_those_that_run(project, k):
    """A share of the machine's rate rests on operations that really ran, backward included."""
    cell = cell_of(project, k)
    cell.first_step()
    paper = cell.shape.operations(cell.trainer.model.config)
    # three forward passes for forward and backward is a rule of thumb, attention's own is 3.5
    assert cell.counts["counted"] == pytest.approx(paper, rel=0.15)
    assert cell.counts["kernels"] > 100 and cell.counts["saved_bytes"] > 1000


def test_items_have_the_greatest_lengths(project):
    """Every cell and token of the stage's length is there; demonstrations under a mask."""
    config = load_config(project, None, {"scale": "full"})
    shapes = [
        Shape.of(config.stages[k], k > 2, plan.demonstration_cells(config.stages[k]))
        for k in range(5)
    ]
    assert [s.length for s in shapes] == [128, 256, 512, 1024, 512]
    assert [s.rows for s in shapes] == [16, 8, 6, 4, 2]
    assert [s.context for s in shapes] == [0, 1024, 0, 0, 0]
    assert [s.passes for s in shapes] == [1, 1, 1, 1, 4]
    assert all(s.grid[0] * s.grid[1] == s.length for s in shapes)


def test_a_cell_has_every_arm_and_says_why_one_is_missing(project, tmp_path, monkeypatch):
    """An arm that cannot run is in the artifact with the first line of its error."""

    def broken(self):
        raise RuntimeError("no compiler here\nsecond line")

    monkeypatch.setattr(Block, "compile", broken)
    wanted = slice_of(project, 2, arms=["plain", "checkpointing", "bf16", "compile"], repeats=1)
    found = measure_cell(wanted, tmp_path / "cell.jsonl", "cpu")
    assert json.loads((tmp_path / "cell.jsonl").read_text()) == found
    assert found["arms"].pop("compile") == {"error": "RuntimeError: no compiler here"}
    for arm in found["arms"].values():
        assert arm["step_seconds"] == arm["runs"][0] > 0
        assert 0 < arm["share"] < 10 and arm["samples_per_second"] > 0
    assert sum(found["profile"].values()) == pytest.approx(1.0, abs=0.01)
    assert found["products"]["fp32"] > 0 and found["bandwidth"] > 0


def test_checkpointing_and_precision_reach_the_step(project):
    """The arms differ in what they say they differ in, and a step leaves no trace in the next."""
    cell = cell_of(project, 4)
    cell.prepare(("plain", "checkpointing", "bf16"), 1)
    plain, checkpointing, bf16 = cell.arms
    assert checkpointing.stream.home.activation_checkpointing
    assert not plain.stream.home.activation_checkpointing
    cell._enter(bf16)
    assert cell.trainer.precision == "bf16"
    cell._enter(plain)
    assert cell.trainer.precision == "fp32"
    assert {arm.error for arm in cell.arms} == {None}


def test_the_sweep_has_a_point_for_each_number(project, tmp_path):
    """Refinement steps with and without checkpointing, segments of a document."""
    changes = {"rows": 1, "repeats": 1, "refinement": [1, 2], "segments": [1, 2]}
    found = measure_sweep(slice_of(project, 4, **changes), tmp_path / "sweep.jsonl", "cpu")
    points = [(p["steps"], p["checkpointing"]) for p in found["refinement"]]
    assert points == [(1, False), (2, False), (1, True), (2, True)]
    assert [p["earlier"] for p in found["segments"]] == [0, 1]
    assert all(p["step_seconds"] > 0 and p["cost"] > 0 for p in found["segments"])
