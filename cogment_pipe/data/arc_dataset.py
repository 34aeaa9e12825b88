"""ARC and ARC-like tasks as batches: a query on a canvas, demonstrations as context cells.

The query's input stands in the upper left of a square canvas, cells outside it are OUT; so are
those outside the output, which makes the output's shape part of the prediction. A demonstration
cell holds the symbols of input and output at one place of a pair's bounding box.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from cogment_pipe.data.arc_augment import (
    ArcAugmentation,
    distinct_rows,
    draw_rows,
    make,
    place,
)
from cogment_pipe.data.arc_task import ArcRecord
from cogment_pipe.data.batch import GridBatch
from cogment_pipe.data.storage import read_array, write_array, write_lines
from cogment_pipe.data.symbols import DIGIT0, IGNORE, OUT
from cogment_pipe.errors import CogmentError

ROUND = 64  # a batch's context is as wide as its widest row needs, rounded up


def write_records(out: Path, stem: str, records: list[ArcRecord]) -> None:
    """Write tasks flat: cells, grids (offset, height, width), tasks (first pair, two counts)."""
    grids = [grid for record in records for pair in record.pairs for grid in pair]
    sizes = np.array([grid.shape for grid in grids], dtype=np.int32).reshape(-1, 2)
    ends = np.cumsum(sizes.prod(axis=1))
    offsets = np.concatenate([[0], ends[:-1]]).astype(np.int32)
    counts = np.array([(len(r.train), len(r.test)) for r in records], dtype=np.int32)
    pairs = np.cumsum(counts.sum(axis=1))
    first = np.concatenate([[0], pairs[:-1]]).astype(np.int32)
    write_array(out / f"{stem}.cells.npy", np.concatenate([grid.ravel() for grid in grids]))
    write_array(out / f"{stem}.grids.npy", np.column_stack([offsets, sizes]))
    write_array(out / f"{stem}.tasks.npy", np.column_stack([first, counts]))
    write_lines(out / f"items.{stem}.jsonl", ({"task": record.id} for record in records))


def read_records(path: Path, stem: str) -> list[ArcRecord]:
    """Read what `write_records` wrote."""
    cells = np.array(read_array(path / f"{stem}.cells.npy"))
    layout = read_array(path / f"{stem}.grids.npy").tolist()
    lines = (path / f"items.{stem}.jsonl").read_text(encoding="utf-8").splitlines()
    names = [json.loads(line)["task"] for line in lines]
    grids = [cells[o : o + h * w].reshape(h, w) for o, h, w in layout]
    pairs = list(zip(grids[0::2], grids[1::2], strict=True))
    records = []
    tasks = read_array(path / f"{stem}.tasks.npy").tolist()
    for name, (first, shown, asked) in zip(names, tasks, strict=True):
        middle = first + shown
        records.append(
            ArcRecord(name, tuple(pairs[first:middle]), tuple(pairs[middle : middle + asked]))
        )
    return records


@lru_cache(maxsize=1024)
def box_places(height: int, width: int) -> np.ndarray:
    """(height * width, 2) row and column of each cell of a box."""
    places = np.stack(np.indices((height, width)), axis=-1).reshape(-1, 2)
    places.flags.writeable = False
    return places


def box(pair: tuple[np.ndarray, np.ndarray]) -> tuple[int, int]:
    """Height and width of the box that holds both grids of a pair."""
    return max(g.shape[0] for g in pair), max(g.shape[1] for g in pair)


def demonstrations(record: ArcRecord, query: int, cells: int) -> tuple[list[int], int]:
    """Numbers of the pairs shown with a query, and how many more did not fit into `cells`."""
    shown: list[int] = []
    left = cells
    asked = [k for k in range(len(record.train)) if k != query]
    for number in asked:
        height, width = box(record.train[number])
        if height * width > left:
            break
        shown.append(number)
        left -= height * width
    return shown, len(asked) - len(shown)


class ArcTask:
    """One split of ARC or ARC-like tasks; an item is a task with one of its pairs as the query."""

    kind = "grid"
    sizes = None

    def __init__(self, path: Path, name: str, split: str, entry: dict, augmentation: dict) -> None:
        path = Path(path)
        self.name = name
        self.split = split
        self.task_id = int(entry["task_id"])
        self.weight = float(entry["weight"])
        self.batch_size = entry["batch_size"]
        self.metric = str(entry["metric"])
        self.side = int(entry["side"])
        self.context_width = int(entry["context_width"])
        self._context_cells = int(entry["params"]["context_cells"])
        stem = f"{name}.{split}"
        self._records = read_records(path, stem)
        self._items = np.array(read_array(path / f"{stem}.items.npy"))  # (N, 2) task, query
        self.difficulty: np.ndarray | None = np.array(read_array(path / f"{stem}.difficulty.npy"))
        self._rate = float(augmentation["rate"])
        self._types = tuple(
            t for t in augmentation["types"] if split == "train" or t != "translate"
        )
        table = path / f"{stem}.augmentations.npy"
        self._table = read_array(table) if table.exists() else None  # (T, K, 13)
        if self._table is not None:
            self._counts = np.array(read_array(path / f"{stem}.augmentation_counts.npy"))
        if len(self._items) and int(self._items[:, 0].max()) >= len(self._records):
            raise CogmentError(f"{path}/{stem}: items and tasks disagree; prepare the data again")

    def __len__(self) -> int:
        return len(self._items)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        return self.side, self.side

    def batch(
        self,
        index: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        augment: bool = False,
        answers: bool = True,
        changes: list[ArcAugmentation | None] | None = None,
    ) -> GridBatch:
        """Rows `index` (B,) as a GridBatch with context; `answers=False` hides every target.

        `changes` (B,) are augmentations to apply, in place of drawn ones.
        """
        index = np.asarray(index, dtype=np.int64)
        n = len(index)
        if augment and rng is None:
            raise ValueError("augment=True needs rng")
        inputs = np.empty((n, self.side, self.side), dtype=np.int64)
        targets = np.full_like(inputs, IGNORE)
        context = np.zeros((n, self.context_width, 2), dtype=np.int64)
        position = np.zeros((n, self.context_width, 3), dtype=np.int64)
        rows = list(changes or [None] * n)
        widths = [1]
        chosen = rng.random(n) < self._rate if augment else np.zeros(n, dtype=bool)
        for i, (task, query) in enumerate(self._items[index].tolist()):
            record = self._records[task]
            given, wanted = record.pairs[query]
            if chosen[i]:
                rows[i] = make(self._draw(rng, task), self.side, wanted.shape)
            change = rows[i]
            corner = change.shift if change else (0, 0)
            inputs[i] = place(self._symbols(given, change), self.side, corner)
            if answers:
                targets[i] = place(self._symbols(wanted, change), self.side, corner)
            widths.append(self._show(record, query, change, context[i], position[i]))
        width = min(self.context_width, -(-max(widths) // ROUND) * ROUND)
        return GridBatch(
            self.name,
            self.task_id,
            inputs,
            targets,
            index,
            context[:, :width].copy(),
            position[:, :width].copy(),
            rows if augment or changes else None,
        )

    def copies(self, i: int, most: int, rng: np.random.Generator) -> list[ArcAugmentation]:
        """At most `most` different augmentations of item `i`, none of which leaves it as it is.

        Drawn from the stage's types without shifts; the query's output is not looked at.
        """
        task, query = self._items[i].tolist()
        record = self._records[task]
        given = record.pairs[query][0]
        shown = [pair for k, pair in enumerate(record.train) if k != query]
        visible = ArcRecord(record.id, tuple(shown), ((given, given),))
        types = tuple(name for name in self._types if name != "translate")
        rows = distinct_rows(visible, draw_rows(rng, 4 * most, types, (0, 0)), most)
        return [make(row, self.side, (0, 0)) for row in rows]

    def _draw(self, rng: np.random.Generator, task: int) -> np.ndarray:
        if self._table is not None:
            return self._table[task, rng.integers(max(1, int(self._counts[task])))]
        return draw_rows(rng, 1, self._types, room(self._records[task], self.side))[0]

    @staticmethod
    def _symbols(grid: np.ndarray, change: ArcAugmentation | None) -> np.ndarray:
        symbols = grid.astype(np.int64) + DIGIT0
        return change.grid(symbols) if change else symbols

    def _show(
        self,
        record: ArcRecord,
        query: int,
        change: ArcAugmentation | None,
        context: np.ndarray,
        position: np.ndarray,
    ) -> int:
        """Fill one row's context (C, 2) and positions (C, 3); returns the cells that it has."""
        end = 0
        shift = change.shift if change else (0, 0)
        numbers, _ = demonstrations(record, query, self._context_cells)
        for pair_index, number in enumerate(numbers):
            grids = [self._symbols(grid, change) for grid in record.train[number]]
            height, width = box((grids[0], grids[1]))
            start, end = end, end + height * width
            for side, grid in enumerate(grids):
                full = np.full((height, width), OUT, dtype=np.int64)
                full[: grid.shape[0], : grid.shape[1]] = grid
                context[start:end, side] = full.ravel()
            position[start:end, :2] = box_places(height, width) + shift
            position[start:end, 2] = pair_index
        return end

    def gold(self, i: int) -> dict:
        """Target and input canvas, the output as colours, and which query of which task it is."""
        task, query = self._items[i].tolist()
        record = self._records[task]
        given, wanted = record.pairs[query]
        return {
            "target": place(self._symbols(wanted, None), self.side).tolist(),
            "input": place(self._symbols(given, None), self.side).tolist(),
            "grid": wanted.tolist(),
            "task": record.id,
            "query": query,
        }


def room(record: ArcRecord, side: int) -> tuple[int, int]:
    """Rows and columns by which all grids of a task can shift inside the canvas.

    The larger of the two sides counts for both, since a quarter turn swaps them.
    """
    largest = max(size for pair in record.pairs for grid in pair for size in grid.shape)
    free = max(0, side - largest)
    return free, free
