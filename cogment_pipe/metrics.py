"""Where a run's numbers go: metrics.jsonl without a clock, and a progress line with one."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

from cogment_pipe.atomic import write_bytes

log = logging.getLogger(__name__)

PRECISION = 6


class MetricLog:
    """Append-only JSONL whose length a snapshot remembers, so that a resume can cut it back.

    Without a path it takes everything and keeps nothing: one process of several writes.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path and self.path.exists() else 0

    def truncate(self, size: int) -> None:
        """Cut the log to its first `size` bytes."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.truncate(size)

    def append(self, records: list[dict]) -> None:
        """Write records, one canonical JSON object a line, durably."""
        if self.path is None:
            return
        text = "".join(json.dumps(_rounded(r), sort_keys=True) + "\n" for r in records)
        with open(self.path, "ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def publish(self, target: Path, size: int) -> None:
        """Copy the first `size` bytes to a declared output."""
        write_bytes(target, self.path.read_bytes()[:size] if self.path.exists() else b"")


class ProgressLine:
    """One informative line per log interval on stderr; speed and time left live only here."""

    def __init__(self, stage: int, total: int, done: int) -> None:
        self.stage, self.total, self.start, self.begun = stage, total, done, time.monotonic()

    def training(self, records: list[dict]) -> None:
        """Say how the last steps went."""
        last = records[-1]
        elapsed = time.monotonic() - self.begun
        rate = (last["step"] - self.start) / max(elapsed, 1e-9)
        left = (self.total - last["step"]) / max(rate, 1e-9)
        log.info(
            "stage %d step %d/%d %s loss %s acc %s ponder %s lr %.2e grad %s %.1f steps/s left %ds",
            self.stage,
            last["step"],
            self.total,
            last["task"],
            _short(last["loss"]),
            _short(last["accuracy"]),
            _short(last["ponder"]),
            last["lr"],
            _short(last["grad_norm"]),
            rate,
            int(left),
        )

    def validation(self, record: dict) -> None:
        """Say how held-out items went."""
        tasks = " ".join(f"{n} {t['exact']:.3f}" for n, t in record["tasks"].items())
        log.info("stage %d step %d validation %s", self.stage, record["step"], tasks)


def _short(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.{PRECISION}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value
