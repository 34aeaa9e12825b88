"""The files of a snapshot folder: names, sidecars, stale ones; torch-free.

A snapshot is `step-00001200.pt` plus `step-00001200.json`; the sidecar is written last and is what
commits it. `best-*.pt` likewise. Set-aside ones live in `<key>.stale/` folders.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import canonical_json, sha256_file, sha256_text
from cogment_pipe.errors import CogmentError
from cogment_pipe.lock import FolderLock

KEEP_STALE = 2
"""Generations of set-aside snapshots that stay on the disk."""

_NAME = re.compile(r"(step|best)-(\d{8})(?:\.(\d+))?\.json")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One committed snapshot: its sidecar's content, or None where that cannot be read."""

    sidecar: Path
    kind: str
    step: int
    generation: int
    info: dict[str, Any] | None

    @property
    def path(self) -> Path:
        """The snapshot itself."""
        return self.sidecar.with_suffix(".pt")

    @property
    def key(self) -> str:
        """Short name of the config, code, inputs and environment that made it."""
        if self.info is None:
            return "unreadable"
        return state_key(self.info["fingerprint"], self.info["environment"])

    def intact(self) -> bool:
        """Whether the file is there and its bytes are those that the sidecar names.

        Raises:
            PermissionError: it may be, but this user cannot see.
        """
        if self.info is None:
            return False
        try:
            if self.path.stat().st_size != self.info["bytes"]:
                return False
            return sha256_file(self.path) == self.info["sha256"]
        except PermissionError:
            raise
        except OSError:  # gone, or on a bad sector
            return False


def state_key(fingerprint: dict[str, Any], environment: dict[str, Any]) -> str:
    """Twelve hex digits that name a fingerprint together with an environment."""
    return sha256_text(canonical_json([fingerprint, environment]))[:12]


def list_records(folder: Path, kind: str = "step") -> list[Record]:
    """Committed snapshots of a folder, newest first; reads sidecars, no snapshot.

    Raises:
        OSError: a sidecar cannot be read.
    """
    records = []
    for sidecar in Path(folder).glob(f"{kind}-*.json"):
        match = _NAME.fullmatch(sidecar.name)
        if match:
            records.append(
                Record(sidecar, kind, int(match[2]), int(match[3] or 0), _read_sidecar(sidecar))
            )
    return sorted(records, key=lambda record: (record.step, record.generation), reverse=True)


def unused_path(folder: Path, kind: str, step: int) -> Path:
    """A name for a new snapshot that overwrites nothing, so that no crash can mix two."""
    generation = 0
    while True:
        suffix = f".{generation}" if generation else ""
        path = folder / f"{kind}-{step:08d}{suffix}.pt"
        if not path.exists() and not path.with_suffix(".json").exists():
            return path
        generation += 1


def remove(record: Record) -> None:
    """Delete a snapshot, the commit first."""
    record.sidecar.unlink(missing_ok=True)
    record.path.unlink(missing_ok=True)


def remove_uncommitted(folder: Path) -> None:
    """Delete what a crash left half-written: temporary files, snapshots without a sidecar."""
    for leftover in folder.glob("*.tmp"):
        leftover.unlink(missing_ok=True)
    for path in folder.glob("*.pt"):
        if not path.with_suffix(".json").exists():
            path.unlink(missing_ok=True)


def set_aside(folder: Path, records: list[Record]) -> list[Path]:
    """Move snapshots to `<key>.stale/`, keeping the newest generations; returns those folders."""
    targets = []
    for record in records:
        target = folder / f"{record.key}.stale"
        target.mkdir(exist_ok=True)
        for path in (record.path, record.sidecar):
            if path.exists():
                path.replace(target / path.name)
        target.touch()
        if target not in targets:
            targets.append(target)
    generations = sorted(folder.glob("*.stale"), key=lambda path: path.stat().st_mtime)
    for old in generations[:-KEEP_STALE]:
        if old not in targets:
            _log.warning("deleting the set-aside snapshots in %s: newer ones were set aside", old)
            shutil.rmtree(old)
    return targets


def take_back(folder: Path, key: str) -> bool:
    """Move the set-aside snapshots that `key` names into use again; True where there were any."""
    source = folder / f"{key}.stale"
    if not source.is_dir():
        return False
    for suffix in (".pt", ".json"):  # the commit last
        for path in source.glob(f"*{suffix}"):
            path.replace(folder / path.name)
    shutil.rmtree(source)
    return True


def drop_finished(folder: Path, stage_folder: Path) -> bool:
    """Delete the snapshots of a stage whose outputs are complete and verify.

    Args:
        folder: `results/.snapshots/stage{k}`.
        stage_folder: `results/stage{k}` with its `manifest.json`.

    Returns:
        True where they were deleted; False, and nothing touched, where the lock is held, no
        finished snapshot is there, or an output does not have the manifest's sha256.
    """
    folder = Path(folder)
    try:
        if not any(_is_finished(record) for record in list_records(folder)):
            return False
        if not outputs_verify(Path(stage_folder)):
            return False
        with FolderLock(folder):
            for kind in ("best", "step"):
                for record in reversed(list_records(folder, kind)):  # the finished one last
                    remove(record)
            remove_uncommitted(folder)
            return True
    except (CogmentError, OSError) as error:
        _log.warning("keeping the snapshots: %s", error)
        return False


def outputs_verify(stage_folder: Path) -> bool:
    """Whether every output that a stage's manifest names is there with its sha256."""
    try:
        outputs = json.loads((stage_folder / "manifest.json").read_text())["outputs"]
        return bool(outputs) and all(
            sha256_file(stage_folder / name) == digest for name, digest in outputs.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_finished(record: Record) -> bool:
    return record.info is not None and record.info["finished"] is True


def _read_sidecar(path: Path) -> dict[str, Any] | None:
    """Content of a sidecar, None where it is damaged; an error of the disk is not damage."""
    text = path.read_text(errors="replace")
    try:
        info = json.loads(text)
        needed = ("sha256", "bytes", "step", "fingerprint", "environment", "finished")
        return info if all(key in info for key in needed) else None
    except (ValueError, TypeError):
        return None
