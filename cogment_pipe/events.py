"""TensorBoard events of a training run: an extra view of metrics.jsonl, which stays the truth.

They carry clocks and host names, so they belong under logs/ and never into results. The package
`tensorboard` is optional and imported on first use only.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MISSING = "no TensorBoard events: the package is missing; pip install 'cogment-pipe[tensorboard]'"


class EventLog:
    """Scalars of training and validation records, for `tensorboard --logdir logs/tensorboard`.

    Args:
        folder: where the event files go; None writes none.
        step: steps done already; what an earlier, killed run wrote after them is hidden.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        self._writer = None if folder is None else _writer(Path(folder), step)

    def write(self, records: Iterable[dict]) -> None:
        """Add every finite number of the records, named by event, task and key."""
        if self._writer is None:
            return
        for record in records:
            for name, value in _scalars(str(record["event"]), record):
                self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning(MISSING)
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return SummaryWriter(log_dir=str(folder), purge_step=step + 1)


def _scalars(prefix: str, record: dict) -> Iterator[tuple[str, float]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _scalars(prefix if key == "tasks" else f"{prefix}/{key}", value)
        elif key != "step" and _is_scalar(value):
            yield f"{prefix}/{key}", float(value)


def _is_scalar(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)
