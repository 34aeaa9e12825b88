"""Guards honest numbers: what README quotes is what an evidence file says, made from artifacts."""

import json
from pathlib import Path

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.report.evidence import BEGIN, collect, place, table

PROJECT = Path(__file__).resolve().parents[3]


def test_readme_holds_the_table_of_each_evidence_file_that_it_names():
    """Guards: no table in README differs from the evidence it is made from."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    names = [p.stem for p in sorted((PROJECT / "docs" / "evidence").glob("*.json"))]
    quoted = [name for name in names if BEGIN.format(name=name) in readme]
    assert quoted, "README quotes no evidence"
    for name in quoted:
        evidence = json.loads((PROJECT / "docs" / "evidence" / f"{name}.json").read_text())
        assert place(readme, name, table(evidence)) == readme


def test_marks_are_needed():
    """Guards: a README without marks is refused, not appended to."""
    with pytest.raises(CogmentError, match="no marks"):
        place("text", "x", "table")


def test_an_empty_folder_is_refused(tmp_path):
    """Guards: no evidence without results."""
    with pytest.raises(CogmentError, match="no finished stage"):
        collect(tmp_path, tmp_path, "command")
