"""Mid-stage snapshots: what a killed stage goes on from, to the bit.

The store decides whether a snapshot may be used at all: other config, code or inputs set it aside;
another environment (torch build, device, precision, threads) stops the run unless told otherwise;
a damaged one gives way to the one before. It never deletes one before a newer is durable.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from cogment_pipe import checkpoint
from cogment_pipe.atomic import canonical_json, explain, write_json
from cogment_pipe.errors import CogmentError
from cogment_pipe.lock import FolderLock
from cogment_pipe.snapshot_files import (
    Record,
    list_records,
    remove,
    remove_uncommitted,
    set_aside,
    state_key,
    take_back,
    unused_path,
)

OnEnvironmentChange = Literal["stop", "continue", "restart"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A loaded snapshot; `finished`: the stage was done; `value`: the metric of a best one."""

    step: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    path: Path
    finished: bool
    value: float | None


class SnapshotStore:
    """Snapshots of one stage in one folder, under an exclusive lock.

    Args:
        folder: `results/.snapshots/stage{k}`.
        fingerprint: JSON-able; what must be equal to go on at all (slice, source, inputs).
        environment: JSON-able; what must be equal to go on with the same bits.
        on_environment_change: `stop`, `continue` (not bit-identical) or `restart`.
        keep: how many snapshots stay, beside the best.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: dict[str, Any],
        environment: dict[str, Any],
        *,
        on_environment_change: OnEnvironmentChange = "stop",
        keep: int = 2,
    ) -> None:
        if keep < 2:
            raise ValueError("keep at least two snapshots: the newest may be damaged")
        if on_environment_change not in ("stop", "continue", "restart"):
            raise ValueError(f"on_environment_change: {on_environment_change!r} is not known")
        self.folder = Path(folder)
        self.bit_identical = True
        self._fingerprint = json.loads(canonical_json(fingerprint))
        self._environment = json.loads(canonical_json(environment))
        self._on_change = on_environment_change
        self._keep = keep
        self._lock = FolderLock(self.folder)
        self._damaged: set[Path] = set()

    def acquire(self, *, wait: bool = False, stop: Callable[[], bool] = lambda: False) -> bool:
        """Lock the folder; see `FolderLock.acquire`."""
        return self._lock.acquire(wait=wait, stop=stop)

    def release(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def __enter__(self) -> SnapshotStore:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def latest(self) -> Snapshot | None:
        """The newest usable snapshot, or None: start the stage from its beginning.

        Sets `bit_identical` to False where the run goes on from another environment's snapshot, or
        from one that already did.

        Raises:
            CogmentError: the environment changed and the store was not told what to do.
        """
        self._lock.check()
        try:
            self._set_stale_aside()
            self._take_back()
            remove_uncommitted(self.folder)
            record = self._newest_intact("step")
            if record is not None and not self._environment_fits(record):
                record = self._newest_intact("step")
        except OSError as error:
            raise CogmentError(explain(f"use the snapshots in {self.folder}", error)) from error
        if record is None:
            return None
        self.bit_identical = self.bit_identical and record.info["bit_identical"]
        return self._read(record)

    def best(self) -> Snapshot | None:
        """The best snapshot so far, by the metric given to `save_best`; None where there is none.

        Meant for the end of a stage: after a resume it may lie ahead of the resumed step.
        """
        self._lock.check()
        record = self._newest_intact("best")
        return None if record is None else self._read(record)

    def save(
        self,
        step: int,
        tensors: dict[str, Tensor],
        meta: dict[str, Any],
        *,
        finished: bool = False,
    ) -> Path:
        """Write a snapshot durably, then delete those that are no longer needed.

        Args:
            step: steps taken so far; newer snapshots have larger ones.
            tensors, meta: the complete state, as for `checkpoint.save`.
            finished: the stage is done; `drop_finished` deletes it once its outputs verify.

        Raises:
            CogmentError: it cannot be written (the last good one is intact), or the lock was lost.
        """
        path = self._write("step", step, tensors, meta, {"finished": finished})
        self._prune("step", self._keep)
        return path

    def save_best(
        self, step: int, value: float, tensors: dict[str, Tensor], meta: dict[str, Any]
    ) -> Path:
        """Write the best state so far; it replaces the former best once it is durable."""
        path = self._write("best", step, tensors, meta, {"finished": False, "value": value})
        self._prune("best", 1)
        return path

    def _write(
        self,
        kind: str,
        step: int,
        tensors: dict[str, Tensor],
        meta: dict[str, Any],
        marks: dict[str, Any],
    ) -> Path:
        self._lock.check()
        try:
            path = unused_path(self.folder, kind, step)
            self._damaged.discard(path)
            digest = checkpoint.save(path, tensors, meta)
            info = {
                "step": step,
                "sha256": digest,
                "bytes": path.stat().st_size,
                "fingerprint": self._fingerprint,
                "environment": self._environment,
                "bit_identical": self.bit_identical,
                **marks,
            }
            write_json(path.with_suffix(".json"), info)
        except CogmentError as error:
            raise CogmentError(f"{error}; {self._last_good()}") from error
        except OSError as error:
            reason = explain(f"write a snapshot in {self.folder}", error)
            raise CogmentError(f"{reason}; {self._last_good()}") from error
        return path

    def _last_good(self) -> str:
        try:
            records = list_records(self.folder)
        except OSError:
            return "earlier snapshots were not touched"
        records = [r for r in records if r.info is not None and r.path not in self._damaged]
        if not records:
            return "no snapshot was written so far"
        return f"the last good snapshot, of step {records[0].step}, is intact"

    def _prune(self, kind: str, keep: int) -> None:
        """Delete all but the newest; a snapshot found damaged never takes a good one's place."""
        try:
            records = list_records(self.folder, kind)
            good = [r for r in records if r.info is not None and r.path not in self._damaged]
            for record in records:
                if record not in good[:keep]:
                    remove(record)
        except OSError as error:
            _log.warning("cannot delete old snapshots in %s: %s", self.folder, error)

    def _set_stale_aside(self) -> None:
        records = list_records(self.folder, "step") + list_records(self.folder, "best")
        stale = [r for r in records if r.info and r.info["fingerprint"] != self._fingerprint]
        if stale:
            changed = ", ".join(differences(stale[0].info["fingerprint"], self._fingerprint))
            targets = set_aside(self.folder, stale)
            _log.warning(
                "snapshots of step %d and before are stale (changed: %s): set aside in %s",
                max(record.step for record in stale),
                changed,
                ", ".join(str(target) for target in targets),
            )

    def _take_back(self) -> None:
        """Use set-aside snapshots of this very state again; finishes a move that was cut off."""
        key = state_key(self._fingerprint, self._environment)
        if take_back(self.folder, key):
            _log.warning("set-aside snapshots fit again: taken back from %s.stale", key)

    def _newest_intact(self, kind: str) -> Record | None:
        records = list_records(self.folder, kind)
        for record in records:
            if record.intact():
                return record
            self._damaged.add(record.path)
            _log.warning("snapshot %s is damaged; falling back to the one before", record.path)
        if records and kind == "step":
            _log.warning("no snapshot in %s is usable: the stage starts over", self.folder)
        return None

    def _environment_fits(self, record: Record) -> bool:
        """True: go on from it; False: all were set aside, and those that fit taken back."""
        changes = differences(record.info["environment"], self._environment)
        if not changes:
            return True
        what = f"snapshot of step {record.step} in {self.folder} was made with " + ", ".join(
            f"{name} {was!r} (now {now!r})" for name, (was, now) in changes.items()
        )
        if self._on_change == "continue":
            _log.warning("%s; going on from it: the result is not bit-identical", what)
            self.bit_identical = False
            return True
        if self._on_change == "restart":
            records = list_records(self.folder, "step") + list_records(self.folder, "best")
            targets = set_aside(self.folder, records)
            _log.warning("%s; starting over, set aside in %s", what, ", ".join(map(str, targets)))
            self._take_back()
            return False
        raise CogmentError(
            f"{what}; go back to that, or decide with --config on_environment_change=continue "
            "(not bit-identical) or on_environment_change=restart"
        )

    def _read(self, record: Record) -> Snapshot:
        tensors, meta = checkpoint.load(record.path)
        info = record.info
        return Snapshot(
            record.step, tensors, meta, record.path, info["finished"], info.get("value")
        )


def differences(was: dict[str, Any], now: dict[str, Any], prefix: str = "") -> dict[str, tuple]:
    """Dotted names of the leaves that differ -> (value before, value now); None where absent."""
    found: dict[str, tuple] = {}
    for name in sorted(was.keys() | now.keys()):
        old, new = was.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found.update(differences(old, new, f"{prefix}{name}."))
        elif old != new:
            found[prefix + name] = (old, new)
    return found
