"""Facts of a run as words: nothing is said that no artifact holds."""

from __future__ import annotations

import json
from pathlib import Path

from cogment_pipe.report import facts
from cogment_pipe.report.artifacts import load_run


def test_summary_paragraph(results: Path, report_slice: dict) -> None:
    """Scale, seed, size, stages, verdicts and the last checkpoint's scores are the artifacts'."""
    text = facts.summary_paragraph(load_run(results, report_slice), [])
    assert "1,070,000 parameters" in text
    assert "scale small with seed 0 through 5 of 5" in text
    assert "2 of 5 stages converged" in text
    assert "0.670 on stage 4" in text


def test_values_over_stages(copied: Path, report_slice: dict) -> None:
    """One value where all stages agree, each stage's where they do not."""
    rows = dict(facts.run_rows(load_run(copied, report_slice)))
    assert rows["torch"] == "2.13.0"
    path = copied / "stage4/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cuda"}))
    rows = dict(facts.run_rows(load_run(copied, report_slice)))
    assert rows["device"] == "stage 0: cpu; stage 1: cpu; stage 2: cpu; stage 3: cpu; stage 4: cuda"


def test_data_rows(results: Path, report_slice: dict) -> None:
    """Counts, drops, licences and leaks of every task, in the stage's own order."""
    rows = facts.data_rows(load_run(results, report_slice))
    assert [row["task"] for row in rows if row["stage"] == 2] == ["sudoku", "maze", "listops"]
    arc = next(row for row in rows if row["task"] == "arc")
    assert arc["dropped"] == "too long (9)"
    assert arc["licence"] == "Apache-2.0"
    assert arc["leaks"] == "0"


def test_backquotes_are_code() -> None:
    """Commands in a warning are set as code; hostile text stays text; a lone mark is no command."""
    assert facts.code("run `a <b>` now") == "run <code>a &lt;b&gt;</code> now"
    assert facts.code("it`s <i>") == "it`s &lt;i&gt;"
    assert facts.code("`a` and `b") == "<code>a</code> and `b"


def test_sources_once(results: Path, report_slice: dict) -> None:
    """A file that several tasks read is listed once, with all of them."""
    rows = facts.source_rows(load_run(results, report_slice))
    assert [row["path"] for row in rows] == ["data/arcagi1.json", "data/arcagi2.json"]
    assert rows[0]["used"] == ["1 arc"]


def test_numbers_as_text() -> None:
    """Scores have three decimals, missing values a dash, truths are words."""
    assert facts.number(0.5) == "0.500"
    assert facts.number(None) == facts.NONE
    assert facts.number(False) == "no"
    assert facts.number(12) == "12"
    assert facts.plain(3e-4) == "0.0003"
    assert facts.sentence(" it ended") == "It ended."
