"""The cell alphabet of every built-in grid task, and how a grid is printed.

A cell holds one symbol below `N_SYMBOLS`; 0 is padding. Users' own grids keep their own values,
which therefore must lie in 0..63 and mean what their files say.
"""

from __future__ import annotations

import numpy as np

PAD = 0
DIGIT0 = 1
BLANK = 11
OUT = 12
WALL = 13
OPEN = 14
START = 15
GOAL = 16
PATH = 17
OP_MIN = 18
OP_MAX = 19
OP_MED = 20
OP_SM = 21
CLOSE = 22
QUERY = 23
SEP = 24
EQUALS = 25

N_SYMBOLS = 64
IGNORE = -100
STORED_IGNORE = 255

GLYPHS = {
    PAD: "·",
    BLANK: ".",
    OUT: " ",
    WALL: "#",
    OPEN: " ",
    START: "S",
    GOAL: "G",
    PATH: "o",
    OP_MIN: "[MIN",
    OP_MAX: "[MAX",
    OP_MED: "[MED",
    OP_SM: "[SM",
    CLOSE: "]",
    QUERY: "?",
    SEP: "|",
    EQUALS: "=",
    **{DIGIT0 + d: str(d) for d in range(10)},
}


def digit(value: int | np.ndarray) -> int | np.ndarray:
    """Symbol of a digit or colour 0..9."""
    return value + DIGIT0


def is_digit(symbols: np.ndarray) -> np.ndarray:
    """True where a symbol is a digit or colour."""
    return (symbols >= DIGIT0) & (symbols < DIGIT0 + 10)


def render(grid: np.ndarray) -> str:
    """A grid (H, W) as text, one row a line; words (ListOps) are set apart by blanks."""
    rows = [[GLYPHS.get(int(s), f"<{int(s)}>") for s in row] for row in np.asarray(grid)]
    wide = any(len(glyph) > 1 for row in rows for glyph in row)
    return "\n".join((" " if wide else "").join(row) for row in rows)
