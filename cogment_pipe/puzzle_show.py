"""Puzzles for people: text for a terminal, in colour or plain, and a drawing in a PNG file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cogment_pipe.errors import CogmentError

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
RESET, BOLD_GREEN, BOLD = "\x1b[0m", "\x1b[1;32m", "\x1b[1m"
# Terminal backgrounds (256 colours) and RGB of maze cells and of ARC's ten colours.
MAZE = {"#": (238, "#30343b"), " ": (255, "#f7f7f5"), "S": (34, "#2e9e5b"), "G": (160, "#d1433f")}
MAZE["o"] = (220, "#f2c230")
ARC = {
    "0": (16, "#111111"),
    "1": (26, "#1f77d0"),
    "2": (160, "#e0453a"),
    "3": (34, "#3aa655"),
    "4": (220, "#f5cf2a"),
    "5": (246, "#9a9a9a"),
    "6": (200, "#d62fb5"),
    "7": (208, "#f08a24"),
    "8": (117, "#7fcbef"),
    "9": (88, "#7a1a2c"),
}
PAINTS = {"maze": MAZE, "arc": ARC}
Cells = list[list[str]]


@dataclass(frozen=True)
class Picture:
    """One grid to show: what each cell says, what the question said there, and a title."""

    title: str
    cells: Cells
    given: Cells


def as_text(kind: str, picture: Picture, colour: bool) -> str:
    """The grid, one row a line; plain text of a Sudoku or a maze can be read back."""
    if colour and kind in PAINTS:
        paint = PAINTS[kind]
        return "\n".join(
            "".join(_painted(paint, cell, kind) for cell in row) + RESET for row in picture.cells
        )
    if kind == "maze":
        return "\n".join("".join(row) for row in picture.cells)
    width = max(len(cell) for row in picture.cells for cell in row)
    return "\n".join(_lines(kind, picture, colour, width))


def _painted(paint: dict[str, tuple[int, str]], cell: str, kind: str) -> str:
    if cell not in paint:
        return f"{RESET}{cell * 2}"
    shown = f"{cell} " if kind == "maze" and cell in "SG" else "  "
    return f"\x1b[48;5;{paint[cell][0]}m{shown}"


def _lines(kind: str, picture: Picture, colour: bool, width: int) -> list[str]:
    side = len(picture.cells)
    boxed = kind == "sudoku" and side in BOXES
    high, wide = BOXES[side] if boxed else (side, side)
    lines = []
    for r, (row, given) in enumerate(zip(picture.cells, picture.given, strict=True)):
        words = []
        for c, (cell, before) in enumerate(zip(row, given, strict=True)):
            if boxed and c and c % wide == 0:
                words.append("|")
            text = cell.rjust(width)
            words.append(f"{BOLD_GREEN}{text}{RESET}" if colour and cell != before else text)
        if boxed and r and r % high == 0:
            lines.append("+".join(["-" * (2 * wide + bool(k)) for k in range(side // wide)])[:-1])
        lines.append(" ".join(words))
    return lines


def plain(kind: str, cells: list[list[str]]) -> list:
    """Rows of a Sudoku or maze as strings, of other grids as numbers."""
    if kind in ("sudoku", "maze"):
        return ["".join(row) for row in cells]
    return [[int(cell) if cell.isdecimal() else None for cell in row] for row in cells]


def short(value: float) -> float:
    """Six significant digits of a figure that people read."""
    return float(f"{float(value):.6g}")


def write_png(path: Path, kind: str, pictures: list[Picture]) -> None:
    """Draw grids side by side; CogmentError where the file cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(pictures), 5)
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(3.0 * columns, 3.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, picture in enumerate(pictures, start=1):
        axes = figure.add_subplot(rows, columns, number)
        axes.set_title(picture.title, fontsize=10)
        _draw(axes, kind, picture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # no date or version inside: the same answer gives the same bytes
        figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
    except OSError as error:
        raise CogmentError(f"--png {path}: cannot be written ({error.strerror})") from None


def _draw(axes: object, kind: str, picture: Picture) -> None:
    from matplotlib.colors import to_rgb

    paint = PAINTS.get(kind, {})
    blank = (0, "#ffffff")
    axes.imshow([[to_rgb(paint.get(c, blank)[1]) for c in row] for row in picture.cells])
    height, width = len(picture.cells), len(picture.cells[0])
    for r, (row, given) in enumerate(zip(picture.cells, picture.given, strict=True)):
        for c, (cell, before) in enumerate(zip(row, given, strict=True)):
            if kind not in PAINTS or cell in ("S", "G"):
                filled = "#1f6f43" if cell != before and kind not in PAINTS else "#111111"
                axes.text(c, r, cell, ha="center", va="center", fontsize=11, color=filled)
    high, wide = BOXES.get(height, (1, 1)) if kind == "sudoku" else (1, 1)
    for edges, step, line in ((height, high, axes.axhline), (width, wide, axes.axvline)):
        for k in range(edges + 1):
            heavy = kind == "sudoku" and k % step == 0
            line(k - 0.5, color="#333333" if heavy else "#cccccc", lw=1.6 if heavy else 0.5)
    axes.set_xticks([])
    axes.set_yticks([])
