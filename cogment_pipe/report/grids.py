"""Puzzles drawn as grids: one small SVG for an input, a prediction or a solution.

Cells follow the pipeline's cell alphabet, written down here again since the report reads JSON only;
a test compares it with the data package's. Colours come from `report.css`.
"""

from __future__ import annotations

from itertools import groupby

from markupsafe import Markup, escape

Grid = list[list[int]]

PAD, DIGIT0, BLANK, OUT = 0, 1, 11, 12
WALL, OPEN, START, GOAL, PATH = 13, 14, 15, 16, 17
MIN, MAX, MED, SM, CLOSE = 18, 19, 20, 21, 22
QUERY, SEP, EQUALS = 23, 24, 25
WORDS = {
    **{DIGIT0 + digit: str(digit) for digit in range(10)},
    **{BLANK: "_", OUT: "·", WALL: "#", OPEN: ".", START: "S", GOAL: "G", PATH: "*"},
    **{MIN: "[MIN", MAX: "[MAX", MED: "[MED", SM: "[SM", CLOSE: "]"},
    **{QUERY: "?", SEP: "|", EQUALS: "="},
}
SHOWN_EMPTY = (PAD, BLANK, OUT, OPEN)
BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}  # side of a Sudoku -> rows, columns of a box


def is_grid(value: object) -> bool:
    """True for a non-empty list of equally long, non-empty rows of whole numbers."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(row, list) and row for row in value)
        and len({len(row) for row in value}) == 1
        and all(isinstance(cell, int) for row in value for cell in row)
    )


def family(task: str, grid: Grid, task_id: int | None = None) -> str:
    """How a task's cells are drawn: "arc", "maze", "sudoku", "words", "digits" or "values"."""
    symbols = {cell for row in grid for cell in row}
    if task_id == 14 or task == "grids":
        return "values"
    if task_id == 3 or task.startswith("arc"):
        return "arc"
    if symbols & {WALL, START, GOAL, PATH}:
        return "maze"
    if symbols & {MIN, MAX, MED, SM}:
        return "words"
    if task_id == 4 or "sudoku" in task:
        return "sudoku"
    return "digits"


def as_words(grid: Grid) -> str:
    """Cells as words in reading order, padding left out."""
    cells = [cell for row in grid for cell in row if cell > PAD]
    return " ".join(WORDS.get(cell, str(cell)) for cell in cells)


def cropped(grid: Grid) -> Grid:
    """Without the rows and columns at the bottom and right that hold padding or canvas only."""
    used = [[cell > PAD and cell != OUT for cell in row] for row in grid]
    height = max((number for number, row in enumerate(used, 1) if any(row)), default=1)
    width = max((number for row in used for number, cell in enumerate(row, 1) if cell), default=1)
    return [row[:width] for row in grid[:height]]


def filled(grid: Grid, given: Grid | None) -> Grid:
    """A target with the input's cells where it asks for nothing (ignored cells are negative)."""
    if given is None or _shape(given) != _shape(grid):
        return [[max(cell, PAD) for cell in row] for row in grid]
    return [
        [cell if cell >= 0 else below for cell, below in zip(row, under, strict=True)]
        for row, under in zip(grid, given, strict=True)
    ]


def asked_only(grid: Grid, gold: Grid, given: Grid) -> Grid:
    """An answer with the input's cells wherever the task asks for nothing."""
    if not _shape(grid) == _shape(gold) == _shape(given):
        return grid
    return [
        [cell if right > PAD else under for cell, right, under in zip(*rows, strict=True)]
        for rows in zip(grid, gold, given, strict=True)
    ]


def wrong_cells(grid: Grid, gold: Grid) -> int | None:
    """How many asked-for cells differ from the solution; None where the shapes differ."""
    if _shape(grid) != _shape(gold):
        return None
    return sum(
        cell != right
        for row, rights in zip(grid, gold, strict=True)
        for cell, right in zip(row, rights, strict=True)
        if right > PAD
    )


def draw(
    grid: Grid, kind: str, label: str, given: Grid | None = None, gold: Grid | None = None
) -> Markup:
    """One grid as an SVG element.

    Args:
        grid: symbols, rows of equal length.
        kind: what `family` said.
        label: what the drawing shows, for those who do not see it.
        given: the input; its cells are drawn as given, all others as answered.
        gold: the solution; cells that differ from it are marked.
    """
    given = given if given is not None and _shape(given) == _shape(grid) else None
    gold = gold if gold is not None and _shape(gold) == _shape(grid) else None
    shown = cropped(grid)
    height, width = len(shown), len(shown[0])
    side = _cell_size(kind, height, width)
    painter = {"arc": _arc, "maze": _maze}.get(kind, _text_cells)
    body = painter(shown, given, gold)
    rules = _rules(kind, height, width)
    return Markup(
        f'<svg class="grid {kind}" viewBox="-0.06 -0.06 {width + 0.12:.2f} {height + 0.12:.2f}" '
        f'width="{(width + 0.12) * side:.1f}" height="{(height + 0.12) * side:.1f}" role="img" '
        f'aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>{body}{rules}</svg>"
    )


def _shape(grid: Grid) -> tuple[int, int]:
    return len(grid), len(grid[0])


def _cell_size(kind: str, height: int, width: int) -> int:
    """Pixels of a cell: small grids stay legible, large ones fit a phone."""
    least, most = (14, 22) if kind in ("sudoku", "digits", "values") else (4, 16)
    if height == 1:
        least = 18  # one row: there is room, and its symbols are read one by one
    return max(least, min(most, 148 // max(height, width)))


def _patches(cells: Grid, wanted: set[int], css: str) -> str:
    """All cells of some symbols as one path, runs within a row joined."""
    parts = []
    for row, line in enumerate(cells):
        column = 0
        for hit, run in groupby(line, key=lambda cell: cell in wanted):
            length = len(list(run))
            if hit:
                parts.append(f"M{column} {row}h{length}v1h-{length}z")
            column += length
    return f'<path class="{css}" d="{"".join(parts)}"/>' if parts else ""


def _arc(cells: Grid, given: Grid | None, gold: Grid | None) -> str:
    """The usual ten colours; right and wrong are counted in words beside the drawing."""
    colours = sorted({cell for row in cells for cell in row if DIGIT0 <= cell < DIGIT0 + 10})
    body = "".join(_patches(cells, {cell}, f"a{cell - DIGIT0}") for cell in colours)
    return body + _patches(cells, {BLANK, QUERY}, "open")


def _maze(cells: Grid, given: Grid | None, gold: Grid | None) -> str:
    """Walls, the way, and where the way is wrong or missing."""
    body = _patches(cells, {WALL}, "wall")
    if gold is None:
        body += _patches(cells, {PATH}, "way")
    else:
        marked = [
            [
                -1 if cell != right and right > PAD and (cell == PATH or right != PATH) else cell
                for cell, right in zip(row, rights, strict=False)
            ]
            for row, rights in zip(cells, gold, strict=False)
        ]
        body += _patches(marked, {PATH}, "way") + _patches(marked, {-1}, "astray")
        body += "".join(
            f'<circle class="lost" cx="{x + 0.5}" cy="{y + 0.5}" r="0.16"/>'
            for y, row in enumerate(cells)
            for x, cell in enumerate(row)
            if gold[y][x] == PATH and cell != PATH
        )
    letters = ((x, y, cell) for y, row in enumerate(cells) for x, cell in enumerate(row))
    return body + "".join(
        f'<text x="{x + 0.5}" y="{y + 0.82}" class="end">{WORDS[cell]}</text>'
        for x, y, cell in letters
        if cell in (START, GOAL)
    )


def _text_cells(cells: Grid, given: Grid | None, gold: Grid | None) -> str:
    """Digits or plain values: given ones in ink, answered ones in colour, wrong ones marked."""
    parts = []
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            if cell in SHOWN_EMPTY:
                continue
            css = "given"
            if given is not None and given[y][x] != cell:
                css = "answer"
            if gold is not None and gold[y][x] > PAD and gold[y][x] != cell:
                css = "wrong"
                parts.append(f'<rect class="wrong-cell" x="{x}" y="{y}" width="1" height="1"/>')
            word = WORDS.get(cell, str(cell))
            css += " long" if len(word) > 1 else ""
            parts.append(f'<text class="{css}" x="{x + 0.5}" y="{y + 0.73}">{word}</text>')
    return "".join(parts)


def _rules(kind: str, height: int, width: int) -> str:
    """Thin lines between cells, thick ones around the boxes of a Sudoku, and the frame."""
    thin = "".join(f"M{x} 0v{height}" for x in range(1, width))
    thin += "".join(f"M0 {y}h{width}" for y in range(1, height))
    frame = f'<rect class="frame" x="0" y="0" width="{width}" height="{height}"/>'
    if kind == "maze":
        return frame
    thick = ""
    if kind == "sudoku" and height == width and height in BOXES:
        rows, columns = BOXES[height]
        thick = "".join(f"M{x} 0v{height}" for x in range(columns, width, columns))
        thick += "".join(f"M0 {y}h{width}" for y in range(rows, height, rows))
        thick = f'<path class="box" d="{thick}"/>'
    return f'<path class="thin" d="{thin}"/>{thick}{frame}'
