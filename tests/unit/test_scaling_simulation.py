"""The simulation of docs/scaling.md: its limits are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from cogment_pipe import scaling_simulation as simulation
from cogment_pipe.config import load_config
from cogment_pipe.scaling_simulation import RESTART, Machine, preempted


@pytest.fixture(scope="module")
def config(project):
    return load_config(project, project, {"scale": "full"})


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_the_page_holds_the_tables(project, config):
    """No figure in docs/scaling.md is older than config.yaml or the simulation."""
    assert simulation.tables(config) in (project / "docs/scaling.md").read_text()


def test_without_jitter_it_is_the_sum_of_its_parts(monkeypatch, rng):
    """The device with most rows decides: 5 rows on 2 devices are 3."""
    monkeypatch.setattr(simulation, "JITTER", 0.0)
    machine = Machine(start=1.0, row=0.5, exchange=0.25)
    assert machine.run(5, 2, 10, rng) == pytest.approx(10 * (1.0 + 3 * 0.5 + 0.25))


def test_devices_pay_with_rows_and_never_more_than_their_number(config):
    """Nothing is won where the start of kernels decides; the more rows, the more is won."""
    found = simulation.speedups(config)
    gains = np.array([found[rows] for rows in simulation.ROWS])
    assert (np.diff(gains, axis=0) > 0).all()
    assert (gains[0] < 1.1).all()
    assert (gains < np.array(simulation.DEVICES)).all()


def test_without_preemption_nothing_is_lost(rng):
    """Or almost never: the mean time between two is a century."""
    assert preempted(1000, 0.1, 100, 3e9, False, rng) == pytest.approx(100.0)


def test_a_warning_saves_the_steps_since_the_last_snapshot(rng):
    """With a signal only the restart is lost; without one half an interval more, on average."""
    steps, seconds, every, between = 200_000, 0.1, 500, 1000.0
    times = {
        warned: np.mean(
            [preempted(steps, seconds, every, between, warned, rng) for _ in range(200)]
        )
        for warned in (True, False)
    }
    plain = steps * seconds
    assert times[True] == pytest.approx(plain + plain / between * RESTART, rel=0.03)
    # every run of mean 1000 s loses 25 s of steps, which then have to be done again
    again = plain / (between - every / 2 * seconds)
    assert times[False] == pytest.approx(again * (between + RESTART), rel=0.03)


def test_it_gives_the_same_figures_each_time(config):
    """Keyed draws: the page can be compared with it."""
    assert simulation.losses(config) == simulation.losses(config)
