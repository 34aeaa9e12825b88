"""The snapshot store: which snapshot is used, which is not, and that none is lost."""

from __future__ import annotations

import errno
import json
import logging
import os
from pathlib import Path

import pytest
import torch

from cogment_pipe import snapshot_files, snapshots
from cogment_pipe.atomic import sha256_file
from cogment_pipe.errors import CogmentError
from cogment_pipe.lock import FolderLock
from cogment_pipe.snapshot_files import drop_finished, list_records
from cogment_pipe.snapshots import SnapshotStore, differences

FINGERPRINT = {"slice": "s1", "source": "c1", "inputs": {"data": "d1"}}
ENVIRONMENT = {"torch": "2.13.0", "device": "cpu", "precision": "fp32", "threads": 1}


def open_store(folder: Path, **options: object) -> SnapshotStore:
    settings = {"fingerprint": FINGERPRINT, "environment": ENVIRONMENT, **options}
    return SnapshotStore(folder, **settings)


def state(step: int) -> tuple[dict[str, torch.Tensor], dict]:
    return {"w": torch.full((64,), float(step))}, {"position": step}


def fill(folder: Path, *steps: int, **options: object) -> None:
    with open_store(folder, **options) as store:
        for step in steps:
            store.save(step, *state(step))


def latest_step(folder: Path, **options: object) -> int | None:
    with open_store(folder, **options) as store:
        snapshot = store.latest()
    if snapshot is None:
        return None
    assert torch.equal(snapshot.tensors["w"], state(snapshot.step)[0]["w"])
    assert snapshot.meta == {"position": snapshot.step}
    return snapshot.step


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def test_newest_is_used_and_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    """Old snapshots go once newer ones are durable; the best stays whatever its age."""
    assert latest_step(tmp_path) is None
    with open_store(tmp_path) as store:
        for step in (100, 200, 300, 400):
            store.save(step, *state(step))
            if step in (100, 200):
                store.save_best(step, step / 1000, *state(step))
    names = ["best-00000200", "step-00000300", "step-00000400"]
    assert files(tmp_path) == [n + suffix for n in names for suffix in (".json", ".pt")]
    assert latest_step(tmp_path) == 400
    with open_store(tmp_path) as store:
        best = store.best()
    assert (best.step, best.value) == (200, 0.2)


def test_sidecar_says_what_the_snapshot_is(tmp_path: Path) -> None:
    """Hash, size, step, fingerprint and environment stand beside the file, and no clock or host."""
    fill(tmp_path, 7)
    info = json.loads((tmp_path / "step-00000007.json").read_text())
    assert info == {
        "step": 7,
        "sha256": sha256_file(tmp_path / "step-00000007.pt"),
        "bytes": (tmp_path / "step-00000007.pt").stat().st_size,
        "fingerprint": FINGERPRINT,
        "environment": ENVIRONMENT,
        "bit_identical": True,
        "finished": False,
    }


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_remove(path: Path) -> None:
    path.unlink()


def damage_sidecar(path: Path) -> None:
    damage_truncate_text = path.with_suffix(".json").read_text()[:30]
    path.with_suffix(".json").write_text(damage_truncate_text)


DAMAGES = [damage_truncate, damage_flip, damage_empty, damage_remove, damage_sidecar]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest_falls_back_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage
) -> None:
    """Truncated, bit-flipped, emptied, lost or without sidecar: the one before, said aloud."""
    fill(tmp_path, 100, 200)
    damage(tmp_path / "step-00000200.pt")
    with caplog.at_level(logging.WARNING):
        assert latest_step(tmp_path) == 100
    assert "step-00000200.pt is damaged; falling back" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_snapshot_takes_no_good_ones_place(tmp_path: Path, damage) -> None:
    """After a fallback the next save deletes the damaged one, never the good one before it."""
    fill(tmp_path, 100, 200)
    damage(tmp_path / "step-00000200.pt")
    with open_store(tmp_path) as store:
        assert store.latest().step == 100
        store.save(150, *state(150))
        assert [r.step for r in list_records(tmp_path)] == [150, 100]
        store.save(200, *state(200))
    assert [r.step for r in list_records(tmp_path)] == [200, 150]
    assert all(record.intact() for record in list_records(tmp_path))
    assert latest_step(tmp_path) == 200


def test_all_damaged_starts_over_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With no snapshot left to trust the stage starts from its beginning and says so."""
    fill(tmp_path, 100, 200)
    for name in ("step-00000100.pt", "step-00000200.pt"):
        damage_flip(tmp_path / name)
    with caplog.at_level(logging.WARNING):
        assert latest_step(tmp_path) is None
    assert "the stage starts over" in caplog.text


def test_damaged_best_is_not_used(tmp_path: Path) -> None:
    """A best snapshot is verified like any other."""
    with open_store(tmp_path) as store:
        store.save_best(5, 0.5, *state(5))
        damage_flip(tmp_path / "best-00000005.pt")
        assert store.best() is None


@pytest.mark.parametrize(
    "change", [{"slice": "s2"}, {"source": "c2"}, {"inputs": {"data": "d2"}}, {"inputs": {}}]
)
def test_other_config_code_or_inputs_set_snapshots_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict
) -> None:
    """A changed fingerprint starts over aloud; the old snapshots are kept as *.stale, whole."""
    with open_store(tmp_path) as store:
        store.save(100, *state(100))
        store.save_best(100, 0.1, *state(100))
    with caplog.at_level(logging.WARNING):
        assert latest_step(tmp_path, fingerprint={**FINGERPRINT, **change}) is None
    name = next(iter(change))
    assert "stale" in caplog.text and f"changed: {name}" in caplog.text
    (stale,) = tmp_path.glob("*.stale")
    assert files(stale) == [
        "best-00000100.json",
        "best-00000100.pt",
        "step-00000100.json",
        "step-00000100.pt",
    ]
    assert files(tmp_path) == [stale.name]


def test_set_aside_snapshots_come_back_with_their_config(tmp_path: Path) -> None:
    """Undoing a mistyped config finds the progress again instead of starting over."""
    other = {**FINGERPRINT, "slice": "mistyped"}
    fill(tmp_path, 100, 200)
    assert latest_step(tmp_path, fingerprint=other) is None
    fill(tmp_path, 50, fingerprint=other)
    assert latest_step(tmp_path) == 200
    assert latest_step(tmp_path, fingerprint=other) == 50


def test_only_the_newest_stale_generations_stay(tmp_path: Path) -> None:
    """Set-aside snapshots cannot fill the disk: two generations, the oldest goes first."""
    for index in range(4):
        fingerprint = {**FINGERPRINT, "slice": str(index)}
        with open_store(tmp_path, fingerprint=fingerprint) as store:
            assert store.latest() is None
            store.save(10 + index, *state(10 + index))
        for folder in tmp_path.glob("*.stale"):  # distinct times, without waiting for a clock
            stamp = folder.stat().st_mtime - 10
            os.utime(folder, (stamp, stamp))
    steps = {list_records(folder)[0].step for folder in tmp_path.glob("*.stale")}
    assert steps == {11, 12}


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_other_environment_stops_with_one_line(tmp_path: Path, name: str) -> None:
    """Another torch, device, precision or thread count stops the run and leaves the snapshot."""
    fill(tmp_path, 100)
    before = files(tmp_path)
    with (
        open_store(tmp_path, environment={**ENVIRONMENT, name: "new"}) as store,
        pytest.raises(
            CogmentError, match=rf"step 100 .* {name} .*now 'new'.*=continue.*=restart"
        ) as caught,
    ):
        store.latest()
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == before
    assert latest_step(tmp_path) == 100


def test_continued_run_is_marked_for_good(tmp_path: Path) -> None:
    """`continue` goes on, not bit-identical; a later resume of that run still says so."""
    fill(tmp_path, 100)
    new = {**ENVIRONMENT, "torch": "3.0"}
    with open_store(tmp_path, environment=new, on_environment_change="continue") as store:
        assert store.bit_identical
        assert store.latest().step == 100
        assert not store.bit_identical
        store.save(200, *state(200))
        store.save(300, *state(300))
    with open_store(tmp_path, environment=new) as store:
        assert store.latest().step == 300
        assert not store.bit_identical


def test_restart_starts_over_and_keeps_the_old_ones(tmp_path: Path) -> None:
    """`restart` sets the snapshots aside; with the old environment they are found again."""
    fill(tmp_path, 100)
    new = {**ENVIRONMENT, "threads": 2}
    with open_store(tmp_path, environment=new, on_environment_change="restart") as store:
        assert store.latest() is None
        assert store.bit_identical
        store.save(40, *state(40))
    assert latest_step(tmp_path, environment=new) == 40
    with open_store(tmp_path, on_environment_change="restart") as store:
        assert store.latest().step == 100


def test_equal_values_of_other_types_are_no_change(tmp_path: Path) -> None:
    """A tuple reads back as a list: that alone must not throw progress away."""
    fingerprint = {"slice": {"betas": (0.9, 0.95)}}
    fill(tmp_path, 10, fingerprint=fingerprint)
    assert latest_step(tmp_path, fingerprint=fingerprint) == 10


def test_no_write_without_the_lock(tmp_path: Path) -> None:
    """A store that does not hold its lock refuses to read or write."""
    store = open_store(tmp_path)
    with pytest.raises(CogmentError, match="lock"):
        store.save(1, *state(1))
    with pytest.raises(CogmentError, match="lock"):
        store.latest()
    assert files(tmp_path) == []


def test_a_lock_taken_by_another_stops_the_next_save(tmp_path: Path) -> None:
    """A run that was suspended and taken for dead must not write into its successor's folder."""
    with open_store(tmp_path) as store:
        store.save(100, *state(100))
        (tmp_path / ".owner.json").write_text(json.dumps({"token": "successor", "host": "other"}))
        with pytest.raises(CogmentError, match="not with this run but with other"):
            store.save(200, *state(200))
    assert files(tmp_path) == ["step-00000100.json", "step-00000100.pt"]
    assert json.loads((tmp_path / ".owner.json").read_text())["token"] == "successor"


def test_same_step_is_saved_beside_not_over(tmp_path: Path) -> None:
    """Saving a step again (the final state) never puts new bytes under an old sidecar."""
    with open_store(tmp_path) as store:
        store.save(100, *state(100))
        store.save(100, *state(100), finished=True)
        snapshot = store.latest()
    assert snapshot.finished
    assert snapshot.path.name == "step-00000100.1.pt"
    assert all(record.intact() for record in list_records(tmp_path))


def _failing(number: int, after: int):
    calls = {"left": after}

    def fail(original):
        def wrapper(*arguments, **keywords):
            if calls["left"] == 0:
                raise OSError(number, os.strerror(number))
            calls["left"] -= 1
            return original(*arguments, **keywords)

        return wrapper

    return fail


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "stat"])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_failing_disk_leaves_the_last_good_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: int, number: int
) -> None:
    """Whatever call fails, however late: one line or a complete save, and always a usable state."""
    fill(tmp_path, 100, 200)
    with open_store(tmp_path) as store:
        owner, name = {"open": (Path, "open"), "stat": (Path, "stat")}.get(call, (os, call))
        monkeypatch.setattr(owner, name, _failing(number, after)(getattr(owner, name)))
        failed = None
        try:
            store.save(300, *state(300))
        except CogmentError as error:
            failed = str(error)
        monkeypatch.undo()
    if failed is not None:
        assert "\n" not in failed
        assert os.strerror(number) in failed
    assert latest_step(tmp_path) in ((200, 300) if failed else (300,))
    assert not list(tmp_path.glob("*.tmp"))
    fill(tmp_path, 400)
    assert latest_step(tmp_path) == 400


def test_bad_sector_falls_back_but_a_forbidden_file_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable block is damage; a lost permission is for the user to mend, not a new start."""
    fill(tmp_path, 100, 200)
    real = snapshot_files.sha256_file

    def fail(number: int):
        def wrapper(path: Path) -> str:
            if path.name == "step-00000200.pt":
                raise OSError(number, os.strerror(number))
            return real(path)

        return wrapper

    monkeypatch.setattr(snapshot_files, "sha256_file", fail(errno.EIO))
    assert latest_step(tmp_path) == 100
    monkeypatch.setattr(snapshot_files, "sha256_file", fail(errno.EACCES))
    with pytest.raises(CogmentError, match="Permission denied; make its folder writable"):
        latest_step(tmp_path)


def test_failed_save_says_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk names the file, the way out and the step that is safe."""
    with open_store(tmp_path) as store:
        monkeypatch.setattr(os, "fsync", _failing(errno.ENOSPC, 0)(os.fsync))
        with pytest.raises(CogmentError, match=r"free some space.*no snapshot was written so far"):
            store.save(100, *state(100))
        monkeypatch.undo()
        store.save(100, *state(100))
        monkeypatch.setattr(os, "fsync", _failing(errno.ENOSPC, 0)(os.fsync))
        with pytest.raises(
            CogmentError, match=r"step-00000200\.pt: No space .* of step 100, is intact"
        ):
            store.save(200, *state(200))
        monkeypatch.undo()


def test_failing_to_delete_an_old_one_is_only_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A snapshot that cannot be deleted does not stop the run: the newer one is already safe."""
    fill(tmp_path, 100, 200)

    def refuse(*_: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with open_store(tmp_path) as store:
        monkeypatch.setattr(snapshots, "remove", refuse)
        store.save(300, *state(300))
    assert "cannot delete old snapshots" in caplog.text
    assert latest_step(tmp_path) == 300


def finish(snapshot_folder: Path, stage_folder: Path) -> None:
    """A finished stage: final snapshot, outputs and their manifest."""
    with open_store(snapshot_folder) as store:
        store.save(100, *state(100))
        store.save_best(100, 0.5, *state(100))
        store.save(200, *state(200), finished=True)
    stage_folder.mkdir()
    (stage_folder / "checkpoint.pt").write_bytes(b"weights")
    digest = sha256_file(stage_folder / "checkpoint.pt")
    (stage_folder / "manifest.json").write_text(json.dumps({"outputs": {"checkpoint.pt": digest}}))


def test_finished_snapshot_is_dropped_once_outputs_verify(tmp_path: Path) -> None:
    """Verified outputs and a free lock: the snapshots go, and a second call has nothing to do."""
    finish(tmp_path / "snap", tmp_path / "stage")
    assert drop_finished(tmp_path / "snap", tmp_path / "stage")
    assert files(tmp_path / "snap") == []
    assert not drop_finished(tmp_path / "snap", tmp_path / "stage")
    assert not drop_finished(tmp_path / "absent", tmp_path / "stage")


def test_snapshot_stays_while_it_may_be_needed(tmp_path: Path) -> None:
    """Damaged or missing outputs, a held lock, or an unfinished stage: nothing is deleted."""
    snap, stage = tmp_path / "snap", tmp_path / "stage"
    finish(snap, stage)
    before = files(snap)
    with FolderLock(snap):
        assert not drop_finished(snap, stage)
    (stage / "checkpoint.pt").write_bytes(b"weightz")
    assert not drop_finished(snap, stage)
    (stage / "checkpoint.pt").unlink()
    assert not drop_finished(snap, stage)
    (stage / "manifest.json").unlink()
    assert not drop_finished(snap, stage)
    assert files(snap) == before
    fill(tmp_path / "unfinished", 100)
    finish(tmp_path / "snap2", tmp_path / "stage2")
    assert not drop_finished(tmp_path / "unfinished", tmp_path / "stage2")
    assert latest_step(tmp_path / "unfinished") == 100


def test_differences_names_leaves() -> None:
    """Changes are told by dotted name with both values, absent ones as None."""
    was, now = {"a": 1, "b": {"c": 2, "d": 3}, "e": 1}, {"a": 1, "b": {"c": 5, "d": 3}, "f": 2}
    assert differences(was, now) == {"b.c": (2, 5), "e": (1, None), "f": (None, 2)}


def test_misuse_is_refused(tmp_path: Path) -> None:
    """A single snapshot and an unknown policy are errors of the caller."""
    with pytest.raises(ValueError, match="at least two"):
        open_store(tmp_path, keep=1)
    with pytest.raises(ValueError, match="on_environment_change"):
        open_store(tmp_path, on_environment_change="maybe")
