"""Cheap scalar draws for generators that walk graphs and trees item by item."""

from __future__ import annotations

import numpy as np


class Dice:
    """Uniform draws from one stream, taken in bulk: a numpy call per draw would dominate."""

    def __init__(self, rng: np.random.Generator, bulk: int = 4096) -> None:
        self._rng = rng
        self._bulk = bulk
        self._draws: list[float] = []

    def random(self) -> float:
        """Uniform in [0, 1)."""
        if not self._draws:
            self._draws = self._rng.random(self._bulk).tolist()
        return self._draws.pop()

    def below(self, n: int) -> int:
        """Uniform in 0..n-1."""
        return int(self.random() * n)

    def shuffle(self, items: list) -> list:
        """Fisher-Yates in place; returns the list."""
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
        return items
