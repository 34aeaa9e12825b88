"""Which other processes may hold Snakemake's lock in this folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cogment_pipe import snakemake_lock


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are read from /proc")
@pytest.mark.parametrize(("words", "holds"), [((), True), (("--force", "--nolock"), False)])
def test_a_call_without_lock_holds_none(tmp_path, monkeypatch, words, holds):
    """A snakemake in this folder may hold the lock; a cluster's job, with --nolock, does not."""
    monkeypatch.chdir(tmp_path)
    sleep = "import sys; print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", sleep, "snakemake", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert snakemake_lock._other_snakemake() is holds
        other.stdin.close()


@pytest.fixture
def locked(tmp_path, monkeypatch) -> Path:
    """A folder with the locks of two calls: one dead, one alive; returns its `.snakemake`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".snakemake"
    owners = folder / "cogment/owners"
    owners.mkdir(parents=True)
    (folder / "locks").mkdir()
    for number, name in enumerate(("dead", "alive")):
        record = snakemake_lock.owner_record(1)
        lock = folder / f"locks/{number}.output.lock"
        lock.write_text(f"{name}\n")
        record["locks"] = [snakemake_lock._marked(lock)]
        if name == "dead":
            record["start"] = "0"
        (owners / f"{name}.json").write_text(json.dumps(record))
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_dead_call_loses_its_own_locks_and_no_others(locked):
    """Beside a living call the locks of a killed one go, and its record; the other's stay."""
    assert snakemake_lock._release(locked / "locks", locked / "cogment/owners") is True
    assert names(locked / "locks") == {"1.output.lock"}
    assert names(locked / "cogment/owners") == {"alive.json"}


def test_a_lock_that_another_call_has_taken_since_is_left(locked):
    """Unlocked by hand, locked again under the same name: not what the dead call had."""
    lock = locked / "locks/0.output.lock"
    lock.rename(locked / "kept")  # so that its number on the disk is not given out again
    lock.write_text("another\n")
    assert snakemake_lock._release(locked / "locks", locked / "cogment/owners") is False
    assert names(locked / "locks") == {"0.output.lock", "1.output.lock"}


def test_a_call_that_died_before_it_noted_its_locks(locked):
    """Which locks it had is not known: all stay, as does its record, while another call lives."""
    record = json.loads((locked / "cogment/owners/dead.json").read_text())
    del record["locks"]
    (locked / "cogment/owners/dead.json").write_text(json.dumps(record))
    assert snakemake_lock._release(locked / "locks", locked / "cogment/owners") is False
    assert names(locked / "locks") == {"0.output.lock", "1.output.lock"}
    assert names(locked / "cogment/owners") == {"alive.json", "dead.json"}


def test_the_locks_that_are_noted_are_those_that_are_there(locked):
    """Snakemake removes all locks when any call ends: a missing file is no error."""
    files = [locked / "locks/0.output.lock", locked / "locks/7.input.lock"]
    snakemake_lock.note_locks(files)
    (mine,) = (locked / "cogment/owners").glob(f"*.{snakemake_lock.os.getpid()}.json")
    assert [name for name, *_ in json.loads(mine.read_text())["locks"]] == ["0.output.lock"]
