"""A corpus on disk: a folder, a file or a zip archive, read member by member.

Nothing is ever extracted: archives are read in place, after their names and sizes were checked.
Every problem is a CogmentError that names file (or member) and line.
"""

from __future__ import annotations

import codecs
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from cogment_pipe.data.storage import sha256_file
from cogment_pipe.errors import CogmentError

SUFFIXES = (".jsonl", ".json", ".parquet")
MAX_LINE = 64 << 20  # bytes; the longest line of any corpus named here has about 2 MiB
MAX_MEMBER = 4 << 30
MAX_ARCHIVE = 32 << 30


@dataclass(frozen=True)
class Member:
    """One data file; `name` is relative to the corpus, with `archive.zip:` in front inside one."""

    name: str
    size: int
    open: Callable[[], BinaryIO]

    @property
    def stem(self) -> str:
        """File name without folders and suffix."""
        return PurePosixPath(self.name.rpartition(":")[2]).stem


@dataclass(frozen=True)
class Corpus:
    """All data files below a path, and what a manifest says about them."""

    name: str
    members: tuple[Member, ...]
    sources: tuple[dict, ...]

    @classmethod
    def open(cls, name: str, path: Path, *, licence: str = "", revision: str = "") -> Corpus:
        """Find the data files of `path` (folder, file or zip); sha256 of each is taken."""
        path = Path(path)
        if not path.exists():
            raise CogmentError(f"corpus {name}: {path} does not exist")
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        root = path.parent if path.is_file() else path
        members: list[Member] = []
        sources: list[dict] = []
        for file in files:
            relative = file.relative_to(root).as_posix()
            if file.suffix == ".zip":
                members += archive_members(file, relative)
            elif file.suffix in SUFFIXES:
                members.append(Member(relative, file.stat().st_size, _opener(file)))
            else:
                continue
            sources.append(
                {
                    "path": relative,
                    "sha256": sha256_file(file),
                    "bytes": file.stat().st_size,
                    "licence": licence,
                    "revision": revision,
                }
            )
        if not members:
            raise CogmentError(f"corpus {name}: {path} holds no {', '.join(SUFFIXES)} or .zip file")
        return cls(name, tuple(members), tuple(sources))


def archive_members(file: Path, name: str) -> list[Member]:
    """Data files inside a zip. CogmentError: unsafe names, too large, encrypted or no zip."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise CogmentError(f"{file}: not a readable zip archive ({error})") from None
    members = []
    for info in infos:
        where = PurePosixPath(info.filename.replace("\\", "/"))
        drive = len(info.filename) > 1 and info.filename[1] == ":"
        if where.is_absolute() or ".." in where.parts or drive:
            raise CogmentError(f"{file}: member {info.filename!r} leaves the archive; refused")
        if info.flag_bits & 1:
            raise CogmentError(f"{file}: member {info.filename!r} is encrypted; unpack it first")
        if info.file_size > MAX_MEMBER:
            raise CogmentError(
                f"{file}: member {info.filename!r} unpacks to {info.file_size} bytes, above "
                f"{MAX_MEMBER}; unpack the archive yourself and give the folder"
            )
        hidden = "__MACOSX" in where.parts or where.name.startswith(".")
        if where.suffix in SUFFIXES and not hidden:
            opener = _zip_opener(file, info.filename)
            members.append(Member(f"{name}:{where.as_posix()}", info.file_size, opener))
    if sum(info.file_size for info in infos) > MAX_ARCHIVE:
        raise CogmentError(f"{file}: unpacks to more than {MAX_ARCHIVE} bytes; refused")
    return members


def records(member: Member) -> Iterator[tuple[int, dict]]:
    """(line or place from 1, record) of JSONL, a JSON array or parquet; by content, not by name."""
    if member.name.endswith(".parquet"):
        yield from _parquet(member)
        return
    with _reading(member) as handle:
        head = handle.read(4096)
        text = head.removeprefix(codecs.BOM_UTF8).lstrip()
        if not text:
            raise CogmentError(f"{member.name}: the file is empty")
    if text.startswith(b"["):
        yield from _array(member)
    else:
        yield from _lines(member)


def document(member: Member) -> Any:
    """The whole file as one JSON value."""
    with _reading(member) as handle:
        content = handle.read(MAX_MEMBER + 1)
    return _parse(content, member.name, None)


def need(record: dict, where: str, **types: type | tuple[type, ...]) -> None:
    """Check fields and their types; texts must be encodable. CogmentError names `where`."""
    for name, kind in types.items():
        if name not in record:
            raise CogmentError(f"{where}: field {name!r} is missing")
        if not isinstance(record[name], kind) or (kind is int and isinstance(record[name], bool)):
            wanted = kind.__name__ if isinstance(kind, type) else "/".join(k.__name__ for k in kind)
            found = type(record[name]).__name__
            raise CogmentError(f"{where}: field {name!r} is {found}, must be {wanted}")
    _encodable(record, where)


def texts(value: object, where: str, name: str) -> list[str]:
    """`value` as a list of texts, or a CogmentError."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise CogmentError(f"{where}: field {name!r} must be a list of texts")
    return value


def _encodable(record: dict, where: str) -> None:
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise CogmentError(f"{where}: holds half of a surrogate pair, which is no text") from None


def _opener(file: Path) -> Callable[[], BinaryIO]:
    return lambda: file.open("rb")


def _zip_opener(file: Path, name: str) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        with zipfile.ZipFile(file) as archive:  # the member keeps the file open until it is closed
            return archive.open(name)

    return opened


@contextmanager
def _reading(member: Member) -> Iterator[BinaryIO]:
    try:
        with member.open() as handle:
            yield handle
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
        raise CogmentError(f"{member.name}: damaged or unreadable ({error})") from None


def _lines(member: Member) -> Iterator[tuple[int, dict]]:
    found = 0
    with _reading(member) as handle:
        buffered = io.BufferedReader(handle) if not hasattr(handle, "readline") else handle
        number = 0
        while line := buffered.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise CogmentError(f"{member.name}, line {number}: longer than {MAX_LINE} bytes")
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            found += 1
            yield (
                number,
                _record(_parse(line, member.name, number), f"{member.name}, line {number}"),
            )
    if not found:
        raise CogmentError(f"{member.name}: the file is empty")


def _array(member: Member) -> Iterator[tuple[int, dict]]:
    values = document(member)
    if not values:
        raise CogmentError(f"{member.name}: the list is empty")
    for number, value in enumerate(values, 1):
        yield number, _record(value, f"{member.name}, item {number}")


def _record(value: object, where: str) -> dict:
    if not isinstance(value, dict):
        raise CogmentError(f"{where}: expected an object, found {type(value).__name__}")
    return value


def _parse(content: bytes, name: str, line: int | None) -> Any:
    where = name if line is None else f"{name}, line {line}"
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise CogmentError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except json.JSONDecodeError as error:
        at = f"{name}, line {error.lineno}" if line is None else where
        raise CogmentError(f"{at}: not JSON ({error.msg}, column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise CogmentError(f"{where}: not JSON ({error})") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _parquet(member: Member) -> Iterator[tuple[int, dict]]:
    try:
        import pandas
        import pyarrow  # noqa: F401  (pandas' engine; asked for by name so that the error is ours)
    except ImportError:
        raise CogmentError(
            f"{member.name}: parquet needs the package pyarrow (pip install pyarrow); "
            "or give the JSONL file in its place"
        ) from None
    with _reading(member) as handle:
        content = io.BytesIO(handle.read())
    try:
        frame = pandas.read_parquet(content)
    except Exception as error:  # pyarrow raises many kinds for damaged files
        raise CogmentError(f"{member.name}: not a readable parquet file ({error})") from None
    for number, row in enumerate(frame.to_dict("records"), 1):
        yield number, _plain(row)


def _plain(value: Any) -> Any:
    """Arrays that parquet columns hold, as lists."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
