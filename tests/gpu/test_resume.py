"""The trainer on CUDA under bf16, interrupted everywhere: the bytes of an unbroken run.

The same stages and the same comparison, whole file by whole file, as tests/resume on the CPU.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cogment_pipe import checkpoint
from cogment_pipe.snapshot_files import list_records
from tests.resume.stages import (
    STEPS,
    Crash,
    Interruptions,
    Stage,
    copy_snapshots,
    final_state,
    prepare,
    published,
)

pytestmark = pytest.mark.gpu
ON_CUDA = {"device": "cuda", "log_every": 1}


@pytest.fixture(scope="module", params=["grid", "text"])
def stage(request, project, tmp_path_factory) -> Stage:
    """A grid stage and a text stage, with replay, twins, micro-batches, GrokFast and memory."""
    return prepare(request.param, tmp_path_factory.mktemp(request.param), project)


@pytest.fixture(scope="module")
def unbroken(stage, tmp_path_factory) -> Path:
    """A run without interruption; a copy of its snapshots after each step is in `kept/`."""
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        Interruptions(patch, keep_in=folder / "kept").install()
        assert stage.train(folder, snapshot_every=1, **ON_CUDA) == 0
    return folder


def same(folder: Path, unbroken: Path) -> None:
    assert published(folder) == published(unbroken)
    assert final_state(folder) == final_state(unbroken)


def test_it_is_cuda_and_bf16(stage, unbroken):
    """What follows is about that; the manifest says so, and the generators of CUDA are saved."""
    manifest = json.loads(published(unbroken)["manifest.json"])
    environment = manifest["environment"]
    assert (environment["device"], environment["precision"]) == ("cuda", "bf16")
    assert environment["deterministic"] is True and manifest["bit_identical"] is True
    tensors, _ = checkpoint.load(list_records(unbroken / "snapshots")[0].path)
    assert "rng/cuda/0" in tensors


def test_twice_the_same(stage, unbroken, tmp_path, interruptions):
    """Two runs from the start end with the same bytes."""
    assert stage.train(tmp_path, snapshot_every=100, **ON_CUDA) == 0
    same(tmp_path, unbroken)


def test_stopped_at_every_step(stage, unbroken, tmp_path, interruptions):
    """SIGTERM in each single step of one run, across epochs and amid batches."""
    interruptions.stop_after = set(range(1, STEPS + 1))
    assert [stage.train(tmp_path, **ON_CUDA) for _ in range(STEPS)] == [75] * STEPS
    assert stage.train(tmp_path, **ON_CUDA) == 0
    same(tmp_path, unbroken)


def test_restarted_from_every_snapshot(stage, unbroken, tmp_path, interruptions):
    """From the snapshot of each step, as after a kill right behind it."""
    kept = sorted((unbroken / "kept").iterdir(), key=lambda path: int(path.name))
    assert [int(path.name) for path in kept] == list(range(1, STEPS + 1))
    for source in kept:
        copy_snapshots(source / "snapshots", tmp_path / source.name / "snapshots")
        assert stage.train(tmp_path / source.name, **ON_CUDA) == 0
        same(tmp_path / source.name, unbroken)


def test_crashed_between_snapshots(stage, unbroken, tmp_path, interruptions):
    """Steps after the last snapshot are done again; also twice in a row."""
    for crashes in ({7}, {3, 6}):
        folder = tmp_path / "-".join(map(str, sorted(crashes)))
        interruptions.crash_after = set(crashes)
        for _ in crashes:
            with pytest.raises(Crash):
                stage.train(folder, snapshot_every=4, **ON_CUDA)
        assert stage.train(folder, **ON_CUDA) == 0
        same(folder, unbroken)


def test_a_poisoned_step_changes_nothing(stage, tmp_path, interruptions):
    """A NaN in one gradient: weights, moments, filter and average keep their bits."""
    interruptions.keep_in = tmp_path / "kept"
    interruptions.poison = {4}
    assert stage.train(tmp_path / "a", snapshot_every=1, **ON_CUDA) == 0
    before, after = (
        checkpoint.load(list_records(tmp_path / f"kept/{step}/snapshots")[0].path)[0]
        for step in (3, 4)
    )
    kept = [n for n in before if n.startswith(("run/model", "run/optimizer", "run/average"))]
    assert kept and all(torch.equal(before[name], after[name]) for name in kept)
    assert json.loads(published(tmp_path / "a")["summary.json"])["nonfinite_steps"] == 1
