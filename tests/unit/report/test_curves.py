"""Curves: which records they are made of and how they are thinned."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogment_pipe.report.artifacts import StageRecord, load_run
from cogment_pipe.report.curves import column, own_events, stage_panels, thin


def test_thin_keeps_the_mean() -> None:
    """A long curve is thinned by means of equal parts, so that it keeps its course."""
    steps, values = np.arange(1000.0), np.arange(1000.0) ** 2
    x, y = thin(steps, values, 100)
    assert len(x) == len(y) == 100
    assert x[0] == 4.5
    assert y.mean() == values.mean()
    assert thin(steps, values, 1000)[0] is steps


def test_column_drops_what_is_no_number() -> None:
    """Null and non-finite values make gaps, not zeros."""
    events = [
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": None},
        {"step": 3, "loss": float("nan")},
        {"step": 4},
    ]
    steps, values = column(events, "loss")
    assert steps.tolist() == [1.0]
    assert values.tolist() == [2.0]


def test_replay_is_left_out(results: Path, report_slice: dict) -> None:
    """Steps of earlier stages' tasks are not drawn as progress of this one."""
    record = load_run(results, report_slice).stages[2]
    assert {event["task"] for event in record.train} > {"linear_map"}
    assert {event["task"] for event in own_events(record)} == {"sudoku", "maze", "listops"}


def test_panels_follow_what_was_recorded(results: Path, report_slice: dict) -> None:
    """A stage that never wrote memory has no gate curve; one that grokked has its mark."""
    run = load_run(results, report_slice)
    titles = {k: [panel.title for panel in stage_panels(run.stages[k])] for k in (0, 2, 4)}
    assert "Memory gate" not in titles[0]
    assert "Memory gate" in titles[2]
    assert "Validation by task" not in titles[4]  # one task
    marked = next(panel for panel in stage_panels(run.stages[2]) if panel.title == "Accuracy")
    assert "grokking" in marked.svg
    assert "converged" in marked.svg


def test_stage_of_one_record() -> None:
    """A stage that ended at once is drawn without a crash or a warning."""
    event = {"step": 1, "task": "a", "loss": 0.0, "lr": 0.0, "ponder": 2.0, "accuracy": 1.0}
    panels = stage_panels(StageRecord(0, train=[event]))
    assert [panel.title for panel in panels] == [
        "Accuracy",
        "Refinement steps (ponder)",
        "Learning rate",
    ]


def test_nothing_recorded() -> None:
    """No records, no panels."""
    assert stage_panels(StageRecord(0)) == []
