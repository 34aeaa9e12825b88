"""Text tasks on disk: tokens as ragged memory-mapped arrays, and batches assembled from them.

Per task and split: `tokens` (prompt, <sep>, answer, <eos> of all items, one after the other),
`offsets`, `prompt`, `hints` (further targets inside prompts), earlier `segments` with
`segment_offsets` and `segment_rows`, `difficulty`,
and items.{task}.{split}.jsonl with what the metric needs.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cogment_pipe.data.batch import TextBatch, rounded
from cogment_pipe.data.storage import read_array
from cogment_pipe.errors import CogmentError

ARRAYS = (
    "tokens",
    "offsets",
    "prompt",
    "hints",
    "hint_rows",
    "segments",
    "segment_offsets",
    "segment_rows",
)


class TextTask:
    """One task of one split; items 0..N-1, of which training may have label-preserving variants."""

    kind = "text"

    def __init__(self, path: Path, name: str, split: str, entry: dict):
        """`path` is a folder made by `prepare_stage`, `entry` the task's part of its manifest."""
        self.path, self.name, self.split = Path(path), name, split
        self.task_id: int = entry["task_id"]
        self.weight: float = entry["weight"]
        self.batch_size: int | None = entry["batch_size"]
        self.metric: str = entry["metric"]
        self.baselines: dict[str, float] = entry.get("baselines", {})
        self._rate: float = entry.get("augmentation", {}).get("rate", 0.0)
        self._items: int = entry["splits"][split]["items"]
        for array in ARRAYS:
            setattr(self, f"_{array}", self._read(array))
        self._variants = self._read("variants")  # (N + 1,) places among the variants
        self._gold_offsets = self._read("gold_offsets")
        difficulty = self._read("difficulty")
        self.difficulty = difficulty if len(difficulty) else None
        if len(self._offsets) != self._items + int(self._variants[-1]) + 1:
            raise CogmentError(f"{self.path}: arrays of {name}.{split} and manifest disagree")
        self.sizes = self._sizes()  # (N,) what rows of a batch should agree in

    def __len__(self) -> int:
        return self._items

    def batch(
        self,
        index: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        augment: bool = False,
        answers: bool = True,
    ) -> TextBatch:
        """Rows for items `index`; a pure function of its arguments.

        With `rng` and `augment`, a share of rows (the stage's augmentation rate) is replaced by one
        of the item's variants. `answers=False` gives prompts alone, without targets.
        """
        index = np.asarray(index, dtype=np.int64)
        rows = self._augmented(index, rng) if augment and rng is not None else index
        start = self._offsets[rows].astype(np.int64)
        prompt = self._prompt[rows].astype(np.int64)
        length = self._offsets[rows + 1].astype(np.int64) - start if answers else prompt
        tokens = _gather(self._tokens, start, length, rounded(length))  # (B, L)
        targets = np.full_like(tokens, -100)
        place = np.arange(tokens.shape[1] - 1)[None, :]
        predicts = (place >= prompt[:, None] - 1) & (place < length[:, None] - 1)  # (B, L - 1)
        targets[:, :-1][predicts] = tokens[:, 1:][predicts]
        for row, item in enumerate(rows if answers else ()):
            hints = self._hints[self._hint_rows[item] : self._hint_rows[item + 1]]
            targets[row, hints[:, 0]] = hints[:, 1]
        return TextBatch(
            task=self.name,
            task_id=self.task_id,
            segments=self._earlier(rows),
            tokens=tokens,
            prompt_length=prompt,
            length=length.copy(),
            targets=targets,
            index=index.copy(),
        )

    def gold(self, item: int) -> dict:
        """Answers, question and whatever else the metric needs; read from disk at each call."""
        if not 0 <= item < self._items:
            raise IndexError(f"{self.name}.{self.split} has {self._items} items, not {item}")
        with (self.path / f"items.{self.name}.{self.split}.jsonl").open("rb") as handle:
            handle.seek(int(self._gold_offsets[item]))
            return json.loads(handle.readline())

    def _sizes(self) -> np.ndarray:
        """Earlier segments first, then tokens of the last one: (N,) int64."""
        segments = np.diff(self._segment_rows[: self._items + 1].astype(np.int64))
        return (segments << 32) + np.diff(self._offsets[: self._items + 1].astype(np.int64))

    def _read(self, array: str) -> np.ndarray:
        return read_array(self.path / f"{self.name}.{self.split}.{array}.npy")

    def _augmented(self, index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        chance, choice = rng.random(len(index)), rng.random(len(index))
        first = self._variants[index].astype(np.int64)
        count = self._variants[index + 1].astype(np.int64) - first
        pick = self._items + first + (choice * count).astype(np.int64)
        return np.where((chance < self._rate) & (count > 0), pick, index)

    def _earlier(self, rows: np.ndarray) -> np.ndarray | None:
        first = self._segment_rows[rows].astype(np.int64)
        count = self._segment_rows[rows + 1].astype(np.int64) - first
        most = int(count.max(initial=0))
        if most == 0:
            return None
        place = np.arange(most)[None, :]
        real = place < count[:, None]  # (B, S)
        segment = np.where(real, first[:, None] + place, 0)
        start = self._segment_offsets[segment].astype(np.int64)
        length = (self._segment_offsets[segment + 1].astype(np.int64) - start) * real
        flat = _gather(self._segments, start.ravel(), length.ravel(), rounded(length))
        return flat.reshape(len(rows), most, -1)  # (B, S, Ls)


def _gather(flat: np.ndarray, start: np.ndarray, length: np.ndarray, width: int) -> np.ndarray:
    """Rows flat[start : start + length], right-padded with 0 to `width`; (B, width) int64."""
    place = np.arange(width)[None, :]
    inside = place < length[:, None]
    where = np.where(inside, start[:, None] + place, 0)
    if not len(flat):
        return np.zeros(where.shape, dtype=np.int64)
    return np.where(inside, flat[where], 0).astype(np.int64)
