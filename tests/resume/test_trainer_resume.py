"""The real trainer, interrupted everywhere: every published file has the bytes of an unbroken run.

Compared are checkpoint.pt, model.safetensors, metrics.jsonl, summary.json, config.json and
manifest.json as a whole, and the last snapshot, which holds the rest of the run's state.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from cogment_pipe import checkpoint
from cogment_pipe.errors import CogmentError
from cogment_pipe.model.memory import GatedLTM
from cogment_pipe.provenance import seal
from tests.resume.stages import (
    EXCLUDED,
    STEPS,
    Crash,
    Interruptions,
    Stage,
    copy_snapshots,
    final_state,
    prepare,
    published,
)


@pytest.fixture(scope="module", autouse=True)
def torch_settings():
    """The trainer sets threads and determinism for its process; here it shares one."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


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
        assert stage.train(folder, snapshot_every=1, log_every=1) == 0
    return folder


@pytest.fixture
def interruptions(monkeypatch) -> Interruptions:
    return Interruptions(monkeypatch).install()


def same(folder: Path, unbroken: Path) -> None:
    assert published(folder) == published(unbroken)
    assert final_state(folder) == final_state(unbroken)


def test_nothing_is_excluded():
    """The written list of what may differ after a resume is empty."""
    assert EXCLUDED == {}


def test_every_mechanism_is_on(stage, tmp_path, interruptions, monkeypatch):
    """Or the comparisons below would prove less than they say."""
    moved = []
    original = GatedLTM.consolidate

    def consolidate(memory, state, rate):
        moved.append(rate)
        original(memory, state, rate)

    monkeypatch.setattr(GatedLTM, "consolidate", consolidate)
    assert stage.train(tmp_path) == 0
    lines = [json.loads(line) for line in published(tmp_path)["metrics.jsonl"].splitlines()]
    steps = [line for line in lines if line["event"] == "train"]
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    assert {line["task"] for line in steps} == {*stage.slice["stage"]["tasks"], "stage0.toy_maze"}
    assert any(line["loss_consistency"] > 0 for line in steps)
    assert any(line["loss_improvement"] > 0 for line in steps)
    written = any(line["memory_gate"] is not None for line in steps)
    assert (written, bool(moved)) == ((True, True) if stage.number == 4 else (False, False))
    tensors, _ = checkpoint.load(tmp_path / "out/checkpoint.pt")
    assert any("/filter/average/" in name for name in tensors)


def test_stopped_at_every_step(stage, unbroken, tmp_path, interruptions):
    """SIGTERM in each single step of one run: eleven calls, the same bytes."""
    interruptions.stop_after = set(range(1, STEPS + 1))
    codes = [stage.train(tmp_path) for _ in range(STEPS)]
    assert codes == [75] * STEPS and interruptions.stopped == list(range(1, STEPS + 1))
    assert stage.train(tmp_path) == 0
    same(tmp_path, unbroken)


def test_restarted_from_every_snapshot(stage, unbroken, tmp_path, interruptions):
    """From the snapshot of each step, across epochs and batches: the same bytes."""
    kept = sorted((unbroken / "kept").iterdir(), key=lambda path: int(path.name))
    assert [int(path.name) for path in kept] == list(range(1, STEPS + 1))
    for source in kept:
        folder = tmp_path / source.name
        copy_snapshots(source / "snapshots", folder / "snapshots")
        assert stage.train(folder) == 0
        same(folder, unbroken)


def test_crashed_between_snapshots_twice_in_a_row(stage, unbroken, tmp_path, interruptions):
    """Steps after the last snapshot are done again, their metrics cut back; also twice."""
    for crashes in ({7}, {3, 6}, {6, 8, 9}):
        folder = tmp_path / "-".join(map(str, sorted(crashes)))
        interruptions.crash_after = set(crashes)
        for _ in crashes:
            with pytest.raises(Crash):
                stage.train(folder, snapshot_every=4, log_every=1)
        assert stage.train(folder) == 0
        same(folder, unbroken)


@pytest.mark.parametrize(("snapshot_every", "log_every"), [(3, 1), (100, 100)])
def test_intervals_change_no_bit(
    stage, unbroken, tmp_path, interruptions, snapshot_every, log_every
):
    """Another snapshot or log interval, with or without an interruption: the same bytes."""
    options = {"snapshot_every": snapshot_every, "log_every": log_every}
    assert stage.train(tmp_path / "a", **options) == 0
    same(tmp_path / "a", unbroken)
    interruptions.stop_after = {4}
    assert stage.train(tmp_path / "b", **options) == 75
    assert stage.train(tmp_path / "b", snapshot_every=2, log_every=2) == 0
    same(tmp_path / "b", unbroken)


def test_a_finished_stage_is_emitted_again(stage, unbroken, tmp_path, interruptions):
    """Its folder deleted, as Snakemake does: no step is taken, the bytes are back."""
    copy_snapshots(unbroken / "snapshots", tmp_path / "snapshots")
    interruptions.crash_after = set(range(1, STEPS + 1))
    assert stage.train(tmp_path) == 0
    assert published(tmp_path) == published(unbroken)


def elsewhere(stage: Stage, patch: pytest.MonkeyPatch, what: str) -> Stage:
    """The same stage with one thing changed that gives other bits and is no other training."""
    if what == "torch":
        patch.setattr(torch, "__version__", "0.0.0+another")
        return stage
    change = {"threads": stage.slice["threads"] + 1} if what == "threads" else {"precision": "bf16"}
    return Stage(stage.number, stage.slice | change, stage.data)


@pytest.mark.parametrize("what", ["torch", "precision", "threads"])
def test_another_environment_stops_the_run_until_told(
    stage, unbroken, tmp_path, interruptions, what
):
    """One line and the snapshot left; `continue` says so in the manifest; `restart` starts over."""
    interruptions.stop_after = {4}
    assert stage.train(tmp_path / "a") == 75
    copy_snapshots(tmp_path / "a/snapshots", tmp_path / "b/snapshots")
    with pytest.MonkeyPatch.context() as patch:
        other = elsewhere(stage, patch, what)
        with pytest.raises(CogmentError, match=rf"step 4 .*{what}.*=continue.*=restart") as caught:
            other.train(tmp_path / "a")
        assert "\n" not in str(caught.value)
        assert other.train(tmp_path / "b", on_environment_change="continue") == 0
        manifest = json.loads(published(tmp_path / "b")["manifest.json"])
        assert manifest["bit_identical"] is False
        copy_snapshots(tmp_path / "a/snapshots", tmp_path / "c/snapshots")
        assert other.train(tmp_path / "c", on_environment_change="restart") == 0
        assert other.train(tmp_path / "d") == 0
        assert published(tmp_path / "c") == published(tmp_path / "d")
        assert json.loads(published(tmp_path / "c")["manifest.json"])["bit_identical"] is True
    # what was refused is as it was, and goes on to the same bits where it came from
    assert stage.train(tmp_path / "a") == 0
    same(tmp_path / "a", unbroken)


@pytest.mark.parametrize("what", ["learning_rate", "source", "data"])
def test_another_training_sets_the_snapshot_aside(stage, tmp_path, interruptions, caplog, what):
    """Another rate, code or input: said aloud, from the start, to what a fresh run gives."""
    interruptions.stop_after = {4}
    assert stage.train(tmp_path / "a") == 75
    other, options = stage, {}
    if what == "learning_rate":
        other = stage.variant(learning_rate=2 * stage.slice["stage"]["learning_rate"])
    elif what == "source":
        options = {"source": "another"}
    else:
        other = Stage(stage.number, stage.slice, [changed_data(f, tmp_path) for f in stage.data])
    caplog.clear()
    assert other.train(tmp_path / "a", **options) == 0
    said = caplog.text
    assert "snapshots of step 4 and before are stale" in said and "set aside" in said
    assert "RESUME" not in said
    assert other.train(tmp_path / "b", **options) == 0
    assert published(tmp_path / "a") == published(tmp_path / "b")
    (aside,) = (tmp_path / "a/snapshots").glob("*.stale")
    assert list(aside.glob("step-*.pt"))


def changed_data(folder: Path, tmp_path: Path) -> Path:
    """A copy of prepared data whose manifest says something more, and is sealed again."""
    copy = shutil.copytree(folder, tmp_path / "data" / folder.name)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(seal(manifest | {"note": "another"})))
    return copy
