"""Users' own puzzles: .npz with x_train, y_train, x_test, y_test, or CSV `question,answer`.

Values 0..63 are symbols as they are; 0 is padding, so a puzzle that uses 0 gives `offset: 1`.
Where the answer is -1 or (after the offset) 0, a cell is not scored.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from pydantic import Field

from cogment_pipe.data.generators import Draws, GridSplit, Params, hash_rows
from cogment_pipe.data.loaders.grid_files import Loaded, assign, csv_rows, data_files, sources
from cogment_pipe.data.symbols import N_SYMBOLS, STORED_IGNORE
from cogment_pipe.errors import CogmentError

HINT = "write x_train, y_train, x_test, y_test with numpy.savez, or a CSV `question,answer`"
KEYS = ("x_train", "y_train", "x_test", "y_test")
NOTES = {"split_by": "question"}


class OwnGridParams(Params):
    """Where the grids are and how rows of N values become H x W."""

    path: str | None = Field(None, description="relative to the project; or by corpora")
    height: int | None = Field(
        None,
        ge=1,
        le=64,
        description="rows of a grid; null: as the array says, one where it is flat",
    )
    width: int | None = Field(None, ge=1, description="columns; null: what is left")
    offset: int = Field(0, ge=0, le=63, description="number that is added to every value")


def load(
    corpus: dict, wanted: dict[str, int | None], draws: Draws, params: OwnGridParams
) -> Loaded:
    """Grids of one file, or of a folder with train and test files."""
    path = Path(corpus["path"])
    if path.suffix == ".npz":
        files = data_files(path, ".npz", "grids", HINT)
        files = {"all": next(iter(files.values()))}
        parts = read_npz(path, params)
    else:
        files = data_files(path, ".csv", "grids", HINT)
        parts = {split: read_csv(file, params) for split, file in files.items()}
    if len({part.inputs.shape[1:] for part in parts.values()}) > 1:
        raise CogmentError(f"{path}: train and test grids differ in size")
    splits, dropped = assign(parts, wanted, draws)
    return Loaded(splits, sources(path, files, corpus), dropped)


def read_npz(file: Path, params: OwnGridParams) -> dict[str, GridSplit]:
    """Train and test of one .npz. Raises CogmentError naming file and array."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            missing = [key for key in KEYS if key not in arrays.files]
            if missing:
                raise CogmentError(f"{file}: no array {missing[0]!r}; needs {', '.join(KEYS)}")
            held = {key: arrays[key] for key in KEYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CogmentError(f"{file}: not a readable .npz ({error})") from None
    return {
        split: grid_items(held[f"x_{split}"], held[f"y_{split}"], params, f"{file}, {split}")
        for split in ("train", "test")
    }


def read_csv(file: Path, params: OwnGridParams) -> GridSplit:
    """One CSV `question,answer`: one digit a cell, or whole numbers set apart by blanks."""
    questions, answers = [], []
    for line, (question, answer) in csv_rows(file, ("question", "answer")):
        where = f"{file}, line {line}"
        given, wanted = _numbers(question, where), _numbers(answer, where)
        if len(given) != len(wanted) or (questions and len(given) != len(questions[0])):
            raise CogmentError(f"{where}: {len(given)} and {len(wanted)} cells; all must be equal")
        questions.append(given)
        answers.append(wanted)
    if not questions:
        raise CogmentError(f"{file}: no puzzle")
    return grid_items(np.array(questions), np.array(answers), params, str(file))


def _numbers(text: str, where: str) -> list[int]:
    words = text.split() if " " in text.strip() else list(text.strip())
    try:
        return [int(word) for word in words]
    except ValueError:
        raise CogmentError(f"{where}: {text[:20]!r} is not digits or whole numbers") from None


def grid_items(x: np.ndarray, y: np.ndarray, params: OwnGridParams, where: str) -> GridSplit:
    """Questions and answers, (N, H, W) or (N, L) whole numbers, as items; checked."""
    if x.shape != y.shape or x.ndim not in (2, 3) or not len(x):
        raise CogmentError(
            f"{where}: questions {x.shape} and answers {y.shape} must be equal, (N, H, W) or (N, L)"
        )
    for name, array, least in (("question", x, 0), ("answer", y, -1)):
        if array.dtype.kind not in "iu":
            raise CogmentError(f"{where}: {name}s are {array.dtype}, not whole numbers")
        if array.min() < least or int(array.max()) + params.offset >= N_SYMBOLS:
            raise CogmentError(
                f"{where}: {name}s must lie in {least}..{N_SYMBOLS - 1 - params.offset}, "
                f"not {array.min()}..{array.max()}"
            )
    height, width = _shape(x.shape[1:], params, where)
    inputs = (x.astype(np.int64) + params.offset).reshape(-1, height, width).astype(np.uint8)
    wanted = np.where(y < 0, 0, y.astype(np.int64) + params.offset)
    targets = np.where(wanted == 0, STORED_IGNORE, wanted).reshape(-1, height, width)
    scored = (targets != STORED_IGNORE).sum(axis=(1, 2))
    if not scored.all():
        raise CogmentError(f"{where}: item {int(np.argmin(scored)) + 1} has no answer cell")
    item = hash_rows(inputs)
    difficulty = np.count_nonzero((inputs != targets) & (targets != STORED_IGNORE), axis=(1, 2))
    return GridSplit(inputs, targets.astype(np.uint8), difficulty.astype(np.float32), item, item)


def _shape(found: tuple[int, ...], params: OwnGridParams, where: str) -> tuple[int, int]:
    cells = int(np.prod(found))
    height = params.height or (found[0] if len(found) == 2 else 1)
    width = params.width or cells // height
    if height * width != cells:
        raise CogmentError(f"{where}: {cells} cells are not {height} x {width}")
    return height, width
