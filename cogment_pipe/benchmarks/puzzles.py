"""What `fit` solves of unseen puzzles after so many seconds of training, seed by seed.

The puzzles come from the pipeline's generators, in the file format of `fit`, so a run here is what
a user gets from the same command on puzzles of their own.
"""

from __future__ import annotations

import io
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from cogment_pipe.atomic import sha256_file, write_bytes, write_json
from cogment_pipe.data.generators import Draws, GridSplit, maze, parse_params, sudoku
from cogment_pipe.data.puzzle_text import BUILT_IN, OWN
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import write_manifest
from cogment_pipe.report.artifacts import read_json

GENERATORS = {
    "sudoku": (sudoku.SudokuParams, sudoku.generate),
    "maze": (maze.MazeParams, maze.generate),
}


def write_puzzles(slice: dict[str, Any], out: Path) -> None:
    """An .npz of training and test puzzles, split as in a stage: by symmetry class, by walls."""
    kind, name = slice["generator"], slice["task"]
    model, generate = GENERATORS[kind]
    params = parse_params(model, slice["params"], stage=0, task=name)
    counts = {split: slice[split] for split in ("train", "test")}
    made = generate(params, counts, Draws(slice["seed"], 0, name))
    arrays = {}
    for split, items in made.items():
        arrays[f"x_{split}"], arrays[f"y_{split}"] = _as_own(items, kind)
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_bytes(out, file.getvalue())


def summarise(runs: list[Path], budgets: dict[str, dict[str, float]], out: Path) -> dict[str, Any]:
    """Table over the fit.json of all runs, in folders TASK-SECONDSs-seedN; returns it."""
    found: dict[tuple[str, str], list[dict]] = {}
    for path in runs:
        task, seconds, _ = path.parent.name.rsplit("-", 2)
        record = read_json(path)
        if "test" not in record:
            raise CogmentError(f"{path}: the run has not ended; run it again")
        found.setdefault((task, seconds[:-1]), []).append(record)
    rows = [_row(place, records, budgets) for place, records in found.items()]
    content = {
        "title": "Puzzles that `fit` solves after so many seconds",
        "reached": all(row["reached"] for row in rows),
        "rows": rows,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "table.json", content)
    inputs = {str(path): sha256_file(path) for path in runs}
    write_manifest(out, {"slice": budgets, "inputs": inputs}, ["table.json"])
    return content


def _row(place: tuple[str, str], records: list[dict], budgets: dict) -> dict[str, Any]:
    task, seconds = place
    exact = [record["test"]["exact"] for record in records]
    wanted = budgets[task][seconds]
    return {
        "task": task,
        "seconds": int(seconds),
        "exact": " / ".join(f"{value:.3f}" for value in exact),
        "least": min(exact),
        "median": statistics.median(exact),
        "wanted": wanted,
        "reached": min(exact) >= wanted,
        "items": records[0]["test"]["items"],
        "refinement_steps": records[0]["test"]["refinement_steps"],
        "threads": records[0]["asked"]["threads"],
        "training_seconds": " / ".join(f"{record['train_seconds']:.1f}" for record in records),
        "updates": " / ".join(str(record["steps"]) for record in records),
    }


def _as_own(items: GridSplit, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Questions and answers (N, H, W) in the symbols of own files; an unscored answer is 0."""
    table = np.zeros(256, dtype=np.uint8)
    for character, symbol in BUILT_IN[kind].items():
        table[symbol] = OWN[kind][character]
    return table[items.inputs], table[items.targets]
