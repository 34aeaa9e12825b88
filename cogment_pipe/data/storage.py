"""Arrays and JSON on disk: atomic writes, memory-mapped reads, sha256 of what was written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cogment_pipe.errors import CogmentError


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> str:
    """Write through a temporary file in the same folder, fsync, rename; returns the sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
        digest = sha256_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def write_array(path: Path, array: np.ndarray) -> str:
    """Save one array as .npy (C order, no pickles); returns the file's sha256."""
    plain = np.ascontiguousarray(array)
    return write_atomic(path, lambda handle: np.save(handle, plain, allow_pickle=False))


def read_array(path: Path) -> np.ndarray:
    """Map one .npy file read-only. Raises CogmentError naming the file when it is not one."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise CogmentError(f"{path}: missing; prepare the stage's data again") from None
    except (ValueError, OSError, EOFError) as error:
        raise CogmentError(f"{path}: not a readable .npy array ({error})") from None


def canonical_json(value: Any) -> str:
    """Sorted keys, indent 1, one newline at the end: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> str:
    """Write canonical JSON atomically; returns the file's sha256."""
    text = canonical_json(value).encode()
    return write_atomic(path, lambda handle: handle.write(text))


def write_lines(path: Path, rows: Iterable[dict]) -> str:
    """Write JSON lines (sorted keys) atomically; returns the file's sha256."""
    text = "".join(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows)
    return write_atomic(path, lambda handle: handle.write(text.encode()))


def read_json(path: Path) -> Any:
    """Read one JSON file. Raises CogmentError naming file and line when it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CogmentError(f"{path}: no such file") from None
    except json.JSONDecodeError as error:
        raise CogmentError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise CogmentError(f"{path}: not JSON ({type(error).__name__}: {error})") from None


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, read in chunks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
