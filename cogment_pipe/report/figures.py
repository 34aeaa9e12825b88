"""README's pictures, made from a finished run: a maze solved step by step, and the report page.

The maze is the hardest of the test items that the evaluation kept with every refinement step; the
picture of the page is taken by a headless Chromium.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from cogment_pipe.atomic import write_bytes
from cogment_pipe.errors import CogmentError
from cogment_pipe.report import grids
from cogment_pipe.report.artifacts import read_lines
from cogment_pipe.report.examples import row_gold

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGE = (1200, 900)  # pixels of the window that the page is shown in
PATIENCE = 300  # seconds that the browser may take
OPEN, WALL, WAY, ASTRAY = range(4)
COLOURS = ListedColormap(["#fcfbf8", "#3a4149", "#5a9fd0", "#b3362f"])
COLUMNS = 5
MAZE = "maze"


def draw_maze(results: Path, out: Path) -> None:
    """Input, the answer after each refinement step, and the solution of one maze, as PNG.

    Raises CogmentError where the evaluation of stage 2 kept no maze with its steps.
    """
    file = Path(results) / "eval" / "stage2" / "predictions.jsonl"
    if not file.is_file():
        raise CogmentError(f"{file}: not found; run the pipeline first")
    kept = [row for row in read_lines(file) if row.get("task") == MAZE and row.get("by_step")]
    if not kept:
        raise CogmentError(f"{file}: no maze with its refinement steps; set evaluation.examples")
    row = max(kept, key=lambda row: row.get("difficulty") or 0)
    given, gold = row["input"], grids.filled(row_gold(row), row["input"])
    panels = [("input", given)]
    panels += [(f"step {n}", step) for n, step in enumerate(row["by_step"], start=1)]
    panels.append(("solution", gold))
    rows = -(-len(panels) // COLUMNS)
    with mpl.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(1.5 * COLUMNS, 1.72 * rows), facecolor="#fcfbf8")
        FigureCanvasAgg(figure)
        for number, (title, grid) in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, COLUMNS, number)
            _draw(axes, title, grid, given, gold)
        figure.tight_layout(pad=0.6)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    write_bytes(out, buffer.getvalue())


def picture_of_page(page: Path, out: Path) -> None:
    """The top of the report page as PNG. CogmentError without a page or a browser."""
    if not Path(page).is_file():
        raise CogmentError(f"{page}: not found; make the report first")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise CogmentError(f"no browser for a picture of the page; install {BROWSERS[0]}")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--no-first-run", "--disable-dev-shm-usage", "--virtual-time-budget=3000"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={PAGE[0]},{PAGE[1]}"]
        command += [f"--screenshot={shot}", Path(page).resolve().as_uri()]
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE)
        except subprocess.SubprocessError as error:
            raise CogmentError(f"{browser} took no picture of {page}: {error}") from error
        if not shot.is_file():
            raise CogmentError(f"{browser} took no picture of {page}")
        write_bytes(out, shot.read_bytes())


def _draw(axes: mpl.axes.Axes, title: str, grid: list, given: list, gold: list) -> None:
    """One maze; cells that are no part of the way are red, missing ones have a red dot."""
    cells = [
        [_cell(*symbols) for symbols in zip(*lines, strict=True)]
        for lines in zip(grid, given, gold, strict=True)
    ]
    axes.imshow(cells, cmap=COLOURS, vmin=0, vmax=3, interpolation="nearest")
    wrong = sum(line.count(ASTRAY) for line in cells)
    for y, line in enumerate(given):
        for x, cell in enumerate(line):
            if cell in (grids.START, grids.GOAL):
                word = {"ha": "center", "va": "center", "fontsize": 8, "fontweight": "bold"}
                axes.text(x, y + 0.05, grids.WORDS[cell], **word)
            elif grid is not given and gold[y][x] == grids.PATH != grid[y][x]:
                axes.plot(x, y, ".", color="#b3362f", markersize=5)
                wrong += 1
    axes.set_title(f"{title}: {wrong} wrong" if wrong else title, fontsize=9, pad=3)
    axes.set_axis_off()


def _cell(symbol: int, given: int, right: int) -> int:
    """How a cell is filled: walls and ends as given, the way blue where it is right."""
    if given == grids.WALL:
        return WALL
    if symbol != grids.PATH or given in (grids.START, grids.GOAL):
        return OPEN
    return WAY if right == grids.PATH else ASTRAY
