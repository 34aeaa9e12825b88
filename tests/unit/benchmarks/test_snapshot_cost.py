"""The cost of a snapshot is computed from what was really written and stepped."""

from __future__ import annotations

import pytest

from cogment_pipe.benchmarks.snapshot_cost import measure
from cogment_pipe.config import load_config


def test_the_figures_fit_each_other(project, tmp_path):
    """The share follows from the seconds; weights, average, moments and filter are in the file."""
    config = load_config(project, tmp_path, {"scale": "tiny"})
    found = measure(config, tmp_path, steps=1, saves=1)
    every, save, step = (found[k] for k in ("snapshot_every", "save_seconds", "step_seconds"))
    assert every == config.runtime.snapshot_every and save > 0 and step > 0
    assert found["share_of_training"] == pytest.approx(save / (every * step + save), rel=0.05)
    # 4 bytes each: weights and average of all, moments and filter of what a grid stage trains
    assert found["snapshot_bytes"] > 3 * 4 * found["parameters"]
