"""Who holds a lock, and whether that process is proven dead.

A record names host, boot, process with its start time, and Slurm job. In doubt an owner is alive:
a lock taken from a living trainer costs two runs, a stuck one costs a message. Torch-free.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["dead", "alive"]


def own_record(token: str) -> dict[str, Any]:
    """What identifies this process on this host, and its Slurm job where there is one."""
    return {
        "token": token,
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid_space": _pid_space(),
        "pid": os.getpid(),
        "start": start_time(os.getpid()),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "slurm_restart": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
    }


def read_owner(path: Path) -> dict[str, Any] | None:
    """The owner's record, or None where there is none; it is only ever in place as a whole."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except OSError as error:
        return {"host": f"an unreadable owner file ({error.strerror})"}
    except ValueError:
        return {"host": "an unreadable owner file"}


def judge(owner: dict[str, Any], age: float, dead_after: float) -> Verdict:
    """Whether an owner is proven dead; call with `flock` held. In doubt: alive.

    Same kernel: the process is gone or is another one by its start time. Elsewhere: Slurm knows
    that the job ended, or, without Slurm, the heartbeat is `age` > `dead_after` seconds old.
    """
    if owner.get("boot") is not None and owner.get("boot") == _boot():
        if owner.get("pid_space") != _pid_space():
            return "dead"  # another container of this kernel: its flock is gone, so it is
        start = start_time(owner["pid"])
        return "dead" if start is None or start != owner.get("start") else "alive"
    if owner.get("boot") is None and owner.get("host") == socket.gethostname() and "pid" in owner:
        return "alive" if _exists(owner["pid"]) else "dead"  # no /proc here: by number alone
    job = owner.get("slurm_job")
    if job and job == os.environ.get("SLURM_JOB_ID"):
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        if restarts > owner.get("slurm_restart", 0):
            return "dead"  # this very job, before it was requeued
    if age <= dead_after:
        return "alive"
    if job and job == os.environ.get("SLURM_JOB_ID"):
        return "dead"  # Slurm knows of a job that is alive: this one
    return "alive" if job and slurm_job_alive(job) else "dead"


def slurm_job_alive(job: str) -> bool:
    """Whether `squeue` still lists a job; True where it cannot say, False where it is not here."""
    if shutil.which("squeue") is None:
        return False
    command = ["squeue", "--noheader", "--format=%T", "--jobs", job]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return True
    if answer.returncode != 0:
        return "invalid job id" not in answer.stderr.lower()
    return bool(answer.stdout.strip())


def start_time(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot; None where it is gone (or no /proc)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def describe(owner: dict[str, Any]) -> str:
    """An owner in words, for messages."""
    text = str(owner.get("host", "an unknown host"))
    if "pid" in owner:
        text = f"process {owner['pid']} on {text}"
    return f"{text} (Slurm job {owner['slurm_job']})" if owner.get("slurm_job") else text


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _pid_space() -> int | None:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None
