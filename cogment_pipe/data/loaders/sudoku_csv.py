"""Sudoku-Extreme's CSV: `source,question,answer,rating`, 81 digits, `.` or 0 for a blank.

Also tdoku's lists, one puzzle a line without an answer: those are solved here.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from cogment_pipe.data.generators import Draws, GridSplit, hash_rows
from cogment_pipe.data.generators.sudoku_group import group_hash
from cogment_pipe.data.generators.sudoku_solver import BOX_SHAPE, board, candidates, solve
from cogment_pipe.data.loaders.grid_files import (
    Loaded,
    assign,
    csv_rows,
    data_files,
    sources,
    text_lines,
)
from cogment_pipe.data.symbols import BLANK, DIGIT0
from cogment_pipe.errors import CogmentError

HINT = "get it from huggingface.co/datasets/sapientinc/sudoku-extreme (train.csv, test.csv)"
CHUNK = 4096
LARGEST_RATING = 1e9  # float32 holds it
NOTES = {"split_by": "class"}


def load(corpus: dict, wanted: dict[str, int | None], draws: Draws) -> Loaded:
    """Puzzles of a folder or file; groups are symmetry classes of the solutions."""
    path = Path(corpus["path"])
    listed = path.is_file() and path.suffix != ".csv"
    files = {"all": path} if listed else data_files(path, ".csv", "sudoku_extreme", HINT)
    found = {s: read_list(file) if listed else read(file) for s, file in files.items()}
    splits, dropped = assign(found, wanted, draws)
    return Loaded(splits, sources(corpus["path"], files, corpus), dropped)


def read(file: Path) -> GridSplit:
    """Every puzzle of one CSV. Raises CogmentError naming file and line."""
    questions, answers, ratings = [], [], []
    for line, (question, answer, rating) in csv_rows(file, ("question", "answer", "rating")):
        where = f"{file}, line {line}"
        side = math.isqrt(len(question))
        if side * side != len(question) or side not in BOX_SHAPE or len(answer) != len(question):
            raise CogmentError(f"{where}: question and answer must both have 16, 36 or 81 cells")
        if questions and len(questions[0]) != len(question):
            raise CogmentError(f"{where}: {len(question)} cells, but the first row has others")
        questions.append(_digits(question.replace(".", "0"), side, f"{where}, question"))
        answers.append(_digits(answer, side, f"{where}, answer"))
        ratings.append(_rating(rating, where))
    if not questions:
        raise CogmentError(f"{file}: no puzzle")
    return _items(file, np.array(questions), np.array(answers), np.array(ratings, np.float32))


def read_list(file: Path) -> GridSplit:
    """Puzzles of a tdoku list, with the first solution of each; rating = dead ends of our search.

    Lines that begin with # are comments. Raises CogmentError naming file and line.
    """
    puzzles, places = [], []
    for line, text in text_lines(file):
        where = f"{file}, line {line}"
        if not text or text.startswith("#"):
            continue
        if len(text) != 81:
            raise CogmentError(f"{where}: a puzzle has 81 cells, not {len(text)}")
        puzzles.append(_digits(text.replace(".", "0"), 9, where))
        places.append(line)
    if not puzzles:
        raise CogmentError(f"{file}: no puzzle")
    given = np.array(puzzles, dtype=np.uint8)
    solved = solve(candidates(given, 9), 9)
    if not solved.found.all():
        line = places[int(np.argmin(solved.found))]
        raise CogmentError(f"{file}, line {line}: the puzzle has no solution")
    return _items(file, given, solved.solution, solved.backtracks.astype(np.float32))


def _digits(text: str, side: int, where: str) -> list[int]:
    if not text.isascii() or not text.isdigit() or int(max(text)) > side:
        raise CogmentError(f"{where}: only digits up to {side} (and . for a blank) are allowed")
    return [int(digit) for digit in text]


def _rating(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST_RATING:
        raise CogmentError(
            f"{where}: rating {text[:20]!r} is not a number up to {LARGEST_RATING:g}"
        )
    return value


def _items(file: Path, puzzles: np.ndarray, answers: np.ndarray, rating: np.ndarray) -> GridSplit:
    side = math.isqrt(puzzles.shape[1])
    units = np.sort(answers[:, board(side).units], axis=2)  # (N, units, side)
    wrong = (units != np.arange(1, side + 1)).any(axis=(1, 2))
    wrong |= ((puzzles != answers) & (puzzles > 0)).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise CogmentError(f"{file}, puzzle {row + 1}: the answer does not solve the question")
    groups = [group_hash(answers[i : i + CHUNK], "class") for i in range(0, len(answers), CHUNK)]
    return GridSplit(
        np.where(puzzles > 0, puzzles + DIGIT0, BLANK).astype(np.uint8).reshape(-1, side, side),
        (answers + DIGIT0).astype(np.uint8).reshape(-1, side, side),
        rating,
        hash_rows(puzzles),
        np.concatenate(groups),
    )
