"""How long the training steps of a run took, resumes included; evaluation and start-up left out.

A run that goes on from a snapshot repeats the steps after it, so what was noted of those is
dropped: the total is the time of the steps that made the weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cogment_pipe.atomic import write_bytes


class Stopwatch:
    """Times steps for `train_stage(around_step=...)` and keeps blocks of them in a file.

    Args:
        path: file of the blocks, read where it is there.
        every: steps between two writes; a divisor of the interval between snapshots, so that a
            killed run loses the time of the same steps that it loses.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self._blocks: list[list[float]] = []  # [first step, seconds]
        if path.is_file():
            self._blocks = json.loads(path.read_text(encoding="utf-8"))
        self._running = False

    @contextmanager
    def __call__(self, step: int) -> Iterator[None]:
        """Time step number `step`, from 0."""
        if not self._running:
            self._blocks = [block for block in self._blocks if block[0] < step]
            self._running = True
            self._blocks.append([step, 0.0])
        begun = time.perf_counter()
        yield
        self._blocks[-1][1] += time.perf_counter() - begun
        if (step + 1) % self.every == 0:
            self.save()
            self._blocks.append([step + 1, 0.0])

    def save(self) -> None:
        """Write what was timed so far."""
        write_bytes(self.path, json.dumps(self._blocks).encode())

    @property
    def seconds(self) -> float:
        """Time of all steps that count."""
        return sum(seconds for _, seconds in self._blocks)
