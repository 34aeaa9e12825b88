"""Which items and which task a step trains on: pure functions of the step.

There is no loader state: any step's batch is computed directly, so a resumed run cannot drift
from an unbroken one.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cogment_pipe.rng import stream

GOLDEN = 0x9E3779B97F4A7C15
WORD = 1 << 64


@lru_cache(maxsize=64)
def epoch_order(n_items: int, seed: int, stage: int, epoch: int, task: str) -> np.ndarray:
    """Order of one epoch: (n_items,) int64, read-only, keyed by its arguments alone."""
    order = stream(seed, stage, epoch, 0, f"order/{task}").permutation(n_items)
    order.flags.writeable = False
    return order


def batch_indices(
    n_items: int,
    batch_size: int,
    step: int,
    *,
    seed: int,
    stage: int,
    task: str,
    sizes: np.ndarray | None = None,
    buckets: int = 1,
) -> np.ndarray:
    """Items of batch `step` in an endless sequence of shuffled epochs.

    Each item comes exactly once an epoch; a batch may span the end of one or of several. With
    `sizes` (n_items,), the items of `buckets` batches in a row are sorted by size before they are
    cut into these batches, whose order is drawn: rows of about one length need little padding.

    Returns: (batch_size,) int64. Raises ValueError for an empty task or a negative step.
    """
    if n_items < 1 or batch_size < 1 or step < 0 or buckets < 1:
        raise ValueError(
            f"batch_indices needs n_items >= 1, batch_size >= 1, step >= 0 and buckets >= 1, "
            f"not {n_items}, {batch_size}, {step}, {buckets}"
        )
    keys = (n_items, seed, stage, task)
    if sizes is None or buckets == 1:
        return _in_a_row(step * batch_size, batch_size, *keys)
    window, place = divmod(step, buckets)
    items = _in_a_row(window * buckets * batch_size, buckets * batch_size, *keys)
    items = items[np.argsort(sizes[items], kind="stable")]
    turn = stream(seed, stage, window, 0, f"buckets/{task}").permutation(buckets)[place]
    return items[turn * batch_size : (turn + 1) * batch_size]


def _in_a_row(
    position: int, count: int, n_items: int, seed: int, stage: int, task: str
) -> np.ndarray:
    """`count` items from `position` on in the sequence of epochs: (count,) int64."""
    parts: list[np.ndarray] = []
    while count:
        epoch, offset = divmod(position, n_items)
        part = epoch_order(n_items, seed, stage, epoch, task)[offset : offset + count]
        parts.append(part)
        position += len(part)
        count -= len(part)
    return np.concatenate(parts)


def task_at(step: int, weights: dict[str, float]) -> str:
    """Task of a step: weighted round robin by the golden-ratio sequence.

    Over any run of n steps a task's count differs from its share by O(log n), and the pattern is
    not periodic, so that no schedule can lock on to it. O(len(weights)); names in dict order.
    """
    total = sum(weights.values())
    if not weights or total <= 0 or min(weights.values()) < 0:
        raise ValueError(f"task_at needs weights >= 0 with a sum above 0, not {weights}")
    point = ((step + 1) * GOLDEN % WORD) / WORD * total
    for name, weight in weights.items():
        if point < weight:
            return name
        point -= weight
    return next(name for name in reversed(weights) if weights[name] > 0)
