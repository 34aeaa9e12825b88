"""A gradient that is not finite, at the level of a run: skipped, counted, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cogment_pipe import checkpoint
from cogment_pipe.errors import CogmentError
from cogment_pipe.snapshot_files import list_records
from cogment_pipe.stage_trainer import StageTrainer
from tests.resume.stages import (
    STEPS,
    Interruptions,
    Stage,
    copy_snapshots,
    final_state,
    prepare,
    published,
)

POISONED = 4
ALLOWED = 3


@pytest.fixture(scope="module")
def stage(project, tmp_path_factory) -> Stage:
    """The grid stage; three steps in a row that are not finite stop it."""
    made = prepare("grid", tmp_path_factory.mktemp("grid"), project)
    made.slice["optimizer"]["max_nonfinite"] = ALLOWED
    return made


@pytest.fixture
def interruptions(monkeypatch) -> Interruptions:
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield Interruptions(monkeypatch).install()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


def records(folder: Path) -> list[dict]:
    lines = map(json.loads, published(folder)["metrics.jsonl"].splitlines())
    return [line for line in lines if line["event"] == "train"]


def newest(folder: Path) -> tuple[dict, dict]:
    return checkpoint.load(list_records(folder / "snapshots")[0].path)


def test_one_poisoned_step_is_skipped_and_counted(stage, tmp_path, interruptions):
    """Weights, moments, filter and average keep their bits; the streams and the step go on."""
    interruptions.keep_in = tmp_path / "kept"
    interruptions.poison = {POISONED}
    assert stage.train(tmp_path / "a", snapshot_every=1, log_every=1) == 0
    before, meta = newest(tmp_path / f"kept/{POISONED - 1}")
    after, later = newest(tmp_path / f"kept/{POISONED}")
    kept = [n for n in before if n.startswith(("run/model", "run/optimizer", "run/average"))]
    assert kept and all(torch.equal(before[name], after[name]) for name in kept)
    counts = [n for n in meta if n.startswith(("run/optimizer", "run/average"))]
    changed = {name for name in counts if meta[name] != later[name]}
    assert changed == {"run/optimizer/nonfinite", "run/optimizer/nonfinite_in_row"}
    assert later["run/step"] == POISONED

    summary = json.loads(published(tmp_path / "a")["summary.json"])
    assert summary["nonfinite_steps"] == 1 and summary["steps"] == STEPS
    assert summary["warnings"] == ["1 non-finite steps were skipped"]
    skipped = [line["step"] for line in records(tmp_path / "a") if line.get("applied") is False]
    assert skipped == [POISONED]
    _, stored = checkpoint.load(tmp_path / "a/out/checkpoint.pt")
    assert stored["run/optimizer/applied"] == STEPS - 1


def test_the_rest_of_the_run_is_as_if_the_step_had_done_nothing(stage, tmp_path, monkeypatch):
    """Equal to a run whose optimizer is simply not asked at that step, but for the count."""
    interruptions = Interruptions(monkeypatch).install()
    interruptions.poison = {POISONED}
    assert stage.train(tmp_path / "a") == 0
    step = StageTrainer.train_step

    def idle(engine: StageTrainer) -> dict[str, object]:
        if engine.step_count + 1 != POISONED:
            return step(engine)
        weights = {n: p.detach().clone() for n, p in engine.model.named_parameters()}
        state = checkpoint.flatten("o", engine.optimizer.state_dict())
        saved = {n: t.clone() for n, t in state[0].items()}
        average = checkpoint.flatten("a", engine.average.state_dict())
        averaged = {n: t.clone() for n, t in average[0].items()}
        consolidate, engine._consolidate = engine._consolidate, lambda update: None
        record = step(engine)
        engine._consolidate = consolidate
        with torch.no_grad():
            for name, parameter in engine.model.named_parameters():
                parameter.copy_(weights[name])
        engine.optimizer.load_state_dict(checkpoint.unflatten("o", saved, state[1]))
        engine.average.load_state_dict(checkpoint.unflatten("a", averaged, average[1]))
        return record

    interruptions.poison = set()
    monkeypatch.setattr(StageTrainer, "train_step", idle)
    assert stage.train(tmp_path / "b") == 0
    a, b = published(tmp_path / "a"), published(tmp_path / "b")
    assert a["model.safetensors"] == b["model.safetensors"]
    tensors, other = (checkpoint.load(tmp_path / n / "out/checkpoint.pt")[0] for n in "ab")
    assert tensors.keys() == other.keys()
    assert all(torch.equal(tensors[name], other[name]) for name in tensors)
    ours, theirs = records(tmp_path / "a"), records(tmp_path / "b")
    assert [r for r in ours if r["step"] != POISONED] == [
        r for r in theirs if r["step"] != POISONED
    ]


def test_a_skipped_step_is_resumed_exactly(stage, tmp_path, interruptions):
    """Stopped right before, at and right after the poisoned step: the same bytes."""
    interruptions.poison = {POISONED}
    assert stage.train(tmp_path / "a") == 0
    interruptions.stop_after = {POISONED - 1, POISONED, POISONED + 1}
    for _ in range(3):
        assert stage.train(tmp_path / "b") == 75
    assert stage.train(tmp_path / "b") == 0
    assert published(tmp_path / "a") == published(tmp_path / "b")
    assert final_state(tmp_path / "a") == final_state(tmp_path / "b")


@pytest.mark.parametrize("interrupted", [False, True])
def test_too_many_in_a_row_stop_the_run(stage, tmp_path, interruptions, interrupted):
    """One line that says what to do; the last good snapshot is intact and goes on to the end.

    The count goes on over an interruption: a restart is no way around it.
    """
    assert stage.train(tmp_path / "whole") == 0
    interruptions.poison = {POISONED, POISONED + 1, POISONED + 2}
    if interrupted:
        interruptions.stop_after = {POISONED}
        assert stage.train(tmp_path / "b", snapshot_every=3) == 75
    with pytest.raises(CogmentError, match=r"3 steps in a row; lower the stage's learning_rate"):
        stage.train(tmp_path / "b", snapshot_every=3)
    assert not (tmp_path / "b/out").exists()
    good = [record for record in list_records(tmp_path / "b/snapshots") if record.intact()]
    assert good[-1].step == 3 and good[0].step == (POISONED if interrupted else 3)

    interruptions.poison = set()
    for record in good[:-1]:  # without the ones that hold skipped steps
        record.sidecar.unlink()
    copy_snapshots(tmp_path / "b/snapshots", tmp_path / "c/snapshots")
    assert stage.train(tmp_path / "c") == 0
    assert published(tmp_path / "c") == published(tmp_path / "whole")


def test_the_count_of_a_row_ends_with_a_finite_step(stage, tmp_path, interruptions):
    """Two and two are not four: such a run comes to its end and says how many it skipped."""
    interruptions.poison = {2, 3, 5, 6}
    assert stage.train(tmp_path) == 0
    assert json.loads(published(tmp_path)["summary.json"])["nonfinite_steps"] == 4
