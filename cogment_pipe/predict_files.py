"""`predict` on a file of grids: into a file in the shape of its answers, or printed one by one."""

from __future__ import annotations

import json
import logging
import math
import sys
import zipfile
from pathlib import Path

import numpy as np

from cogment_pipe.data.puzzle_text import BUILT_IN, OWN, decode
from cogment_pipe.data.storage import write_array
from cogment_pipe.errors import CogmentError
from cogment_pipe.predict_model import Model, Request
from cogment_pipe.puzzle_show import Picture, as_text, plain, short

log = logging.getLogger(__name__)

BATCH = 250


def solve_file(request: Request, model: Model, file: Path) -> None:
    """All grids of a .npz; into --out in the shape of its y, else printed one by one."""
    given, shape = read_grids(file, model.grid)
    kind, symbols = "grids", np.arange(256)
    if model.puzzle is None:
        kind, symbols = _built_in(given, file)
    parts = [
        model.solve(request, symbols[given[start : start + BATCH]], kind)
        for start in range(0, len(given), BATCH)
    ]
    back = np.zeros(256, dtype=np.int64)
    back[symbols] = np.arange(256)
    grids = np.concatenate([back[part.grid] for part in parts])
    if request.out is not None:
        write_array(request.out, grids.reshape(shape).astype(np.int64))
        log.info("%d answers in %s", len(grids), request.out)
        return
    alphabet = OWN.get(model.puzzle if model.puzzle else kind)
    shown = "values" if alphabet is None else model.puzzle or kind
    confidence = np.concatenate([part.confidence for part in parts])
    for question, grid, trust in zip(given, grids, confidence, strict=True):
        cells = decode(grid, alphabet)
        if request.json:
            print(json.dumps({"answer": plain(shown, cells), "confidence": short(trust)}))
        else:
            picture = Picture("", cells, decode(question, alphabet))
            print(as_text(shown, picture, sys.stdout.isatty()), end="\n\n")


def read_grids(file: Path, grid: tuple[int, int] | None) -> tuple[np.ndarray, tuple[int, ...]]:
    """(N, H, W) questions of a .npz and the shape that its answers have.

    Rows of numbers get the shape `grid` where it fits, else they are squares, if they can be.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            names = [name for name in ("x_test", "x_train", "x") if name in arrays.files]
            if not names:
                raise CogmentError(f"{file}: no array x_test; it has {', '.join(arrays.files)}")
            x = arrays[names[0]]
            y = names[0].replace("x", "y", 1)
            shape = arrays[y].shape if y in arrays.files else x.shape
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CogmentError(f"{file}: not a readable .npz ({error})") from None
    if x.dtype.kind not in "iu" or x.ndim not in (2, 3) or not x.size:
        raise CogmentError(f"{file}: {names[0]} is {x.dtype} {x.shape}, not grids of whole numbers")
    if x.min() < 0 or x.max() > 63 or shape[0] != x.shape[0]:
        raise CogmentError(f"{file}: {names[0]} must lie in 0..63 and have as many rows as {y}")
    if x.ndim == 2:
        side = math.isqrt(x.shape[1])
        square = (side, side) if side * side == x.shape[1] else (1, x.shape[1])
        x = x.reshape(len(x), *(grid if grid and math.prod(grid) == x.shape[1] else square))
    if int(np.prod(x.shape)) != int(np.prod(shape)):
        raise CogmentError(f"{file}: {names[0]} and {y} differ in their number of cells")
    return x, shape


def _built_in(grids: np.ndarray, file: Path) -> tuple[str, np.ndarray]:
    """(task, symbols): what own grids are in a model of the pipeline's, and (256,) their symbols.

    A permutation, so that answers can be turned back.
    """
    side = grids.shape[1]
    if grids.shape[1] == grids.shape[2] and side in (4, 6, 9) and grids.min() >= 1:
        kind = "sudoku" if grids.max() <= side + 1 and (grids == 1).any() else ""
    else:
        kind = ""
    ends = [(grids == OWN["maze"][end]).sum(axis=(1, 2)) for end in "SG"]
    if not kind and grids.max() <= 4 and all((count == 1).all() for count in ends):
        kind = "maze"
    if not kind:
        raise CogmentError(
            f"{file}: neither Sudoku (1 blank, digits from 2) nor mazes (1 wall, 2 open, 3 start, "
            "4 goal); models of the pipeline know no other grids"
        )
    symbols = np.arange(256)
    for character, own in OWN[kind].items():
        here = int(np.flatnonzero(symbols == BUILT_IN[kind][character])[0])
        symbols[[own, here]] = symbols[[here, own]]
    return kind, symbols
