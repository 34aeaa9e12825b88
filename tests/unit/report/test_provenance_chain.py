"""The chain of sha256: it holds for an untouched run, and any tampering breaks it."""

from __future__ import annotations

import json
from pathlib import Path

from cogment_pipe.report.artifacts import load_run
from cogment_pipe.report.provenance_chain import broken_links, stage_chains


def test_holds(results: Path, report_slice: dict) -> None:
    """Every stage starts from the one before, and every input is an artifact's output."""
    chains = stage_chains(load_run(results, report_slice))
    assert [chain.parent_state for chain in chains] == ["none", *["holds"] * 4]
    assert all(link.holds for chain in chains for link in chain.inputs)
    origins = {link.name: link.origin for link in chains[2].inputs}
    assert origins["data/stage2/manifest.json"] == "data/stage2/manifest.json"
    assert origins["stage1/checkpoint.pt"] == "stage1/checkpoint.pt"
    assert broken_links(chains) == []


def test_retrained_parent(copied: Path, report_slice: dict) -> None:
    """A stage whose parent was trained again does not pass as its child."""
    path = copied / "stage1/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["outputs"]["checkpoint.pt"] = "0" * 64
    path.write_text(json.dumps(manifest))
    chains = stage_chains(load_run(copied, report_slice))
    assert chains[2].parent_state == "broken"
    assert "Stage 2 did not start from" in broken_links(chains)[0]


def test_edited_metrics(copied: Path, report_slice: dict) -> None:
    """Numbers changed after the manifest was written are found out."""
    path = copied / "stage0/summary.json"
    path.write_text(path.read_text().replace("0.93", "0.99"))
    chains = stage_chains(load_run(copied, report_slice))
    said = broken_links(chains)
    assert said == ["Stage 0: summary.json changed after the manifest was written."]


def test_changed_data(copied: Path, report_slice: dict) -> None:
    """Data prepared again after training is not the stage's input any more."""
    path = copied / "data/stage2/manifest.json"
    path.write_text(path.read_text() + " ")
    chain = stage_chains(load_run(copied, report_slice))[2]
    states = {link.name: link.holds for link in chain.inputs}
    assert states == {"data/stage2/manifest.json": False, "stage1/checkpoint.pt": True}
