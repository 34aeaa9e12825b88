"""Exclusive lock on a snapshot folder: one trainer per stage, never stolen without proof of death.

`flock` on `.lock` decides between processes of one kernel and vanishes with them; the owner file
beside it (host, process, Slurm job, heartbeat) decides between hosts, where `flock` may not reach.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cogment_pipe.errors import CogmentError
from cogment_pipe.lock_owner import describe, judge, own_record, read_owner

HEARTBEAT_SECONDS = 15.0
DEAD_AFTER_SECONDS = 180.0
"""Age of another host's heartbeat that counts as proof of death, where Slurm does not know."""

_log = logging.getLogger(__name__)
_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


class FolderLock:
    """Lock on `folder`; use as context manager, or `acquire` and `release`.

    Args:
        folder: made where missing; the lock's files are `.lock` and `.owner.json` in it.
        heartbeat: seconds between two signs of life.
        dead_after: age of another host's last sign of life, in seconds, that proves it dead.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        dead_after: float = DEAD_AFTER_SECONDS,
    ) -> None:
        self.folder = Path(folder)
        self.owner_file = self.folder / ".owner.json"
        self._heartbeat = heartbeat
        self._dead_after = dead_after
        self._descriptor: int | None = None
        self._token = uuid.uuid4().hex
        self._stop_beating = threading.Event()
        self._beater: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock, as far as it knows without looking."""
        return self._descriptor is not None

    def acquire(
        self,
        *,
        wait: bool = False,
        poll: float = 2.0,
        stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Take the lock.

        Args:
            wait: wait for a living owner, with one line in the log, instead of raising.
            poll: seconds between two looks while waiting.
            stop: asked at each look; True ends the waiting.

        Returns:
            True, or False where `stop` ended the waiting.

        Raises:
            CogmentError: somebody else holds it, or the file system cannot lock.
        """
        told = False
        while True:
            owner = self._try()
            if owner is None:
                self._start_beating()
                return True
            line = f"{self.folder} is in use by {describe(owner)}"
            if not wait:
                raise CogmentError(
                    f"{line}; wait for it or end it, then run the same command again"
                )
            if not told:
                _log.warning("%s; waiting until it is free", line)
                told = True
            if stop():
                return False
            time.sleep(poll)

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        if self._descriptor is None:
            return
        self._stop_beating.set()
        if self._beater is not None:
            self._beater.join()
        if self._is_ours():
            with contextlib.suppress(OSError):
                self.owner_file.unlink()
        self._forget()

    def _forget(self) -> None:
        """Let go of `flock`, which the last process that holds the descriptor gives back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        _held.discard(self)

    def check(self) -> None:
        """Make sure that the lock is still ours, before something is written under it.

        Raises:
            CogmentError: another process took it (after this one was suspended for long), or it
                was never acquired.
        """
        owner = read_owner(self.owner_file) if self._descriptor is not None else None
        if owner is None or owner.get("token") != self._token:
            who = f" but with {describe(owner)}" if owner else ""
            raise CogmentError(
                f"the lock on {self.folder} is not with this run{who}; nothing was written; look "
                "for a second run of the same stage and run the same command again"
            )

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _try(self) -> dict[str, Any] | None:
        """One attempt: None when the lock is ours, else the owner's record."""
        descriptor = self._open()
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return read_owner(self.owner_file) or {"host": "another process"}
            except OSError as error:
                raise CogmentError(
                    f"cannot lock {self.folder}: {error.strerror}; put the snapshots on a file "
                    "system that supports locks"
                ) from error
            owner = self._settle()
            if owner is None:
                self._descriptor, descriptor = descriptor, -1
                _held.add(self)
            return owner
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _open(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise CogmentError(
                f"cannot lock {self.folder}: {error.strerror}; make the folder writable"
            ) from error

    def _settle(self) -> dict[str, Any] | None:
        """With `flock` held: become the owner, or return the living one."""
        if self._claim():
            return None
        owner = read_owner(self.owner_file)
        if owner is None:  # gone since; the next look decides
            return {"host": "another process"}
        if judge(owner, self._age(), self._dead_after) == "alive":
            return owner
        _log.warning("taking over %s: its owner, %s, is dead", self.folder, describe(owner))
        aside = self.owner_file.with_name(f".owner.{self._token}")
        try:
            self.owner_file.rename(aside)
            taken = read_owner(aside)
            if taken != owner:  # another host was faster: its record goes back where it was
                with contextlib.suppress(FileExistsError):
                    self.owner_file.hardlink_to(aside)
                aside.unlink()
                return taken
            aside.unlink()
        except FileNotFoundError:
            return owner
        return None if self._claim() else read_owner(self.owner_file) or owner

    def _claim(self) -> bool:
        """Put our record in place, whole and only where there is none."""
        draft = self.owner_file.with_name(f".owner.{self._token}")
        try:
            draft.write_text(json.dumps(own_record(self._token)))
            self.owner_file.hardlink_to(draft)
            return True
        except FileExistsError:
            return False
        except OSError as error:
            raise CogmentError(
                f"cannot lock {self.folder}: {error.strerror}; make the folder writable"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()

    def _is_ours(self) -> bool:
        owner = read_owner(self.owner_file)
        return owner is not None and owner.get("token") == self._token

    def _age(self) -> float:
        """Seconds since the owner's last sign of life, both times by the file system's clock."""
        probe = self.owner_file.with_name(f".probe.{self._token}")
        try:
            probe.touch()
            return probe.stat().st_mtime - self.owner_file.stat().st_mtime
        except OSError:
            return 0.0
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()

    def _start_beating(self) -> None:
        self._stop_beating.clear()
        self._beater = threading.Thread(target=self._beat, name="lock heartbeat", daemon=True)
        self._beater.start()

    def _beat(self) -> None:
        while not self._stop_beating.wait(self._heartbeat):
            if not self._is_ours():
                return
            with contextlib.suppress(OSError):
                os.utime(self.owner_file)


def _forget_in_child() -> None:
    """A forked data worker must not keep the lock of a trainer that was killed."""
    for lock in list(_held):
        lock._forget()


os.register_at_fork(after_in_child=_forget_in_child)
