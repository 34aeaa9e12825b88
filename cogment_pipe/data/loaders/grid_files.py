"""What the loaders of grid files share: rows of text with line numbers, and splits of their items.

Files say what is train and what is test; validation is carved out of train by group. A training
item whose group is held out is dropped and counted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cogment_pipe.data.generators import SPLITS, Draws, GridSplit, mix, split_of
from cogment_pipe.data.storage import sha256_file
from cogment_pipe.errors import CogmentError

VALIDATION_SHARES = (0.9, 0.1, 0.0)
LONGEST_LINE = 1 << 20


@dataclass
class Loaded:
    """Items of each split, what was dropped, and the files they came from."""

    splits: dict[str, GridSplit]
    sources: list[dict] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


def data_files(path: Path, suffix: str, name: str, hint: str) -> dict[str, Path]:
    """Files of a corpus by split: told by "train", "val" or "test" in their names.

    A single file that says nothing is `all`. Raises CogmentError when nothing is there.
    """
    path = Path(path)
    files = sorted(path.rglob(f"*{suffix}")) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise CogmentError(f"corpora.{name}: no {suffix} file at {path}; {hint}")
    found: dict[str, Path] = {}
    for file in files:
        split = next((s for w, s in _WORDS.items() if w in file.name.lower()), "all")
        if split in found:
            raise CogmentError(
                f"corpora.{name}: both {found[split].name} and {file.name} would be {split}; "
                f"name one file or a folder with one of each"
            )
        found[split] = file
    return found


_WORDS = {"train": "train", "val": "validation", "test": "test"}


def sources(path: Path, files: dict[str, Path], corpus: dict) -> list[dict]:
    """Manifest entries of the files, with names relative to the corpus."""
    root = Path(path) if Path(path).is_dir() else Path(path).parent
    return [
        {
            "path": file.relative_to(root).as_posix(),
            "sha256": sha256_file(file),
            "bytes": file.stat().st_size,
            "licence": corpus.get("licence") or "see the corpus",
            "revision": corpus.get("revision") or "",
        }
        for file in files.values()
    ]


def csv_rows(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """(line, values of `columns`) of a CSV with a header; nothing is stripped.

    Raises CogmentError naming file and line for a missing column, a short row or bad bytes.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.reader(handle)
            header = next(reader, None)
            if header is None:
                raise CogmentError(f"{file}: empty; needs the columns {','.join(columns)}")
            missing = [column for column in columns if column not in header]
            if missing:
                raise CogmentError(
                    f"{file}, line 1: no column {missing[0]!r}; needs {','.join(columns)}"
                )
            places = [header.index(column) for column in columns]
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise CogmentError(
                        f"{file}, line {reader.line_num}: {len(row)} values, not {len(header)}"
                    )
                yield reader.line_num, [row[place] for place in places]
    except (csv.Error, UnicodeDecodeError) as error:
        raise CogmentError(f"{file}: not a readable CSV ({error})") from None


def text_lines(file: Path) -> Iterator[tuple[int, str]]:
    """(line number, line without its end) of a text file. Raises CogmentError for bad bytes."""
    try:
        with file.open(encoding="utf-8-sig") as handle:
            for number, line in enumerate(handle, start=1):
                if len(line) > LONGEST_LINE:
                    raise CogmentError(f"{file}, line {number}: longer than {LONGEST_LINE} symbols")
                yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise CogmentError(f"{file}: not UTF-8 ({error.reason} at byte {error.start})") from None


def assign(
    parts: dict[str, GridSplit], wanted: dict[str, int | None], draws: Draws
) -> tuple[dict[str, GridSplit], dict[str, int]]:
    """Make three disjoint splits of what the files hold.

    `all` is split by group; a missing validation comes out of train; duplicates, and training
    items whose group is in test or validation, are dropped. At most `wanted` items are kept,
    chosen by a keyed permutation. Hashes are mixed once more than in generators, so that files
    which hold one split of generated items can be split again.
    """
    parts = {name: part for name, part in parts.items() if len(part)}
    if set(parts) & {"all"} or set(parts) == {"test"} or set(parts) == {"train"}:
        whole = next(iter(parts.values()))
        number = split_of(mix(whole.group))
        parts = {s: whole.take(np.flatnonzero(number == i)) for i, s in enumerate(SPLITS)}
    elif "validation" not in parts and "train" in parts:
        number = split_of(mix(parts["train"].group), VALIDATION_SHARES)
        train = parts["train"]
        parts["validation"] = train.take(np.flatnonzero(number == 1))
        parts["train"] = train.take(np.flatnonzero(number == 0))
    dropped: dict[str, int] = {}
    held = np.zeros(0, dtype=np.uint64)
    splits: dict[str, GridSplit] = {}
    for split in ("test", "validation", "train"):
        if split not in parts:
            raise CogmentError(f"task {draws.task}: the files have no items for {split}")
        part = parts[split]
        _, first = np.unique(part.item, return_index=True)
        _count(dropped, f"{split}: duplicate", len(part) - len(first))
        first = np.sort(first)
        free = first[~np.isin(part.group[first], held)]
        _count(dropped, f"{split}: group is held out", len(first) - len(free))
        most = wanted.get(split)
        if most is not None and len(free) > most:
            _count(dropped, f"{split}: over the asked number", len(free) - most)
            free = np.sort(draws.stream(split, "subset").permutation(free)[:most])
        if not len(free):
            raise CogmentError(f"task {draws.task}: split {split} is empty; add items to the files")
        held = np.union1d(held, part.group)
        splits[split] = part.take(free)
    return {split: splits[split] for split in SPLITS}, dropped


def _count(dropped: dict[str, int], reason: str, n: int) -> None:
    if n:
        dropped[reason] = dropped.get(reason, 0) + n
