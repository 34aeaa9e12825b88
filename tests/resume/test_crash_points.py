"""A crash at every single dangerous call of a run: it goes on, and ends with the same bytes."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import pytest
import torch

from cogment_pipe import checkpoint
from cogment_pipe.atomic import sha256_file, write_json
from cogment_pipe.determinism import environment
from cogment_pipe.rng import torch_stream
from cogment_pipe.snapshot_files import drop_finished, list_records
from cogment_pipe.snapshots import SnapshotStore
from tests.resume.faults import run_in_fork

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing for want of fsync, and hundreds of them take long."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


STEPS = 6
EVERY = 2


def open_store(folder: Path, slice_name: str) -> SnapshotStore:
    return SnapshotStore(folder / "snapshots", {"slice": slice_name}, environment("cpu", "fp32"))


def latest_is_finished(folder: Path, slice_name: str) -> bool:
    with open_store(folder, slice_name) as store:
        snapshot = store.latest()
    return snapshot is not None and snapshot.finished


def train(folder: Path, slice_name: str = "a") -> None:
    """A stage in miniature: a keyed recurrence, a snapshot every other step, a checkpoint."""
    with open_store(folder, slice_name) as store:
        snapshot = store.latest()
        step = 0 if snapshot is None else snapshot.meta["step"]
        state = torch.zeros(16) if snapshot is None else snapshot.tensors["state"]
        finished = snapshot is not None and snapshot.finished
        while not finished and step < STEPS:
            noise = torch.randn(16, generator=torch_stream(0, 1, step, 0, slice_name))
            state = (state + noise) * 1.1
            step += 1
            if step % EVERY == 0:
                store.save(step, {"state": state}, {"step": step}, finished=step == STEPS)
            if step == 3:
                store.save_best(step, 0.5, {"state": state}, {"step": step})
        checkpoint.save(folder / "checkpoint.pt", {"state": state}, {"step": step})


def test_crash_anywhere_then_again(tmp_path: Path) -> None:
    """For each n: crash at the n-th call, start again, same bytes; until a run needs no n-th."""
    train(tmp_path / "unbroken")
    expected = (tmp_path / "unbroken" / "checkpoint.pt").read_bytes()
    for at in itertools.count():
        folder = tmp_path / str(at)
        complete = run_in_fork(lambda folder=folder: train(folder), crash_at=at)
        train(folder)
        assert (folder / "checkpoint.pt").read_bytes() == expected, f"crash at call {at}"
        records = list_records(folder / "snapshots")
        assert records[0].step == STEPS and all(record.intact() for record in records)
        if complete:
            break
    assert at > 50  # the run has that many dangerous calls; fewer: they were not all wrapped


def test_crash_again_and_again(tmp_path: Path) -> None:
    """A run that crashes a little later each time still gets there, with the same bytes."""
    train(tmp_path / "unbroken")
    for first in (0, 9):
        folder = tmp_path / f"from{first}"
        for at in itertools.count(first):
            if run_in_fork(lambda folder=folder: train(folder), crash_at=at):
                break
        expected = (tmp_path / "unbroken" / "checkpoint.pt").read_bytes()
        assert (folder / "checkpoint.pt").read_bytes() == expected


def test_crash_while_stale_ones_are_set_aside(tmp_path: Path) -> None:
    """A changed config never goes on from the old one's state, wherever its start was cut off."""
    train(tmp_path / "other", "b")
    expected = (tmp_path / "other" / "checkpoint.pt").read_bytes()
    for at in range(16):
        folder = tmp_path / str(at)
        train(folder, "a")
        run_in_fork(lambda folder=folder: train(folder, "b"), crash_at=at)
        assert latest_is_finished(folder, "a"), f"crash at call {at} lost the old progress"
        train(folder, "b")
        assert (folder / "checkpoint.pt").read_bytes() == expected, f"crash at call {at}"


def test_crash_while_config_goes_back_and_forth(tmp_path: Path) -> None:
    """Taking set-aside snapshots back is safe to cut off as well."""
    train(tmp_path / "unbroken", "a")
    expected = (tmp_path / "unbroken" / "checkpoint.pt").read_bytes()
    for at in range(16):
        folder = tmp_path / str(at)
        train(folder, "a")
        train(folder, "b")
        run_in_fork(lambda folder=folder: train(folder, "a"), crash_at=at)
        assert latest_is_finished(folder, "a"), f"crash at call {at} lost the progress"
        train(folder, "a")
        assert (folder / "checkpoint.pt").read_bytes() == expected, f"crash at call {at}"


def test_crash_while_finished_ones_are_dropped(tmp_path: Path) -> None:
    """Deleting the snapshots of a finished stage may be cut off: what is left is never wrong."""
    for at in range(12):
        folder = tmp_path / str(at)
        train(folder)
        digest = sha256_file(folder / "checkpoint.pt")
        write_json(folder / "manifest.json", {"outputs": {"checkpoint.pt": digest}})
        run_in_fork(lambda f=folder: drop_finished(f / "snapshots", f) and None, crash_at=at)
        train(folder)
        assert sha256_file(folder / "checkpoint.pt") == digest
