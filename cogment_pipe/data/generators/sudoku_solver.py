"""A Sudoku solver that works on many boards at once, with numpy.

A board is a row of candidate bit masks, bit d for digit d. Propagation (naked singles, and hidden
singles unless switched off) and a depth-first search run in lock step over all boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BOX_SHAPE = {4: (2, 2), 6: (2, 3), 9: (3, 3)}


@dataclass(frozen=True)
class Board:
    """Geometry of one size: which cells make up a unit and which units hold a cell."""

    side: int
    units: np.ndarray  # (3 * side, side) cells
    cell_units: np.ndarray  # (side * side, 3) units

    @property
    def full(self) -> int:
        """Mask with every digit possible."""
        return (1 << self.side) - 1


@lru_cache(maxsize=8)
def board(side: int) -> Board:
    """The geometry of 4x4, 6x6 (boxes of 2 rows x 3 columns) or 9x9."""
    high, wide = BOX_SHAPE[side]
    cells = np.arange(side * side).reshape(side, side)
    boxes = cells.reshape(side // high, high, side // wide, wide).transpose(0, 2, 1, 3)
    units = np.concatenate([cells, cells.T, boxes.reshape(side, side)])
    order = np.argsort(units.ravel(), kind="stable")
    return Board(side, units, (order // side).reshape(side * side, 3))


def candidates(puzzles: np.ndarray, side: int) -> np.ndarray:
    """(N, cells) digits 1..side, 0 = blank -> (N, cells) uint16 masks."""
    given = np.left_shift(np.uint16(1), np.maximum(puzzles, 1).astype(np.uint16) - np.uint16(1))
    return np.where(puzzles > 0, given, np.uint16(board(side).full)).astype(np.uint16)


def digits(masks: np.ndarray) -> np.ndarray:
    """Masks of one bit -> digits 1..side, uint8."""
    return (np.bitwise_count(masks - np.uint16(1)) + 1).astype(np.uint8)


def propagate(masks: np.ndarray, side: int, hidden: bool) -> tuple[np.ndarray, np.ndarray]:
    """Apply singles until nothing changes: (N, cells) masks -> new masks, (N,) still possible."""
    masks = masks.copy()
    possible = np.ones(len(masks), dtype=bool)
    rows = np.arange(len(masks))
    while len(rows):
        now = masks[rows]
        new, alive = _round(now, board(side), hidden)
        masks[rows] = new
        possible[rows] = alive
        rows = rows[alive & (new != now).any(axis=1)]
    return masks, possible


def _round(masks: np.ndarray, shape: Board, hidden: bool) -> tuple[np.ndarray, np.ndarray]:
    single = (masks & (masks - np.uint16(1))) == 0
    fixed = np.where(single, masks, np.uint16(0))[:, shape.units]  # (N, units, side)
    union = np.bitwise_or.reduce(fixed, axis=2)
    alive = (fixed.sum(axis=2, dtype=np.uint16) == union).all(axis=1)  # no digit twice in a unit
    taken = np.bitwise_or.reduce(union[:, shape.cell_units], axis=2)  # (N, cells)
    masks = np.where(single, masks, masks & ~taken)
    alive &= (masks != 0).all(axis=1)
    if not hidden:
        return masks, alive
    within = masks[:, shape.units]
    once = np.zeros_like(union)
    twice = np.zeros_like(union)
    for place in range(shape.side):
        twice |= once & within[:, :, place]
        once |= within[:, :, place]
    alive &= (once == shape.full).all(axis=1)
    only = np.bitwise_or.reduce((once & ~twice)[:, shape.cell_units], axis=2) & masks
    return np.where(only != 0, only, masks), alive


@dataclass
class Search:
    """What a search found for each board."""

    solution: np.ndarray  # (N, cells) uint8 digits, 0 where there is no solution
    found: np.ndarray  # (N,) bool
    backtracks: np.ndarray  # (N,) dead ends met before the solution


def solve(
    masks: np.ndarray, side: int, *, hidden: bool = True, rng: np.random.Generator | None = None
) -> Search:
    """First solution of each board by depth-first search.

    Branches on the cell with the fewest candidates (first in reading order), trying the smallest
    digit first, or with `rng` a random one. (N, cells) masks -> Search.
    """
    n, cells = masks.shape
    result = Search(np.zeros((n, cells), np.uint8), np.zeros(n, bool), np.zeros(n, np.int64))
    stack = np.zeros((n, cells + 1, cells), dtype=np.uint16)
    stack[:, 0] = masks
    top = np.zeros(n, dtype=np.int64)
    active = np.arange(n)
    while len(active):
        now, alive = propagate(stack[active, top[active]], side, hidden)
        count = np.bitwise_count(now)
        solved = alive & (count == 1).all(axis=1)
        result.solution[active[solved]] = digits(now[solved])
        result.found[active[solved]] = True
        dead = active[~alive]
        result.backtracks[dead] += 1
        top[dead] -= 1
        branch = alive & ~solved
        _branch(stack, top, active[branch], now[branch], count[branch], rng)
        active = active[~solved & (top[active] >= 0)]
    return result


def _branch(
    stack: np.ndarray,
    top: np.ndarray,
    boards: np.ndarray,
    masks: np.ndarray,
    count: np.ndarray,
    rng: np.random.Generator | None,
) -> None:
    rows = np.arange(len(boards))
    cell = np.argmin(np.where(count == 1, 99, count), axis=1)
    choices = masks[rows, cell]
    pick = choices & (~choices + np.uint16(1))  # lowest bit
    if rng is not None:
        bits = (choices[:, None] >> np.arange(16, dtype=np.uint16)) & 1
        best = np.argmax(rng.random(bits.shape) * bits, axis=1)
        pick = np.left_shift(np.uint16(1), best.astype(np.uint16))
    masks[rows, cell] = choices & ~pick
    stack[boards, top[boards]] = masks
    top[boards] += 1
    masks[rows, cell] = pick
    stack[boards, top[boards]] = masks


def random_solutions(side: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, cells) uint8 solved boards, searched from empty ones with random digits."""
    first = np.argsort(rng.random((n, side)), axis=1) + 1
    puzzles = np.zeros((n, side * side), dtype=np.uint8)
    puzzles[:, :side] = first
    return solve(candidates(puzzles, side), side, rng=rng).solution


def count_is_one(puzzles: np.ndarray, side: int) -> np.ndarray:
    """(N, cells) puzzles -> (N,) bool: exactly one solution, since no other digit has one."""
    found = solve(candidates(puzzles, side), side)
    unique = found.found.copy()
    for row in np.flatnonzero(unique):
        blanks = np.flatnonzero(puzzles[row] == 0)
        masks = np.repeat(candidates(puzzles[row : row + 1], side), len(blanks), axis=0)
        masks[np.arange(len(blanks)), blanks] &= ~np.left_shift(
            np.uint16(1), found.solution[row, blanks].astype(np.uint16) - np.uint16(1)
        )
        unique[row] = not solve(masks, side).found.any()
    return unique


def plain_backtracks(puzzle: list[int], side: int) -> int:
    """Dead ends of the simplest search: cells in reading order, smallest digit first.

    Rates small boards, which propagation solves without a guess.
    """
    shape = board(side)
    used = [0] * len(shape.units)
    units = shape.cell_units.tolist()
    blanks = [cell for cell, digit in enumerate(puzzle) if not digit]
    for cell, digit in enumerate(puzzle):
        for unit in units[cell]:
            used[unit] |= 1 << digit >> 1
    dead = 0

    def fill(depth: int) -> bool:
        nonlocal dead
        if depth == len(blanks):
            return True
        a, b, c = units[blanks[depth]]
        free = shape.full & ~(used[a] | used[b] | used[c])
        while free:
            bit = free & -free
            free ^= bit
            used[a], used[b], used[c] = used[a] | bit, used[b] | bit, used[c] | bit
            if fill(depth + 1):
                return True
            used[a], used[b], used[c] = used[a] ^ bit, used[b] ^ bit, used[c] ^ bit
        dead += 1
        return False

    fill(0)
    return dead
