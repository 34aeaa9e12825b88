"""Training time is that of the steps that made the weights, whatever was killed between."""

from __future__ import annotations

import pytest

from cogment_pipe import stopwatch
from cogment_pipe.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    return now


def run(watch, clock, first, last, seconds):
    for step in range(first, last):
        with watch(step):
            clock[0] += seconds
        clock[0] += 100.0  # evaluation, snapshots: not counted


def test_only_steps_count(tmp_path, clock):
    """What happens between steps takes no training time."""
    watch = Stopwatch(tmp_path / "t.json", 5)
    run(watch, clock, 0, 12, 0.5)
    assert watch.seconds == 6.0


def test_repeated_steps_count_once(tmp_path, clock):
    """Killed after step 12 of which 10 were kept: steps 10 and 11 count as they went later."""
    run(Stopwatch(tmp_path / "t.json", 5), clock, 0, 12, 0.5)
    again = Stopwatch(tmp_path / "t.json", 5)
    run(again, clock, 10, 20, 2.0)
    again.save()
    assert again.seconds == Stopwatch(tmp_path / "t.json", 5).seconds == 25.0


def test_a_stop_in_the_middle_of_a_block(tmp_path, clock):
    """Stopped on request after step 7, and started over from 5 when that snapshot is damaged."""
    watch = Stopwatch(tmp_path / "t.json", 5)
    run(watch, clock, 0, 7, 1.0)
    watch.save()
    on = Stopwatch(tmp_path / "t.json", 5)
    run(on, clock, 7, 9, 1.0)
    on.save()
    assert on.seconds == 9.0
    back = Stopwatch(tmp_path / "t.json", 5)
    run(back, clock, 5, 6, 1.0)
    assert back.seconds == 6.0
