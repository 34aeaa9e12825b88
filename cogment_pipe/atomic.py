"""Files that are either whole or absent: tmp -> flush -> fsync -> rename -> fsync(folder).

Owns the durable write, canonical JSON and the sha256 of files; knows nothing of what is inside.
Torch-free, so that the workflow can use it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from cogment_pipe.errors import CogmentError

_CHUNK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


class HashingFile:
    """Binary sink that hashes what passes through and keeps the first error for later.

    `torch.save` writes from C++, where an exception in the middle of the archive is reported as an
    unrelated failure; so a failed write is remembered, the rest is swallowed, and `check` raises.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._digest = hashlib.sha256()
        self._error: OSError | None = None
        self.bytes = 0

    def write(self, data: bytes) -> int:
        """Write `data` and add it to the hash; always says that all of it was written."""
        size = memoryview(data).nbytes
        if self._error is None:
            try:
                self._put(data)
            except OSError as error:
                self._error = error
        self._digest.update(data)
        self.bytes += size
        return size

    def _put(self, data: bytes) -> None:
        self._raw.write(data)

    def flush(self) -> None:
        """Nothing to do here: the writer of the whole file flushes once, at its end."""

    def check(self) -> None:
        """Raise the first OSError that a write met."""
        if self._error is not None:
            raise self._error

    @property
    def sha256(self) -> str:
        """Hex digest of everything written so far."""
        return self._digest.hexdigest()


@contextmanager
def atomic_writer(path: Path) -> Iterator[HashingFile]:
    """Context manager: a sink whose bytes appear under `path` at its end, or not at all.

    Raises:
        CogmentError: the disk is full, the folder is read-only, or the file system failed; what was
            under `path` before is untouched, unless only the last fsync of the folder failed.
    """
    path = Path(path)
    tmp = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tmp.open("wb") as raw:
            sink = HashingFile(raw)
            yield sink
            sink.check()
            raw.flush()
            os.fsync(raw.fileno())
        tmp.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        _remove(tmp)
        raise CogmentError(explain(f"write {path}", error)) from error
    except BaseException:
        _remove(tmp)
        raise


def write_bytes(path: Path, data: bytes) -> str:
    """Write `data` atomically; returns its sha256."""
    with atomic_writer(path) as sink:
        sink.write(data)
    return sink.sha256


def write_json(path: Path, value: Any) -> str:
    """Write `value` as indented canonical JSON, atomically; returns the sha256 of the file."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return write_bytes(path, (text + "\n").encode())


def canonical_json(value: Any) -> str:
    """One line of JSON that equal values share: sorted keys, no blanks, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_text(text: str) -> str:
    """Hex sha256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while piece := handle.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explain(task: str, error: OSError) -> str:
    """One line: what could not be done ("write x"), why, and how to mend it."""
    what = error.strerror or str(error) or type(error).__name__
    if error.errno in _FULL:
        return f"cannot {task}: {what}; free some space and run the same command again"
    if error.errno in _REFUSED:
        return f"cannot {task}: {what}; make its folder writable and run the same command again"
    return f"cannot {task}: {what}; check the disk and run the same command again"


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
