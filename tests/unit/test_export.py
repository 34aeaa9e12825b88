"""Exported weights load and answer as the stage does; cards and manifests say what was copied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cogment_pipe import checkpoint, load
from cogment_pipe.config import load_config
from cogment_pipe.errors import CogmentError
from cogment_pipe.export import PACKED, export_stage, pack_results
from cogment_pipe.inspection import describe_path
from cogment_pipe.model.model import Cogment
from cogment_pipe.provenance import read_manifest, verify_manifest, write_manifest
from cogment_pipe.slices import stage_slice
from cogment_pipe.stage_config import StageSlice

FILES = ["README.md", "config.json", "manifest.json", "model.safetensors", "summary.json"]


@pytest.fixture(scope="module")
def results(project, tmp_path_factory) -> Path:
    """Stage 0 as a finished run at scale tiny leaves it, with fresh weights."""
    text = stage_slice(load_config(project, project, {"scale": "tiny"}), 0)
    content = json.loads(text)
    torch.manual_seed(0)
    model = Cogment(StageSlice.model_validate(content).model)
    folder = tmp_path_factory.mktemp("run") / "results" / "stage0"
    folder.mkdir(parents=True)
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    checkpoint.export_weights(folder / "model.safetensors", weights, {"stage": 0})
    lineage = {"stage": 0, "inputs": {"data/stage0": "d" * 64}, "slice": content}
    stored = {f"model/{name}": tensor for name, tensor in weights.items()}
    meta = {"step": 12, "verdict": "budget", "lineage": lineage}
    checkpoint.save(folder / "checkpoint.pt", stored, meta)
    (folder / "config.json").write_text(text)
    (folder / "metrics.jsonl").write_text("")
    summary = {
        "stage": 0,
        "name": "SANITY",
        "steps": 12,
        "verdict": "budget",
        "reason": "all taken",
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    about = {"stage": 0, "slice": content, "source": "s", "parent": None, "inputs": {}}
    about |= {"versions": {"torch": "2"}, "device": "cpu", "precision": "fp32", "threads": 1}
    names = ["checkpoint.pt", "model.safetensors", "config.json", "metrics.jsonl", "summary.json"]
    write_manifest(folder, {**about, "bit_identical": True}, names)
    return folder.parent


def test_an_exported_stage_answers_as_the_stage(results, tmp_path):
    """Same weights, same answers; the folder verifies, and a second export has the same bytes."""
    files = export_stage(results / "stage0", tmp_path / "a")
    assert sorted(file.name for file in files) == FILES
    assert verify_manifest(tmp_path / "a") == []
    assert PACKED in read_manifest(tmp_path / "a")
    grid = [[1, 2, 23], [4, 5, 23]]
    answers = [load(folder).solve(grid) for folder in (results / "stage0", tmp_path / "a")]
    assert (answers[0].grid == answers[1].grid).all()
    assert answers[0].confidence == answers[1].confidence
    export_stage(results / "stage0", tmp_path / "b" / "a")
    export_stage(results / "stage0", tmp_path / "b" / "a")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / "a" / name).read_bytes()


def test_the_card_is_honest(results, tmp_path):
    """No evaluation, no scores; how the stage ended is said; the example names the folder."""
    export_stage(results / "stage0", tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "were not evaluated" in card
    assert "| 0 | SANITY | 12 | budget | all taken |" in card
    assert 'load("mine")' in card


def test_pack_takes_every_finished_stage(results, tmp_path):
    """One folder a stage, as `load` and `predict` take them."""
    files = pack_results(results, tmp_path / "pretrained")
    assert {file.parent.name for file in files} == {"stage0"}
    assert load(tmp_path / "pretrained" / "stage0").stage == 0


def test_damaged_weights_are_not_exported(results, tmp_path):
    """A weight file that its manifest does not describe stays where it is."""
    stage = tmp_path / "stage0"
    stage.mkdir()
    for path in (results / "stage0").iterdir():
        (stage / path.name).write_bytes(path.read_bytes())
    with (stage / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(CogmentError, match="does not match its manifest"):
        export_stage(stage, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_inspect_says_what_lies_there(results, tmp_path):
    """A stage, weights beside their manifest, and weights and checkpoint that lie alone."""
    stage = results / "stage0"
    total = sum(p.numel() for p in load(stage).model.parameters())
    assert describe_path(stage) == describe_path(stage / "checkpoint.pt")
    for name in ("checkpoint.pt", "model.safetensors"):
        alone = tmp_path / name
        alone.write_bytes((stage / name).read_bytes())
        said = describe_path(alone)
        assert "stage 0" in said.splitlines()[0] and "without a manifest" in said.splitlines()[0]
        assert f"{total:,}" in said
    assert "d" * 64 in describe_path(tmp_path / "checkpoint.pt")
    assert describe_path(results).startswith("1 stages")
