"""Results of tasks: order, baselines, intervals, memory controls."""

from __future__ import annotations

import re
from pathlib import Path

from cogment_pipe.report.artifacts import load_run
from cogment_pipe.report.matrix import kept, matrix_svg, retention
from cogment_pipe.report.tasks import (
    best_baseline,
    compute_rows,
    control_rows,
    exit_rows,
    interval,
    memory_sections,
    task_views,
)


def test_views(results: Path, report_slice: dict) -> None:
    """Each task is shown by its own stage's checkpoint with the last one beside it."""
    run = load_run(results, report_slice)
    views = task_views(run, 2)
    assert [view.name for view in views] == ["sudoku", "maze", "listops"]
    assert views[0].checkpoint == 2
    assert views[0].last_checkpoint == 4
    assert task_views(run, 4)[0].last is None
    assert len(views[0].panels) == 4


def test_interval_is_to_scale() -> None:
    """Value and interval lie where the numbers say, on a scale from 0 to 1 or to 100."""
    drawn = interval({"value": 0.5, "low": 0.25, "high": 0.75, "baselines": {"copy": 0.0}})
    assert re.search(r'cx="60\.0"', drawn)
    assert "M32.0 8H88.0" in drawn
    assert "M4.0 2v12" in drawn
    assert re.search(r'cx="60\.0"', interval({"value": 50.0, "low": 25.0, "high": 75.0}))
    assert interval({"value": None}) == ""


def test_best_baseline() -> None:
    """The strongest baseline stands beside a score, never a convenient one."""
    assert best_baseline({"baselines": {"a": 0.2, "b": 0.4, "c": None}}) == ("b", 0.4)
    assert best_baseline({}) is None


def test_memory_controls(results: Path, report_slice: dict) -> None:
    """Every control that was measured is in the table."""
    names, rows = control_rows(load_run(results, report_slice))
    assert names == ["memory_swapped", "memory_unwritten", "memory_zeroed"]
    assert [(row["checkpoint"], row["task"]) for row in rows] == [(4, "recall")]


def test_early_exit(results: Path, report_slice: dict) -> None:
    """What stopping early costs and saves stands beside the score with all steps."""
    run = load_run(results, report_slice)
    rows = exit_rows(task_views(run, 2) + task_views(run, 4))
    assert [row["task"] for row in rows] == ["sudoku", "maze", "listops"]
    (full, full_steps), (early, early_steps), exact = rows[0]["ways"]
    assert early == full - 0.01
    assert (full_steps, early_steps) == (5.0, 1.5)
    assert exact == (None, None)


def test_more_compute_stands_beside_the_single_pass(results: Path, report_slice: dict) -> None:
    """One row for each way of answering, with its cost; none where nothing more was spent."""
    run = load_run(results, report_slice)
    views = task_views(run, 2)
    assert compute_rows(views) == []
    votes = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 50, "passes": 7.5, "steps": 30.0}
    views[1].result["more_compute"] = {"votes": votes}
    single, more = compute_rows(views)
    assert single["way"] == "single pass" and single["passes"] == 1
    assert single["value"] == views[1].result["value"] and single["task"] == "maze"
    assert {key: more[key] for key in votes} == votes and more["way"] == "votes"


def test_memory_records(results: Path, report_slice: dict) -> None:
    """What the evaluation recorded of the memory becomes a table."""
    run = load_run(results, report_slice)
    sections = memory_sections(task_views(run, 4))
    assert sections[0].title == "recall"
    assert sections[0].tables[0].rows == [[0.1, 0.9], [0.2, 0.4]]


def test_retention(results: Path, report_slice: dict) -> None:
    """The matrix holds every checkpoint on every stage; the share kept is last over own."""
    run = load_run(results, report_slice)
    rows = retention(run)
    assert [checkpoint for checkpoint, _ in rows] == [0, 1, 2, 3, 4]
    assert rows[2][1][2].own
    assert rows[2][1][3].ahead
    stage2 = kept(run)[2]
    assert abs(stage2["kept"] - 0.75 / 0.81) < 1e-9
    assert matrix_svg(run) == matrix_svg(run)
    assert "0.810" in matrix_svg(run)
