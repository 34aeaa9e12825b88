"""95% bootstrap intervals from a keyed seed, over items or over groups of items (ARC tasks)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cogment_pipe.rng import stream

BLOCK = 1 << 22  # draws held at once


def interval(
    values: Sequence[float],
    *,
    seed: int,
    purpose: str,
    resamples: int = 1000,
    level: float = 0.95,
    groups: Sequence | None = None,
) -> tuple[float, float]:
    """Percentile interval of the mean; with `groups`, of the mean of group means.

    Equal arguments give equal bounds. No values: (nan, nan) is never returned, but ValueError.
    """
    data = np.asarray(values, dtype=np.float64)
    if groups is not None:
        _, inverse = np.unique(np.asarray(groups).astype(str), return_inverse=True)
        data = np.bincount(inverse, weights=data) / np.bincount(inverse)
    if not len(data):
        raise ValueError("a bootstrap interval needs at least one value")
    rng = stream(seed, 0, 0, 0, f"bootstrap/{purpose}")
    means: list[np.ndarray] = []
    step = max(1, BLOCK // len(data))
    for first in range(0, resamples, step):
        draws = rng.integers(len(data), size=(min(step, resamples - first), len(data)))
        means.append(data[draws].mean(axis=1))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)
