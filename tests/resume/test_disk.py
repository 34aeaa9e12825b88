"""The disk fills up, turns read-only or forbids: one line, the last good snapshot, the same end."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from cogment_pipe.errors import CogmentError
from cogment_pipe.snapshot_files import list_records
from tests.resume.stages import Interruptions, Stage, final_state, prepare, published

STOPPED = 3


@pytest.fixture(scope="module", autouse=True)
def torch_settings():
    """The trainer sets threads and determinism for its process; here it shares one."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


@pytest.fixture(scope="module")
def stage(project, tmp_path_factory) -> Stage:
    return prepare("grid", tmp_path_factory.mktemp("grid"), project)


@pytest.fixture(scope="module")
def unbroken(stage, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        Interruptions(patch).install()
        assert stage.train(folder) == 0
    return folder


@contextmanager
def full(disk: Path) -> Iterator[str]:
    """Not a byte left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as sink, pytest.raises(OSError):
        while True:
            sink.write(bytes(4096))
    yield "[Nn]o space left"
    filler.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[str]:
    """As a disk turns that has met an error."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    yield "[Rr]ead-only"
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@contextmanager
def forbidden(disk: Path) -> Iterator[str]:
    """Writing is no longer allowed; said by hand, since root may do anything."""
    replace = os.replace

    def refused(source, target, **more):
        if disk in Path(target).parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
        replace(source, target, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", refused)
        yield "[Pp]ermission denied"


@pytest.mark.parametrize("trouble", [full, read_only, forbidden])
def test_a_disk_that_fails_costs_the_steps_since_the_last_snapshot(
    stage, unbroken, disk, trouble, monkeypatch
):
    """One line that says what is wrong; what was saved is whole and goes on to the same bytes."""
    interruptions = Interruptions(monkeypatch, stop_after={STOPPED}).install()
    assert stage.train(disk) == 75
    saved = {path.name: path.read_bytes() for path in (disk / "snapshots").glob("step-*")}
    interruptions.stop_after = set()
    with trouble(disk) as reason, pytest.raises(CogmentError, match=reason) as caught:
        stage.train(disk, snapshot_every=2)
    assert "\n" not in str(caught.value) and str(disk) in str(caught.value)
    assert not (disk / "out").exists()
    newest = list_records(disk / "snapshots")[0]
    assert newest.step == STOPPED and newest.intact()
    assert {n: (disk / "snapshots" / n).read_bytes() for n in saved} == saved
    assert stage.train(disk) == 0
    assert published(disk) == published(unbroken)
    assert final_state(disk) == final_state(unbroken)
