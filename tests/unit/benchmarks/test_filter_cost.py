"""The benchmark of the gradient filter: what it times is the filter, and its figures add up."""

from __future__ import annotations

import json

import pytest
import torch

from cogment_pipe.benchmark_config import FilterCostConfig, FilterSlice
from cogment_pipe.benchmarks import filter_cost
from cogment_pipe.config import load_config
from cogment_pipe.grokfast import GradientFilter
from cogment_pipe.provenance import verify_manifest
from cogment_pipe.slices import filter_slice

SMALL = FilterSlice(filter=FilterCostConfig(parameters=4000, tensors=4, repeats=3, warmup=1))


def test_the_published_loop_and_the_filter_do_the_same():
    """A comparison of speed is one of equal work: the same gradients after ten steps."""
    own, other = (filter_cost._parameters(SMALL) for _ in range(2))
    ours = GradientFilter({"core": own}, {"core": filter_cost.RULE})
    ours.apply()  # the first gradient starts the average on both sides
    naive = filter_cost.NaiveFilter([p for _, p in other])
    naive.apply()
    for _ in range(10):
        for step in (ours, naive):
            step.apply()
    for (_, a), (_, b) in zip(own, other, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=0)


def test_the_figures_are_of_what_was_timed(tmp_path):
    """Medians give the ratios; the filter allocates nothing after its first step."""
    filter_cost.measure(SMALL, "s", tmp_path / "filter")
    table = json.loads((tmp_path / "filter/table.json").read_text())
    (row,) = table["rows"]
    assert row["floors"] == pytest.approx(row["filter_ms"] / row["floor_ms"], abs=1e-3)
    assert row["times_faster"] == pytest.approx(row["naive_ms"] / row["filter_ms"], abs=1e-3)
    assert row["allocated_bytes"] == 0 and row["threads"] == 1
    held = row["floors"] <= table["at_most_floors"]
    assert table["reached"] == (held and row["times_faster"] >= table["at_least_naive"])
    assert verify_manifest(tmp_path / "filter") == []


def test_the_published_loop_allocates():
    """Guards: the count of bytes can see an allocation."""
    naive = filter_cost.NaiveFilter([p for _, p in filter_cost._parameters(SMALL)])
    assert filter_cost.allocated(naive.apply) >= 4 * SMALL.filter.parameters


def test_the_configuration_measures_the_core_s_size(project, tmp_path):
    """20.8 million numbers in 100 tensors on one thread, whatever the scale's own threads."""
    content = filter_slice(load_config(project, tmp_path, {"scale": "small"}))
    given = FilterSlice.model_validate(json.loads(content))
    assert (given.filter.parameters, given.filter.tensors, given.threads) == (20_786_400, 100, 1)
