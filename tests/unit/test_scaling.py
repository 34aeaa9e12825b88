"""The cost on paper: docs/scaling.md says what the formulas give."""

from __future__ import annotations

import pytest

from cogment_pipe.config import load_config
from cogment_pipe.model.budget import Workload, head_flops, step_flops
from cogment_pipe.scaling import snapshot_bytes, stage_cost, tables


@pytest.fixture(scope="module")
def config(project):
    return load_config(project, project, {"scale": "full"})


def test_the_page_holds_the_tables(project, config):
    """No figure in docs/scaling.md is older than config.yaml or the model."""
    page = (project / "docs/scaling.md").read_text()
    assert tables(config) in page
    assert f"{snapshot_bytes(config) / 1e6:.0f} MB" in page


def test_a_stage_is_the_sum_of_its_steps(config):
    """Stage 0 by hand: 16 rows, one refinement step an update, three passes."""
    work = Workload(128)
    one = step_flops(config.model, work, True) + head_flops(config.model, work)
    cost = stage_cost(config, 0)
    assert cost.step == pytest.approx(16 * 3 * one)
    assert cost.training == pytest.approx(500 * cost.step)


def test_devices_share_rows_and_no_more(config):
    """Two rows keep two devices busy; four are no faster."""
    cost = stage_cost(config, 4)
    assert cost.batch == 2
    assert cost.hours(0.01, 2) < cost.hours(0.01, 1)
    assert cost.hours(0.01, 4) == cost.hours(0.01, 2)
