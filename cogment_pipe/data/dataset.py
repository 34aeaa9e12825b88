"""Prepared tasks as the trainer and the evaluator see them: items, batches, gold answers.

`batch` is a pure function of its arguments. Arrays stay on disk, memory-mapped.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from cogment_pipe.data.augment import apply_all, make_augmenter
from cogment_pipe.data.batch import GridBatch, TextBatch, row_lengths
from cogment_pipe.data.manifest import read_manifest
from cogment_pipe.data.storage import read_array
from cogment_pipe.data.symbols import IGNORE, STORED_IGNORE
from cogment_pipe.errors import CogmentError


class TaskData(Protocol):
    """One split of one task."""

    name: str
    kind: str  # "grid" or "text"
    task_id: int
    weight: float
    batch_size: int | None
    metric: str
    difficulty: np.ndarray | None
    sizes: np.ndarray | None  # (N,) equal ones fill a batch without padding; None: all are equal

    def __len__(self) -> int: ...

    def batch(
        self,
        index: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        augment: bool = False,
        answers: bool = True,
    ) -> GridBatch | TextBatch: ...

    def gold(self, i: int) -> dict: ...


class GridTask:
    """Grids of one size with their targets."""

    kind = "grid"

    def __init__(self, path: Path, name: str, split: str, entry: dict, augmentation: dict) -> None:
        self.name = name
        self.split = split
        self.task_id = int(entry["task_id"])
        self.weight = float(entry["weight"])
        self.batch_size = entry["batch_size"]
        self.metric = str(entry["metric"])
        stem = f"{name}.{split}"
        self._inputs = read_array(Path(path) / f"{stem}.inputs.npy")
        self._targets = read_array(Path(path) / f"{stem}.targets.npy")
        self.difficulty: np.ndarray | None = np.array(read_array(path / f"{stem}.difficulty.npy"))
        if self._inputs.shape != self._targets.shape or self._inputs.ndim != 3:
            raise CogmentError(f"{path}/{stem}: inputs and targets differ in shape; prepare again")
        self.augmenter = make_augmenter(
            entry.get("augmenter"),
            self._inputs.shape[1:],
            float(augmentation["rate"]),
            tuple(augmentation["types"]),
        )

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every grid of the task."""
        return self._inputs.shape[1], self._inputs.shape[2]

    @cached_property
    def sizes(self) -> np.ndarray | None:
        """Length (N,) of each row where grids are rows padded on the right, else None."""
        if self.shape[0] > 1:
            return None
        return row_lengths(np.asarray(self._inputs[:, 0]))

    def batch(
        self,
        index: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        augment: bool = False,
        answers: bool = True,
    ) -> GridBatch:
        """Rows `index` (B,) as a GridBatch; with `answers=False` every target is -100."""
        index = np.asarray(index, dtype=np.int64)
        inputs = self._inputs[index].astype(np.int64)  # (B, H, W)
        targets = self._targets[index].astype(np.int64)
        targets[targets == STORED_IGNORE] = IGNORE
        rows = None
        if augment:
            if rng is None:
                raise ValueError("augment=True needs rng")
            if self.augmenter is not None:
                rows = self.augmenter(rng, inputs)
                inputs, targets = apply_all(rows, inputs), apply_all(rows, targets)
        if not answers:
            targets = np.full_like(targets, IGNORE)
        return GridBatch(self.name, self.task_id, inputs, targets, index, augmented=rows)

    def gold(self, i: int) -> dict:
        """What the metric needs: the target grid (-100: cell not asked for) and the input."""
        target = self._targets[i].astype(np.int64)
        target[target == STORED_IGNORE] = IGNORE
        return {"target": target.tolist(), "input": self._inputs[i].tolist()}


def load_stage(path: Path, split: str) -> dict[str, TaskData]:
    """Every task of a prepared stage: task name -> data, in the manifest's order.

    Raises CogmentError when the folder or one of its arrays is missing or damaged.
    """
    path = Path(path)
    manifest = read_manifest(path)
    return {
        name: load_task(path, name, split, manifest["tasks"][name], manifest["augmentation"])
        for name in manifest["order"]
    }


def load_task(path: Path, name: str, split: str, entry: dict, augmentation: dict) -> TaskData:
    """One task of a prepared stage."""
    if split not in entry["splits"]:
        raise CogmentError(f"{path}: task {name} has no split {split!r}")
    if entry["kind"] == "text":
        from cogment_pipe.data.text_dataset import TextTask

        return TextTask(path, name, split, entry)
    if entry.get("layout") == "arc":
        from cogment_pipe.data.arc_dataset import ArcTask

        return ArcTask(path, name, split, entry, augmentation)
    return GridTask(path, name, split, entry, augmentation)
