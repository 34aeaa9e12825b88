"""Reading artifacts: what is there, what is missing, what is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.report.artifacts import load_run, read_json, read_lines


def test_reads_all_stages(results: Path, report_slice: dict) -> None:
    """Everything that five stages leave is read, and nothing counts as missing."""
    run = load_run(results, report_slice)
    assert run.missing == []
    assert [record.name for record in run.stages][::4] == ["SANITY", "LONG_CONTEXT"]
    assert len(run.stages[2].train) == 120
    assert len(run.stages[2].validation) == 12
    assert run.result(4, 2)["score"] == pytest.approx(0.75)
    assert run.result(7, 2) is None


def test_only_json_is_opened(copied: Path, report_slice: dict) -> None:
    """Weights are never read: an unreadable checkpoint does not matter."""
    (copied / "stage4/checkpoint.pt").mkdir()
    assert load_run(copied, report_slice).missing == []


def test_damaged_file_names_line(tmp_path: Path) -> None:
    """A damaged manifest is one line with file and line number."""
    path = tmp_path / "manifest.json"
    path.write_text('{"a": 1,\n"b": }\n')
    with pytest.raises(CogmentError, match=r"manifest\.json, line 2: damaged JSON"):
        read_json(path)


def test_wrong_kind_of_json(tmp_path: Path) -> None:
    """A list where an object belongs, and bytes that are no text, are refused too."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n[1]\n')
    with pytest.raises(CogmentError, match=r"x\.jsonl, line 3: expected a JSON object"):
        read_lines(path)
    path.write_bytes(b'{"a": 1}\n{"b": "\xff"}\n')
    with pytest.raises(CogmentError, match=r"x\.jsonl, line 2: damaged JSON \(not UTF-8\)"):
        read_lines(path)
    path.write_text("[]")
    with pytest.raises(CogmentError, match="expected a JSON object"):
        read_json(path)
