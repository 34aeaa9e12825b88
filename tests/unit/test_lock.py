"""The folder lock: one holder at a time, nothing stolen, nothing stuck."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cogment_pipe import lock as lock_module
from cogment_pipe.errors import CogmentError
from cogment_pipe.lock import FolderLock
from cogment_pipe.lock_owner import own_record, start_time

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def spawn(code: str, *arguments: object) -> subprocess.Popen:
    """A Python process with the package importable; `sys.argv[1:]` are the arguments."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


HOLD = """
import sys, time
from pathlib import Path
from cogment_pipe.lock import FolderLock
FolderLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock on `tmp_path`."""
    process = spawn(HOLD, tmp_path)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def write_owner(folder: Path, age: float = 0.0, **changes: object) -> Path:
    """An owner's record as another process would have left it, `age` seconds without a beat."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".owner.json"
    path.write_text(json.dumps({**own_record("someone"), **changes}))
    stamp = time.time() - age
    os.utime(path, (stamp, stamp))
    return path


ELSEWHERE = {"host": "node17", "boot": "another kernel", "pid": 4242}


def test_taken_and_given_back(tmp_path: Path) -> None:
    """The record names this process while held, is gone afterwards, and release may be repeated."""
    lock = FolderLock(tmp_path / "deep" / "folder")
    with lock:
        record = json.loads(lock.owner_file.read_text())
        assert (record["pid"], record["host"]) == (os.getpid(), socket.gethostname())
        lock.check()
        assert lock.held
    assert not lock.owner_file.exists() and not lock.held
    lock.release()
    with lock:
        lock.check()
    with pytest.raises(CogmentError, match="not with this run"):
        lock.check()
    assert sorted(p.name for p in lock.folder.iterdir()) == [".lock"]


def test_second_process_is_refused_with_the_owners_name(tmp_path: Path, holder) -> None:
    """One line: where, by which process on which host, and what to do."""
    with pytest.raises(CogmentError, match=rf"in use by process {holder.pid} on") as caught:
        FolderLock(tmp_path).acquire()
    assert "\n" not in str(caught.value)
    assert FolderLock(tmp_path).owner_file.exists()


def test_killed_owner_is_followed_at_once(tmp_path: Path, holder, caplog) -> None:
    """After SIGKILL nothing is cleaned up by the owner; the next run goes on, and says so."""
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with caplog.at_level(logging.WARNING), FolderLock(tmp_path) as lock:
        lock.check()
    assert f"process {holder.pid}" in caplog.text and "is dead" in caplog.text


HOLD_AND_FORK = HOLD.replace("time.sleep(60)", "os.fork()\ntime.sleep(60)").replace(
    'print("held", flush=True)', 'import os\nprint("held", os.getpgid(0), flush=True)'
)


@linux
def test_forked_worker_does_not_keep_a_killed_owners_lock(tmp_path: Path) -> None:
    """Workers that outlive a killed trainer hold nothing: the next run need not wait for them."""
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_FORK, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert owner.stdout.readline() == f"held {owner.pid}\n"
        children = Path(f"/proc/{owner.pid}/task/{owner.pid}/children")
        deadline = time.monotonic() + 20
        while not children.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        worker = int(children.read_text())
        time.sleep(0.1)  # the hook runs right after the fork
        owner.kill()
        owner.wait()
        with FolderLock(tmp_path) as lock:
            lock.check()
        assert start_time(worker) is not None
    finally:
        os.killpg(owner.pid, signal.SIGKILL)
        owner.stdout.close()


def test_waiting_follows_a_finished_owner(tmp_path: Path, holder, caplog) -> None:
    """`wait` waits with one line in the log, then holds the lock."""
    looks = []

    def stop() -> bool:
        looks.append(1)
        if len(looks) == 3:
            holder.kill()
            holder.wait()
        return False

    lock = FolderLock(tmp_path)
    assert lock.acquire(wait=True, poll=0.01, stop=stop)
    lock.check()
    lock.release()
    assert len(looks) >= 3
    assert caplog.text.count("waiting until it is free") == 1


def test_waiting_ends_when_asked_to_stop(tmp_path: Path, holder) -> None:
    """A stop request ends the waiting without the lock."""
    lock = FolderLock(tmp_path)
    assert not lock.acquire(wait=True, poll=0.01, stop=lambda: True)
    assert not lock.held


CONTEND = """
import sys, time
from pathlib import Path
from cogment_pipe.lock import FolderLock
folder, log = Path(sys.argv[1]), Path(sys.argv[2])
for turn in range(4):
    lock = FolderLock(folder)
    lock.acquire(wait=True, poll=0.002)
    with log.open("a") as handle:
        handle.write("in\\n"); handle.flush()
        time.sleep(0.005)
        lock.check()
        handle.write("out\\n")
    lock.release()
    time.sleep(0.003)
"""


def test_contending_processes_never_overlap(tmp_path: Path) -> None:
    """Three processes take turns; their sections never interleave and none is starved."""
    log = tmp_path / "log"
    processes = [spawn(CONTEND, tmp_path / "lock", log) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert log.read_text().split() == ["in", "out"] * 12


@linux
def test_living_process_is_respected_even_without_flock(tmp_path: Path, monkeypatch) -> None:
    """Where flock does nothing (some network file systems) the record alone still protects."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with (
        FolderLock(tmp_path) as first,
        pytest.raises(CogmentError, match=f"process {os.getpid()}"),
    ):
        FolderLock(tmp_path).acquire()
    assert not first.owner_file.exists()


@linux
def test_death_on_this_host_is_proven_by_number_and_start_time(tmp_path: Path) -> None:
    """A free number, or the number of a process that started later, is dead; ours is alive."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number, start, dead in (
        (ended.pid, "1", True),
        (os.getpid(), "1", True),
        (os.getpid(), start_time(os.getpid()), False),
    ):
        write_owner(tmp_path, pid=number, start=start)
        lock = FolderLock(tmp_path)
        if dead:
            with lock:
                lock.check()
        else:
            with pytest.raises(CogmentError, match="in use"):
                lock.acquire()


@linux
def test_a_zombie_is_dead() -> None:
    """A killed process whose parent has not looked yet does not count as alive."""
    process = spawn("pass")
    deadline = time.monotonic() + 20
    while start_time(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert start_time(process.pid) is None
    process.communicate()


@linux
def test_other_host_with_a_fresh_heartbeat_is_respected(tmp_path: Path) -> None:
    """A beating owner elsewhere is alive, whatever processes exist here."""
    path = write_owner(tmp_path, age=100, **ELSEWHERE)
    with pytest.raises(CogmentError, match="process 4242 on node17"):
        FolderLock(tmp_path).acquire()
    assert json.loads(path.read_text())["token"] == "someone"


@linux
def test_other_host_with_an_old_heartbeat_is_followed(tmp_path: Path) -> None:
    """Without Slurm, a heartbeat older than the limit is the proof there is."""
    write_owner(tmp_path, age=200, **ELSEWHERE)
    with FolderLock(tmp_path) as lock:
        lock.check()


def fake_squeue(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    folder.mkdir()
    script = folder / "squeue"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@linux
@pytest.mark.parametrize(
    ("answer", "dead"),
    [
        ('[ "$*" = "--noheader --format=%T --jobs 77" ] && echo RUNNING', False),
        ("echo COMPLETING", False),
        ("exit 0", True),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", True),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", False),
    ],
)
def test_slurm_decides_about_an_old_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, dead: bool
) -> None:
    """A listed job is alive however quiet; an ended one is dead; no answer is no proof."""
    fake_squeue(tmp_path / "bin", monkeypatch, answer)
    folder = tmp_path / "lock"
    write_owner(folder, age=10_000, slurm_job="77", **ELSEWHERE)
    if dead:
        with FolderLock(folder) as lock:
            lock.check()
    else:
        with pytest.raises(CogmentError, match="Slurm job 77"):
            FolderLock(folder).acquire()


@linux
def test_requeued_job_follows_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A requeued job keeps its number: its earlier start on another node is over by definition."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    write_owner(tmp_path, slurm_job="77", slurm_restart=1, **ELSEWHERE)
    with pytest.raises(CogmentError, match="in use"):
        FolderLock(tmp_path).acquire()
    write_owner(tmp_path, slurm_job="77", slurm_restart=0, **ELSEWHERE)
    with FolderLock(tmp_path) as lock:
        lock.check()


@linux
def test_a_requeued_job_without_its_count_waits_for_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the count of restarts is lost, the job that Slurm calls alive is this one itself."""
    fake_squeue(tmp_path / "bin", monkeypatch, "echo RUNNING")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    folder = tmp_path / "lock"
    write_owner(folder, age=1, slurm_job="77", **ELSEWHERE)
    with pytest.raises(CogmentError, match="in use"):
        FolderLock(folder).acquire()
    write_owner(folder, age=10_000, slurm_job="77", **ELSEWHERE)
    with FolderLock(folder) as lock:
        lock.check()


@linux
def test_other_container_of_this_kernel_is_judged_by_flock(tmp_path: Path) -> None:
    """Process numbers of another container mean nothing here; a free flock of this kernel does."""
    write_owner(tmp_path, pid_space=1, host="container")
    with FolderLock(tmp_path) as lock:
        lock.check()


def test_damaged_record_is_not_proof(tmp_path: Path) -> None:
    """A young record that cannot be read blocks, an old one is followed."""
    path = write_owner(tmp_path)
    path.write_text("{")
    with pytest.raises(CogmentError, match="in use by an unreadable owner file"):
        FolderLock(tmp_path).acquire()
    os.utime(path, (time.time() - 1000,) * 2)
    with FolderLock(tmp_path) as lock:
        lock.check()


def test_heartbeat_keeps_the_record_young(tmp_path: Path) -> None:
    """While held, the record's time moves on by itself, also while the main thread is busy."""
    with FolderLock(tmp_path, heartbeat=0.02) as lock:
        os.utime(lock.owner_file, (1, 1))
        deadline = time.monotonic() + 20
        while lock.owner_file.stat().st_mtime < 1000 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lock.owner_file.stat().st_mtime > 1000


def test_release_leaves_a_successors_record_alone(tmp_path: Path) -> None:
    """A holder that was taken for dead must not unlock its successor on its way out."""
    lock = FolderLock(tmp_path)
    lock.acquire()
    write_owner(tmp_path, **ELSEWHERE)
    lock.release()
    assert json.loads(lock.owner_file.read_text())["host"] == "node17"


def test_faster_rival_wins_the_takeover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hosts judge the same owner dead: the slower one puts the winner's record back."""
    write_owner(tmp_path, age=1000, **ELSEWHERE)
    real = lock_module.judge

    def slow(owner: dict, age: float, dead_after: float) -> str:
        verdict = real(owner, age, dead_after)
        write_owner(tmp_path, token="winner", host="node18", boot="third kernel")
        return verdict

    monkeypatch.setattr(lock_module, "judge", slow)
    with pytest.raises(CogmentError, match="node18"):
        FolderLock(tmp_path).acquire()
    assert json.loads((tmp_path / ".owner.json").read_text())["token"] == "winner"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", ".owner.json"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_unwritable_folder_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A read-only place says so instead of pretending to be locked."""

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(CogmentError, match=f"cannot lock .*{os.strerror(number)}.*writable"):
        FolderLock(tmp_path).acquire()


def test_file_system_without_locks_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No silent fallback where flock is not supported."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(CogmentError, match="supports locks"):
        FolderLock(tmp_path).acquire()
