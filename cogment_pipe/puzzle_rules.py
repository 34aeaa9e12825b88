"""Whether an answer keeps the rules of its puzzle: what `predict` can say without knowing it.

Sudokus and mazes only; cells are characters, as `data.puzzle_text` reads and writes them.
"""

from __future__ import annotations

from collections import deque

Cells = list[list[str]]
BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}  # rows and columns of a box


def solves(kind: str, given: Cells, answer: Cells) -> bool | None:
    """True where `answer` solves `given`; None for puzzles whose rules are not known here."""
    if kind == "sudoku" and len(given) in BOXES:
        return _sudoku(given, answer)
    if kind == "maze":
        return _maze(given, answer)
    return None


def _sudoku(given: Cells, answer: Cells) -> bool:
    side = len(given)
    high, wide = BOXES[side]
    digits = {str(digit) for digit in range(1, side + 1)}
    places = [(row, column) for row in range(side) for column in range(side)]
    kept = all(given[r][c] in (".", answer[r][c]) for r, c in places)
    boxes: dict[tuple[int, int], set[str]] = {}
    for r, c in places:
        boxes.setdefault((r // high, c // wide), set()).add(answer[r][c])
    units = [set(row) for row in answer] + [set(column) for column in zip(*answer, strict=True)]
    return kept and all(unit == digits for unit in [*units, *boxes.values()])


def _maze(given: Cells, answer: Cells) -> bool:
    """The marked cells are one shortest way, and nothing else has changed."""
    pairs = [pair for rows in zip(given, answer, strict=True) for pair in zip(*rows, strict=True)]
    if any(now != old and (old, now) != (" ", "o") for old, now in pairs):
        return False
    marked = sum(now == "o" for _, now in pairs)
    shortest = _moves(given, " SGo")
    return shortest is not None and _moves(answer, "SGo") == shortest == marked + 1


def _moves(cells: Cells, free: str) -> int | None:
    """Moves from S to G over `free` cells, by breadth-first search."""
    places = {(r, c): cell for r, row in enumerate(cells) for c, cell in enumerate(row)}
    start = next((place for place, cell in places.items() if cell == "S"), None)
    if start is None:
        return None
    seen, waiting = {start: 0}, deque([start])
    while waiting:
        r, c = waiting.popleft()
        if places[r, c] == "G":
            return seen[r, c]
        for after in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if places.get(after, "#") in free and after not in seen:
                seen[after] = seen[r, c] + 1
                waiting.append(after)
    return None
