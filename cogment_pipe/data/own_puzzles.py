"""A user's own puzzles for `fit`: one file in, a prepared stage out, and what kind of puzzle it is.

Reads .npz (x_train, y_train, x_test, y_test) and CSV `question,answer`. What the answers look like
decides which symmetries may be asked for and how the model mixes cells; nothing is guessed from
names. Test items are never trained on: training items that equal one are dropped and counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cogment_pipe.data.batch import TASK_IDS
from cogment_pipe.data.generators import Draws, GridSplit, mix
from cogment_pipe.data.generators.sudoku_solver import BOX_SHAPE
from cogment_pipe.data.loaders.grid_files import assign, csv_rows, data_files, sources
from cogment_pipe.data.loaders.own_grids import HINT, OwnGridParams, grid_items, read_csv, read_npz
from cogment_pipe.data.manifest import augmentation_entry, write_manifest
from cogment_pipe.data.puzzle_text import OWN, encode, maze_rows, sudoku_side
from cogment_pipe.data.splits import refuse_leaks, task_leaks
from cogment_pipe.data.storage import write_array
from cogment_pipe.data.symbols import STORED_IGNORE
from cogment_pipe.errors import CogmentError

TASK = "puzzles"
VALIDATION = (0.05, 64)  # share of training items that validation takes, and at most so many
START, GOAL = OWN["maze"]["S"], OWN["maze"]["G"]
OPEN, PATH = OWN["maze"][" "], OWN["maze"]["o"]


@dataclass(frozen=True)
class Puzzles:
    """Items by split, all of one size; `kind` is sudoku, maze or values; `files` a manifest's."""

    splits: dict[str, GridSplit]
    kind: str
    files: list[dict]
    dropped: dict[str, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every grid."""
        return self.splits["train"].inputs.shape[1:]

    @property
    def symbols(self) -> int:
        """Smallest alphabet, padding included, that holds every cell of the file."""
        top = 0
        for items in self.splits.values():
            shown = np.where(items.targets == STORED_IGNORE, 0, items.targets)
            top = max(top, int(items.inputs.max()), int(shown.max()))
        return top + 1

    @property
    def latin(self) -> bool:
        """Every answer is a Latin square: each row and column holds the same symbols, once each."""
        return is_latin(self.splits["train"].targets)

    @property
    def boxes(self) -> bool:
        """Latin, and every box of a Sudoku of this size holds each symbol once."""
        return self.latin and has_boxes(self.splits["train"].targets)


def read_puzzles(path: Path, shape: tuple[int, int] | None, seed: int) -> Puzzles:
    """The puzzles of a file, or of a folder with train and test CSV files.

    `shape` says how rows of N values become H x W; without it a square number makes a square.
    Raises CogmentError naming file, line or array.
    """
    path = Path(path)
    if not path.exists():
        raise CogmentError(f"{path}: no such file; {HINT}")
    suffix = ".npz" if path.suffix == ".npz" else ".csv"
    if path.is_file() and path.suffix not in (".npz", ".csv"):
        raise CogmentError(f"{path}: not .npz, .csv or .jsonl; {HINT}")
    files = data_files(path, suffix, "data", HINT)
    if suffix == ".npz":
        file = next(iter(files.values()))
        files = {"all": file}
        parts = read_npz(file, _params(_row_shape(file), shape))
    else:
        parts = {split: _read_csv(file, shape) for split, file in files.items()}
    if len({part.inputs.shape[1:] for part in parts.values()}) > 1:
        raise CogmentError(f"{path}: train and test grids differ in size")
    named = "test" in parts and "train" in parts
    tested = parts["test"] if named else None
    if named and "validation" not in parts:
        parts["train"], parts["validation"] = _carve(parts["train"])
    splits, dropped = assign(parts, {}, Draws(seed, 0, TASK))
    if tested is not None:
        splits["test"] = tested  # in the file's order, repeated items and all
    kind = kind_of(splits["train"])
    return Puzzles(splits, kind, sources(path, files, {"licence": "your own"}), dropped)


def write_puzzles(puzzles: Puzzles, stage: dict, out: Path) -> None:
    """Write `out` as `data prepare` does: arrays of train and validation, manifest last.

    `stage` is the StageConfig as dict: it says which augmentations the manifest allows.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept = {**puzzles.splits, "test": _distinct(puzzles.splits["test"])}
    for split, items in kept.items():
        for what in ("inputs", "targets", "difficulty", "item", "group"):
            write_array(out / f"{TASK}.{split}.{what}.npy", getattr(items, what))
    leaks = task_leaks(out, TASK)
    refuse_leaks(0, leaks)
    entry = {
        "corpus": "own",
        "kind": "grid",
        "layout": "grid",
        "task_id": TASK_IDS["grids"],
        "weight": 1.0,
        "batch_size": None,
        "metric": "grid_exact",
        "puzzle": puzzles.kind,
        "augmenter": {"kind": "own", "labels": labels(puzzles)},
        "splits": {name: {"items": len(items), "dropped": {}} for name, items in kept.items()},
        "sources": puzzles.files,
        "dropped": puzzles.dropped,
        "split_by": "question",
    }
    write_manifest(out, 0, {TASK: entry}, leaks, augmentation_entry(stage))


def check_augmentation(puzzles: Puzzles, types: tuple[str, ...]) -> None:
    """Raise CogmentError where a symmetry does not keep the answers right, as far as data shows."""
    height, width = puzzles.shape
    if {"dihedral", "bands"} & set(types) and height != width:
        raise CogmentError(f"--augment: grids of {height} x {width} have no square symmetries")
    if "relabel" in types and not puzzles.latin:
        raise CogmentError(
            "--augment relabel: the answers are no Latin squares, so symbols have meanings of "
            "their own; leave it out"
        )
    if "bands" in types and not puzzles.boxes:
        raise CogmentError(
            "--augment bands: the answers are no Sudokus of 4x4, 6x6 or 9x9, whose rows may "
            "trade places; leave it out"
        )


def labels(puzzles: Puzzles) -> list[int]:
    """Symbols that may trade names: those of a Latin square's answers, else none."""
    return np.unique(puzzles.splits["train"].targets).tolist() if puzzles.latin else []


def kind_of(items: GridSplit) -> str:
    """`sudoku` and `maze` where the cells are coded as in `puzzle_text.OWN`, else `values`."""
    side = items.targets.shape[1]
    if is_latin(items.targets) and side in BOX_SHAPE:
        digits = np.arange(2, side + 2)
        if (
            np.array_equal(np.unique(items.targets), digits)
            and np.isin(items.inputs, [1, *digits]).all()
        ):
            return "sudoku"
    x, y = items.inputs, items.targets
    one = [(x == end).sum(axis=(1, 2)) for end in (START, GOAL)]
    drawn = (x == OPEN) & (y == PATH)
    if x.max() <= PATH and all((count == 1).all() for count in one) and ((x == y) | drawn).all():
        return "maze"
    return "values"


def is_latin(targets: np.ndarray) -> bool:
    """Whether in all of (N, S, S) every row and column holds the same S symbols once each."""
    _, height, width = targets.shape
    names = np.unique(targets)
    if height != width or height < 2 or len(names) != height or STORED_IGNORE in names:
        return False
    return all((np.sort(targets, axis=axis) == names.reshape(form)).all() for axis, form in _LINES)


_LINES = ((2, (1, 1, -1)), (1, (1, -1, 1)))


def has_boxes(targets: np.ndarray) -> bool:
    """Whether in Latin (N, S, S) every Sudoku box holds each symbol once."""
    side = targets.shape[1]
    if side not in BOX_SHAPE:
        return False
    high, wide = BOX_SHAPE[side]
    boxes = targets.reshape(-1, side // high, high, side // wide, wide).transpose(0, 1, 3, 2, 4)
    boxes = np.sort(boxes.reshape(-1, side), axis=1)
    return bool((boxes == np.unique(targets)).all())


def _carve(train: GridSplit) -> tuple[GridSplit, GridSplit]:
    """Training without, and a validation split of, the items with the smallest hashes."""
    share, most = VALIDATION
    count = min(most, max(1, int(share * len(train))))
    order = np.argsort(mix(train.group), kind="stable")
    return train.take(np.sort(order[count:])), train.take(np.sort(order[:count]))


def _distinct(items: GridSplit) -> GridSplit:
    _, first = np.unique(items.item, return_index=True)
    return items.take(np.sort(first))


def _row_shape(file: Path) -> tuple[int, ...]:
    """Shape of one item of x_train; () where `read_npz` will say what is wrong."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return arrays["x_train"].shape[1:]
    except (OSError, ValueError, EOFError, KeyError):
        return ()


def _params(found: tuple[int, ...], shape: tuple[int, int] | None) -> OwnGridParams:
    if shape is None and len(found) == 1:
        side = math.isqrt(found[0])
        shape = (side, side) if side * side == found[0] else None
    height, width = shape or (None, None)
    return OwnGridParams(height=height, width=width)


def _read_csv(file: Path, shape: tuple[int, int] | None) -> GridSplit:
    """Sudoku strings, maze drawings in one line, or numbers."""
    rows = [(line, values) for line, values in csv_rows(file, ("question", "answer"))]
    texts = [text for _, values in rows for text in values]
    if not texts:
        raise CogmentError(f"{file}: no puzzle")
    if all("S" in question and "G" in question for _, (question, _) in rows):
        return _coded(rows, "maze", file)
    if all(set(text) <= set("0123456789.") and sudoku_side(text) for text in texts):
        return _coded(rows, "sudoku", file)
    if any("." in text for text in texts):
        raise CogmentError(f"{file}: a Sudoku has 16, 36 or 81 cells of digits up to its side")
    cells = len(texts[0].split()) if " " in texts[0].strip() else len(texts[0].strip())
    return read_csv(file, _params((cells,), shape))


def _coded(rows: list[tuple[int, list[str]]], kind: str, file: Path) -> GridSplit:
    grids: list[list[np.ndarray]] = [[], []]
    for line, values in rows:
        for made, text in zip(grids, values, strict=True):
            where = f"{file}, line {line}"
            try:
                lines = maze_rows(text) if kind == "maze" else [text]
            except CogmentError as error:
                raise CogmentError(f"{where}: {error}") from None
            made.append(encode(lines, OWN[kind], where))
        if grids[0][-1].shape != grids[1][-1].shape or grids[0][-1].shape != grids[0][0].shape:
            raise CogmentError(f"{where}: all puzzles and answers of a file must have equal sizes")
    x, y = (np.stack(made).reshape(len(rows), *_square(made[0])) for made in grids)
    return grid_items(x, y, OwnGridParams(), str(file))


def _square(grid: np.ndarray) -> tuple[int, int]:
    if grid.shape[0] > 1:
        return grid.shape
    side = math.isqrt(grid.shape[1])
    return side, side
