"""Puzzles as text: Sudoku strings, maze drawings, rows of numbers; in the symbols of a data set.

A person writes `.` and `#`; a model reads symbols. `ALPHABETS` says which symbol a character
stands for, in the built-in tasks and in own files (there 0 is padding, 1 a blank or a wall).
"""

from __future__ import annotations

import math

import numpy as np

from cogment_pipe.data.symbols import BLANK, DIGIT0, GOAL, OPEN, PATH, START, WALL
from cogment_pipe.errors import CogmentError

SUDOKU_SIDES = (4, 6, 9)
MAZE = "# SGo"
Alphabet = dict[str, int]

BUILT_IN: dict[str, Alphabet] = {
    "sudoku": {".": BLANK, "0": BLANK, **{str(d): DIGIT0 + d for d in range(1, 10)}},
    "maze": {"#": WALL, " ": OPEN, "S": START, "G": GOAL, "o": PATH},
}
OWN: dict[str, Alphabet] = {
    "sudoku": {".": 1, "0": 1, **{str(d): 1 + d for d in range(1, 10)}},
    "maze": {character: number for number, character in enumerate(MAZE, start=1)},
}


def kind_of_text(text: str) -> str:
    """`sudoku`, `maze`, `numbers` (rows of whole numbers), or "" for anything else."""
    flat = "".join(text.split())
    if flat and set(flat) <= set("0123456789.") and sudoku_side(flat) is not None:
        return "sudoku"
    if set(text) <= set(MAZE + "\r\n") and {"S", "G"} <= set(text):
        return "maze"
    words = text.split()
    if len(words) > 1 and all(word.isdecimal() for word in words):
        return "numbers"
    return ""


def sudoku_side(flat: str) -> int | None:
    """Side of a Sudoku written as one string, or None where it is none."""
    side = math.isqrt(len(flat))
    if side not in SUDOKU_SIDES or side * side != len(flat):
        return None
    digits = [int(c) for c in flat if c != "."]
    return side if all(digit <= side for digit in digits) else None


def parse_puzzle(text: str, kind: str, alphabet: Alphabet | None) -> np.ndarray:
    """(H, W) int64 symbols of a puzzle of this `kind`; CogmentError where rows do not fit."""
    if kind == "sudoku":
        flat = "".join(text.split())
        side = sudoku_side(flat)
        if side is None:
            raise CogmentError(
                f"a Sudoku has 16, 36 or 81 cells of digits up to its side and `.`; got {len(flat)}"
            )
        return encode([flat], alphabet, "the Sudoku").reshape(side, side)
    if kind == "maze":
        return encode(maze_rows(text), alphabet, "the maze")
    rows = [[int(word) for word in line.split()] for line in text.splitlines() if line.strip()]
    if len({len(row) for row in rows}) != 1:
        raise CogmentError("rows of numbers must be equally long")
    return np.array(rows, dtype=np.int64)


def maze_rows(text: str) -> list[str]:
    """Rows of a maze, equally long; one line of a square number of cells is cut into rows.

    Editors strip blanks from the ends of lines, so short rows are filled up with open cells.
    """
    rows = [line for line in text.splitlines() if line.strip()]
    if len(rows) == 1:
        side = math.isqrt(len(rows[0]))
        if side * side != len(rows[0]):
            raise CogmentError(f"a maze in one line needs a square number of cells: {len(rows[0])}")
        rows = [rows[0][i : i + side] for i in range(0, side * side, side)]
    width = max(len(row) for row in rows)
    rows = [row.ljust(width) for row in rows]
    flat = "".join(rows)
    if flat.count("S") != 1 or flat.count("G") != 1:
        raise CogmentError("a maze has exactly one S (start) and one G (goal)")
    return rows


def encode(rows: list[str], alphabet: Alphabet, where: str) -> np.ndarray:
    """Characters to symbols, (rows, width) int64."""
    strange = sorted(set("".join(rows)) - set(alphabet))
    if strange:
        known = "".join(alphabet)
        raise CogmentError(f"{where}: {strange[0]!r} is none of {known!r}")
    return np.array([[alphabet[c] for c in row] for row in rows], dtype=np.int64)


def decode(grid: np.ndarray, alphabet: Alphabet | None) -> list[list[str]]:
    """Symbols to what a person reads, cell by cell; numbers where there is no alphabet."""
    names = {symbol: character for character, symbol in reversed((alphabet or {}).items())}
    return [[names.get(int(s), "?" if alphabet else str(int(s))) for s in row] for row in grid]
