"""A picture of a prepared stage: a few test items of each task, as the model is given them.

Grids are drawn with matplotlib, rows of symbols and text are written. The bytes of the PNG depend
on the data and on matplotlib's version alone. `snakemake docs/figures/data-stage2.png` makes one.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from cogment_pipe.data.arc_dataset import ArcTask
from cogment_pipe.data.batch import TextBatch
from cogment_pipe.data.dataset import GridTask, TaskData, load_stage
from cogment_pipe.data.storage import write_atomic
from cogment_pipe.data.symbols import DIGIT0, GLYPHS, GOAL, IGNORE, OPEN, OUT, PAD, PATH, START
from cogment_pipe.data.symbols import WALL as WALL_CELL
from cogment_pipe.data.tokenizer import Tokenizer, load_tokenizer
from cogment_pipe.errors import CogmentError

COLUMNS = 8  # drawings in a row: four pairs of question and answer
LINES = 4  # items of a task of which each is one line
WIDTH, HEIGHT, DPI = 10.0, 1.45, 80  # inches of the page and of a row; dots per inch
LETTERS = 800  # of a text item; the middle is left out
# Ten colours that can be told apart, 0 first: those that ARC's own pages use.
PALETTE = ("#111111", "#1e78d2", "#e8413b", "#36b54a", "#f5d327", "#9a9a9a", "#d4269c", "#f58220")
PALETTE += ("#78c8e6", "#7d1f2d")
MAZE = {WALL_CELL: "#333333", OPEN: "#ffffff", START: "#36b54a", GOAL: "#e8413b", PATH: "#f5d327"}


def draw_stage(folder: Path, out: Path) -> None:
    """Draw the stage prepared in `folder` into the PNG file `out`.

    Raises CogmentError where the folder is none, or where text has no tokenizer beside it.
    """
    folder = Path(folder)
    tasks = [task for task in load_stage(folder, "test").values() if len(task)]
    if not tasks:
        raise CogmentError(f"{folder}: no task has test items to draw")
    heights = [_rows(task) for task in tasks]
    figure = Figure(figsize=(WIDTH, HEIGHT * sum(heights)), dpi=DPI)
    FigureCanvasAgg(figure)
    parts = np.atleast_1d(figure.subfigures(len(tasks), 1, height_ratios=heights))
    for part, task in zip(parts, tasks, strict=True):
        title = f"{task.name} ({len(task)} test items)"
        part.text(0.01, 0.97, title, va="top", fontsize=9)
        part.subplots_adjust(left=0.01, right=0.99, bottom=0.04, top=0.76, hspace=0.35)
        if isinstance(task, ArcTask):
            _arc(part, task)
        elif isinstance(task, GridTask) and task.shape[0] > 1:
            _grids(part, task)
        else:
            coder = load_tokenizer(folder.parent / "tokenizer.json") if _is_text(task) else None
            _texts(part, task, coder)
    held = io.BytesIO()
    figure.savefig(held, format="png", metadata={"Software": None})
    write_atomic(Path(out), lambda handle: handle.write(held.getvalue()))


def _is_text(task: TaskData) -> bool:
    return task.kind == "text"


def _rows(task: TaskData) -> float:
    if isinstance(task, ArcTask):
        return 2.4
    return 1.2 if not _is_text(task) and task.shape[0] > 1 else 0.7


def _grids(part: Figure, task: GridTask) -> None:
    batch = task.batch(np.arange(min(COLUMNS // 2, len(task))))
    for i, (given, wanted) in enumerate(zip(batch.inputs, batch.targets, strict=True)):
        _grid(part.add_subplot(1, COLUMNS, 2 * i + 1), given, "question" if not i else "")
        _grid(part.add_subplot(1, COLUMNS, 2 * i + 2), wanted, "answer" if not i else "")


def _arc(part: Figure, task: ArcTask) -> None:
    """Two tasks: three demonstrations, then the query and its answer."""
    batch = task.batch(np.arange(min(2, len(task))))
    for i in range(len(batch)):
        shown = _demonstrations(batch.context[i], batch.context_position[i])[: COLUMNS // 2 - 1]
        pairs = [*shown, (batch.inputs[i], batch.targets[i])]
        for place, pair in enumerate(pairs):
            for side, grid in enumerate(pair):
                words = ("query", "answer") if place == len(pairs) - 1 else ("shown", "")
                number = i * COLUMNS + 2 * place + side + 1
                axes = part.add_subplot(2, COLUMNS, number)
                _grid(axes, _cut(grid), words[side], arc=True)


def _demonstrations(cells: np.ndarray, position: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Context cells (C, 2) and their places (C, 3) as pairs of grids."""
    pairs = []
    for number in range(int(position[:, 2].max()) + 1):
        own = (position[:, 2] == number) & (cells != PAD).any(axis=1)
        rows, columns = (position[own, :2] - position[own, :2].min(axis=0)).T
        pair = np.full((2, rows.max() + 1, columns.max() + 1), OUT)
        pair[:, rows, columns] = cells[own].T
        pairs.append((pair[0], pair[1]))
    return pairs


def _cut(grid: np.ndarray) -> np.ndarray:
    """The part of a canvas that is not OUT."""
    rows, columns = np.nonzero(grid != OUT)
    return grid[: rows.max() + 1, : columns.max() + 1] if len(rows) else grid


def _grid(axes: Axes, grid: np.ndarray, title: str, arc: bool = False) -> None:
    height, width = grid.shape
    axes.set_title(title, fontsize=7, pad=2)
    axes.imshow(_colours(grid, arc), interpolation="nearest")
    axes.set_xticks(np.arange(width + 1) - 0.5, [])
    axes.set_yticks(np.arange(height + 1) - 0.5, [])
    axes.grid(color="#bbbbbb", linewidth=0.4)
    axes.tick_params(length=0)
    for (row, column), symbol in np.ndenumerate(grid):
        if not arc and symbol not in MAZE and symbol != IGNORE and symbol in GLYPHS:
            glyph = GLYPHS[int(symbol)]
            axes.text(column, row, glyph, ha="center", va="center", fontsize=7)


def _colours(grid: np.ndarray, arc: bool) -> np.ndarray:
    """(H, W) symbols -> (H, W, 3) colours."""
    shown = {DIGIT0 + digit: colour for digit, colour in enumerate(PALETTE)} if arc else MAZE
    return np.array([[to_rgb(shown.get(int(symbol), "#ffffff")) for symbol in row] for row in grid])


def _texts(part: Figure, task: TaskData, coder: Tokenizer | None) -> None:
    """Items as lines: symbols (question -> answer), or one text with its answer."""
    batch = task.batch(np.arange(min(LINES if coder is None else 1, len(task))))
    if isinstance(batch, TextBatch):
        shown = [_text(batch, coder)]
    else:
        pairs = zip(batch.inputs[:, 0], batch.targets[:, 0], strict=True)
        shown = [f"{_words(given)}   ->   {_words(wanted)}" for given, wanted in pairs]
    lines = [line for text in shown for line in textwrap.wrap(text, 150)]
    part.text(0.02, 0.7, "\n".join(lines), va="top", family="monospace", fontsize=6.5)


def _text(batch: TextBatch, coder: Tokenizer) -> str:
    """Segments, prompt and answer of the first row, its middle left out."""
    ids = [] if batch.segments is None else batch.segments[0].ravel().tolist()
    ids += batch.tokens[0, : batch.prompt_length[0]].tolist()
    prompt = " ".join(coder.decode([i for i in ids if i != PAD]).split())
    if len(prompt) > LETTERS:
        prompt = f"{prompt[: LETTERS // 2]} [...] {prompt[-LETTERS // 2 :]}"
    answer = coder.decode(batch.tokens[0, batch.prompt_length[0] : batch.length[0]].tolist())
    return f"{prompt}   ->   {' '.join(answer.split())}"


def _words(row: np.ndarray) -> str:
    return " ".join(GLYPHS[int(s)] for s in row if s not in (PAD, IGNORE) and int(s) in GLYPHS)
