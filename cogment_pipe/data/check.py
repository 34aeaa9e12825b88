"""`data check`: what a file or folder is, how many items it has, what would be dropped and why.

One function for each kind of data; a damaged file is the same one-line error as in a run.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cogment_pipe.data.generators import GridSplit
from cogment_pipe.data.loaders import (
    arc,
    listops_tsv,
    maze_csv,
    own_grids,
    sudoku_csv,
    text_check,
)
from cogment_pipe.data.loaders.files import SUFFIXES
from cogment_pipe.data.manifest import NAME, read_manifest, verify_outputs
from cogment_pipe.data.storage import read_json
from cogment_pipe.errors import CogmentError

SEEN_ELSEWHERE = {".jsonl", ".parquet", ".zip", ".npy", ".md"}
CANVASES = (12, 16, 20, 30)


def check_path(path: Path) -> str:
    """Describe a data file or folder in a few lines. Raises CogmentError when it is unsound."""
    path = Path(path)
    if not path.exists():
        raise CogmentError(f"{path}: no such file or folder")
    kind = kind_of(path)
    told = CHECKS[kind](path) if kind in CHECKS else _text(path)
    if not told:
        known = ", ".join([*CHECKS, *text_check.LOADS])
        raise CogmentError(f"{path}: not data that is known; known are {known}")
    return f"{path}: {told}{_left_aside(path, kind)}"


def _left_aside(path: Path, kind: str) -> str:
    """Files of a folder that are of another known kind than most: said, never passed over."""
    if not path.is_dir() or kind not in CHECKS or kind == "prepared stage":
        return ""
    kinds = {file: kind_of(file) for file in sorted(path.rglob("*")) if file.is_file()}
    others = {file: found for file, found in kinds.items() if found not in ("", kind)}
    if not others:
        return ""
    first, found = next(iter(others.items()))
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"\n  not read with these: {first.relative_to(path)} ({found}){more}; check it by itself"


def kind_of(path: Path) -> str:
    """Name in CHECKS of what a path holds, or "" when it is not recognised."""
    if path.is_dir():
        if (path / NAME).is_file():
            return "prepared stage"
        kinds = Counter(kind_of(file) for file in sorted(path.rglob("*")) if file.is_file())
        kinds.pop("", None)
        return kinds.most_common(1)[0][0] if kinds else ""
    if path.suffix == ".npz":
        return "own grids"
    if path.suffix == ".tsv":
        return "listops"
    if path.suffix == ".csv":
        return _kind_of_csv(path)
    if path.suffix == ".json":
        return "arc" if _is_arc(path) else ""
    return "sudoku list" if path.suffix not in SEEN_ELSEWHERE and _is_list(path) else ""


def _is_list(path: Path) -> bool:
    """Whether the first line that is no comment is a Sudoku of 81 digits and dots."""
    with path.open("rb") as handle:
        lines = (line.strip() for line in handle.readlines(4096))
        first = next((line for line in lines if line and not line.startswith(b"#")), b"")
    return len(first) == 81 and set(first) <= set(b"0123456789.")


def _kind_of_csv(path: Path) -> str:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = csv.DictReader(handle)
            first = next(rows, None) or {}
    except (UnicodeDecodeError, csv.Error):
        return "own grids"
    if "#" in (first.get("question") or ""):
        return "maze_hard"
    return "sudoku_extreme" if "rating" in first else "own grids"


def _is_arc(path: Path) -> bool:
    content = read_json(path)
    if not isinstance(content, dict):
        return False
    inner = [content, *(value for value in content.values() if isinstance(value, dict))]
    return any({"train", "test"} <= set(value) for value in inner[:2])


def _count(part: GridSplit) -> str:
    items, groups = len(np.unique(part.item)), len(np.unique(part.group))
    height, width = part.inputs.shape[1:]
    repeated = len(part) - items
    tail = f"; {repeated} repeated would be dropped" if repeated else "; nothing would be dropped"
    return f"{len(part)} items of {height} x {width} cells in {groups} groups{tail}"


def _files(path: Path, suffix: str) -> list[Path]:
    return sorted(path.rglob(f"*{suffix}")) if path.is_dir() else [path]


def _each(path: Path, suffix: str, title: str, read: Callable[[Path], GridSplit]) -> str:
    told = [f"{file.name}: {_count(read(file))}" for file in _files(path, suffix)]
    return "\n  ".join([title, *told])


def _sudoku(path: Path) -> str:
    return _each(path, ".csv", "Sudoku (Sudoku-Extreme's layout)", sudoku_csv.read)


def _sudoku_list(path: Path) -> str:
    files = [f for f in _files(path, "") if f.is_file() and kind_of(f) == "sudoku list"]
    told = [f"{file.name}: {_count(sudoku_csv.read_list(file))}" for file in files]
    return "\n  ".join(["Sudoku (tdoku's lists, solved here)", *told])


def _maze(path: Path) -> str:
    return _each(path, ".csv", "mazes (Maze-Hard's layout)", maze_csv.read)


def _listops(path: Path) -> str:
    told = ["ListOps"]
    for file in _files(path, ".tsv"):
        trees = [tree for _, tree in listops_tsv.read(file)]
        lengths = [listops_tsv.length(tree) for tree in trees]
        distinct = len({listops_tsv.canonical_hash(tree) for tree in trees})
        told.append(
            f"{file.name}: {len(trees)} expressions of {min(lengths)} to {max(lengths)} symbols; "
            f"{len(trees) - distinct} repeated ones would be dropped, and those that are not "
            "shorter than the stage's sequence_length"
        )
    return "\n  ".join(told)


def _own(path: Path) -> str:
    told = ["own grids"]
    for file in [*_files(path, ".npz"), *(_files(path, ".csv") if path.is_dir() else [])]:
        params = own_grids.OwnGridParams()
        if file.suffix == ".npz":
            parts = own_grids.read_npz(file, params)
        else:
            parts = {"items": own_grids.read_csv(file, params)}
        told += [f"{file.name}, {name}: {_count(part)}" for name, part in parts.items()]
    return "\n  ".join(told)


def _arc(path: Path) -> str:
    found = arc.load_files(path)
    told = ["ARC tasks"]
    for name, records in sorted(found.sets.items()):
        largest = [max(size for p in r.pairs for g in p for size in g.shape) for r in records]
        fits = ", ".join(f"{sum(s <= c for s in largest)} fit {c} x {c}" for c in CANVASES)
        tests = sum(len(r.test) for r in records)
        told.append(f"{name or 'tasks'}: {len(records)} tasks, {tests} tests; {fits}")
    told += [f"{reason}: {n} dropped" for reason, n in sorted(found.dropped.items())]
    return "\n  ".join(told)


def _text(path: Path) -> str:
    """What the text loaders make of it; "" where it holds no file that they read."""
    files = [path] if path.is_file() else path.rglob("*")
    if not any(file.suffix in (*SUFFIXES, ".zip") for file in files):
        return ""
    return text_check.describe(path).replace("\n", "\n  ")


def _prepared(path: Path) -> str:
    verify_outputs(path)
    manifest = read_manifest(path)
    told = [f"prepared data of stage {manifest['stage']}; every file is as the manifest says"]
    for name in manifest["order"]:
        splits = manifest["tasks"][name]["splits"].items()
        counts = ", ".join(f"{split} {entry['items']}" for split, entry in splits)
        told.append(f"{name}: {counts}")
    return "\n  ".join(told)


CHECKS: dict[str, Callable[[Path], str]] = {
    "prepared stage": _prepared,
    "arc": _arc,
    "sudoku_extreme": _sudoku,
    "sudoku list": _sudoku_list,
    "maze_hard": _maze,
    "listops": _listops,
    "own grids": _own,
}
