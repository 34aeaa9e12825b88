"""Releases Snakemake's lock when every process that may hold it is proved dead.

Snakemake's lock files name no process. So each call leaves an owner file before it can take the
lock, and adds the lock's files to it once it has them; after a SIGKILL or a power cut that file is
the evidence. Other hosts are never judged.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import write_bytes
from cogment_pipe.lock_owner import start_time

FOLDER = Path(".snakemake/cogment")


def boot_id() -> str:
    """Differs after each start of the machine, where the system says so."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def owner_record(pid: int) -> dict[str, Any]:
    """What `is_dead` needs to know about a call."""
    host = socket.gethostname()
    return {"host": host, "boot": boot_id(), "pid": pid, "start": start_time(pid)}


def is_dead(owner: dict[str, Any]) -> bool:
    """Whether a recorded call is proved to be over; False where that cannot be known."""
    if owner.get("host") != socket.gethostname():
        return False
    if owner.get("boot") != boot_id():
        return True
    return start_time(int(owner["pid"])) != owner["start"]


def take_ownership(snakemake: Path = Path(".snakemake"), release: bool = True) -> bool:
    """Records this call as an owner; removes a lock whose owners are all dead.

    Returns whether a lock was removed. The flock makes record, check and removal one step, so a
    second call that starts at the same moment sees this one's record.
    """
    # Absolute: Snakemake leaves the working directory before `_forget` runs.
    owners = (snakemake / FOLDER.name / "owners").absolute()
    owners.mkdir(parents=True, exist_ok=True)
    with (owners.parent / "ownership.lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        released = release and _release(snakemake / "locks", owners)
        mine = owners / f"{socket.gethostname()}.{os.getpid()}.json"
        write_bytes(mine, json.dumps(owner_record(os.getpid())).encode())
    atexit.register(_forget, mine, os.getpid())
    return released


def note_locks(files: Iterable[str | Path], snakemake: Path = Path(".snakemake")) -> None:
    """Adds the lock files that this call has taken to its record.

    A call that is killed while another one lives beside it then leaves no lock that stays.
    """
    mine = snakemake / FOLDER.name / "owners" / f"{socket.gethostname()}.{os.getpid()}.json"
    # Another call of this folder that ends takes all locks away, ours too: that is Snakemake's.
    there = [Path(path) for path in files if Path(path).is_file()]
    record = owner_record(os.getpid()) | {"locks": [_marked(path) for path in there]}
    write_bytes(mine, json.dumps(record).encode())


def _release(locks: Path, owners: Path) -> bool:
    records = {path: _read(path) for path in owners.glob("*.json")}
    dead = {path: record for path, record in records.items() if record and is_dead(record)}
    released = False
    for path, record in dead.items():
        for name, *mark in record.get("locks", []):
            # Of another make where somebody has unlocked by hand and another call locked again.
            if (locks / name).is_file() and _marked(locks / name) == [name, *mark]:
                (locks / name).unlink()
                released = True
        if "locks" in record:
            path.unlink(missing_ok=True)
    held = locks.is_dir() and any(locks.iterdir())
    # A lock nobody of ours is known to have taken may be a stranger's: leave it.
    proved = bool(dead) and len(dead) == len(records) and not _other_snakemake()
    if held and not proved:
        return released
    for path in dead:
        path.unlink(missing_ok=True)
    if held:
        shutil.rmtree(locks)
    return held or released


def _marked(path: Path) -> list[Any]:
    """Name of a lock file, and what tells it from a later one of that name."""
    stat = path.stat()
    return [path.name, stat.st_ino, stat.st_mtime_ns]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _other_snakemake() -> bool:
    """Whether another snakemake runs in this working directory (it may predate the records)."""
    here, family = os.stat("."), _ancestors()
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) in family:
            continue
        try:
            same = os.path.samestat(os.stat(entry / "cwd"), here)
            command = (entry / "cmdline").read_bytes().split(b"\0") if same else []
        except OSError:
            continue
        named = any(word.rpartition(b"/")[2] == b"snakemake" for word in command[:6])
        # A cluster's job, which outlives its call, is a snakemake that takes no lock.
        named = named and b"--nolock" not in command
        if named and start_time(int(entry.name)) is not None:
            return True
    return False


def _ancestors() -> set[int]:
    """This process and those that started it (make, a shell, `timeout snakemake`)."""
    pid, found = os.getpid(), set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            break
    return found


def _forget(path: Path, pid: int) -> None:
    if os.getpid() == pid:  # not in a forked child
        path.unlink(missing_ok=True)
