"""Which GPU a job takes where several jobs share a machine: each leases its own by a file lock.

Snakemake counts GPUs and hands out no numbers. The lock goes with the process, however it ends, so
nothing is ever left to clean up. Under a scheduler, which hands out devices, nothing is done.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cogment_pipe.errors import CogmentError

_log = logging.getLogger(__name__)
VISIBLE = "CUDA_VISIBLE_DEVICES"
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "JOB_ID", "LSB_JOBID", "KUBERNETES_SERVICE_HOST")
HIDDEN = {"", "-1", "NoDevFiles"}
PAUSE = 0.5  # seconds between two looks at devices that are all taken


def devices() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES spells them."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        return [] if given.strip() in HIDDEN else names
    found = [p for p in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", p.name)]
    return [str(number) for number in range(len(found))]


def lock_folder() -> Path:
    """One folder of this user on this machine: runs in other working directories count too."""
    return Path(tempfile.gettempdir()) / f"cogment-gpus-{os.getuid()}"


@contextlib.contextmanager
def leased(device: str, count: int = 1) -> Iterator[list[str]]:
    """Hold `count` GPUs of this machine and show them alone to CUDA; waits until they are free.

    Nothing is leased (and the list is empty) where `device` is `cpu` or names one itself
    (`cuda:1`), where a scheduler has handed out devices, in a process of a run that has leased
    already, and where there are fewer devices than asked for: the trainer then says so.
    Call it before CUDA starts.
    """
    names = devices()
    apart = any(name in os.environ for name in (*SCHEDULERS, "RANK"))
    if device not in ("auto", "cuda") or apart or not 0 < count <= len(names):
        yield []
        return
    held = _wait_for(names, count)
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = ",".join(held)
    _log.info("GPU %s of %d taken", ", ".join(held), len(names))
    try:
        yield list(held)
    finally:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before
        for file in held.values():
            file.close()


def _wait_for(names: list[str], count: int) -> dict[str, IO[str]]:
    folder, said = lock_folder(), False
    while True:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            # One at a time looks: two that need two devices each would hold one each for ever.
            with (folder / "look.lock").open("w") as look:
                fcntl.flock(look, fcntl.LOCK_EX)
                held = _free(folder, names, count)
        except OSError as error:
            raise CogmentError(
                f"cannot lock a GPU in {folder}: {error.strerror or error}; set another TMPDIR"
            ) from error
        if len(held) == count:
            return held
        for file in held.values():
            file.close()
        if not said:
            _log.warning("all %d GPUs are taken by other jobs; waiting", len(names))
            said = True
        time.sleep(PAUSE)


def _free(folder: Path, names: list[str], count: int) -> dict[str, IO[str]]:
    """Up to `count` devices that nobody holds, now held by this process."""
    held: dict[str, IO[str]] = {}
    for name in names:
        if len(held) == count:
            break
        file = (folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            held[name] = file
    return held
