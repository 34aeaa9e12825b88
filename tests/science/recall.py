"""Recall across segments: a task that no attention inside one segment can solve."""

from __future__ import annotations

import numpy as np

from cogment_pipe.data.batch import TextBatch

VALUES, KEYS, NOISE = 32, 32, 16
KEY0 = 8
VALUE0 = KEY0 + KEYS
NOISE0 = VALUE0 + VALUES
VOCABULARY = NOISE0 + NOISE
ASK = 5
PAIRS = 3


class Recall:
    """Documents of key-value pairs among noise in `segments` segments; the last asks for all keys.

    Keys of a document are distinct and asked in random order; the value must be said at the place
    of its key. Item i is a pure function of (seed, i, segments).
    """

    name, kind, task_id, weight, batch_size = "recall", "text", 9, 1.0, None
    metric, difficulty = "recall", None

    def __init__(self, items: int, seed: int, segments: int = 4, length: int = 8) -> None:
        self.items, self.seed, self.segments, self.length = items, seed, segments, length

    def __len__(self) -> int:
        return self.items

    def batch(self, index, *, rng=None, augment=False, answers=True) -> TextBatch:
        """Rows `index`: earlier segments, then the keys; no value stands beside them."""
        n, asked = len(index), PAIRS * self.segments
        segments = np.zeros((n, self.segments, self.length), np.int64)
        tokens = np.full((n, asked + 1), ASK)
        targets = np.full_like(tokens, -100)
        for row, item in enumerate(index):
            draw = np.random.default_rng([self.seed, int(item), self.segments])
            keys = KEY0 + draw.permutation(KEYS)[:asked]
            values = VALUE0 + draw.integers(VALUES, size=asked)
            text = NOISE0 + draw.integers(NOISE, size=(self.segments, self.length))
            for s in range(self.segments):
                places = 2 * draw.permutation(self.length // 2)[:PAIRS]
                mine = slice(PAIRS * s, PAIRS * s + PAIRS)
                text[s, places], text[s, places + 1] = keys[mine], values[mine]
            order = draw.permutation(asked)
            segments[row], tokens[row, 1:], targets[row, 1:] = text, keys[order], values[order]
        length = np.full(n, asked + 1)
        index = np.asarray(index)
        return TextBatch(self.name, self.task_id, segments, tokens, length, length, targets, index)
