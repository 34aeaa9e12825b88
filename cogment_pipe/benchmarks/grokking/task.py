"""The task x * y mod p, split in two halves, and the order of its training batches.

Torch-free. The published benchmark (Power et al., arXiv 2201.02177; Lee et al., arXiv 2405.20233)
writes an item as five tokens, `x op y = result`; the two constant ones are the network's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cogment_pipe import rng
from cogment_pipe.benchmark_config import GrokkingTask

NO_STAGE, NO_STEP = 0, 0


@dataclass(frozen=True)
class Pairs:
    """Items as arrays of equal length: the factors x and y, and the product modulo p, all (N,)."""

    x: np.ndarray
    y: np.ndarray
    result: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: np.ndarray | slice) -> Pairs:
        """The items at `index`."""
        return Pairs(self.x[index], self.y[index], self.result[index])


def split(task: GrokkingTask, seed: int) -> tuple[Pairs, Pairs]:
    """(training, validation): all products with 0 <= x < p, 0 < y < p, in an order of the seed."""
    p = task.modulus
    x, y = (axis.reshape(-1) for axis in np.meshgrid(np.arange(p), np.arange(1, p), indexing="ij"))
    items = Pairs(x, y, x * y % p)
    order = rng.stream(seed, NO_STAGE, NO_STEP, 0, "grokking/split").permutation(len(items))
    cut = int(len(items) * task.train_share)
    return items.take(order[:cut]), items.take(order[cut:])


def batches(items: Pairs, task: GrokkingTask, seed: int) -> Iterator[Pairs]:
    """Endless training batches, each epoch in a new order; its last batch is what is left over."""
    epoch = 0
    while True:
        order = rng.stream(seed, NO_STAGE, epoch, 0, "grokking/order").permutation(len(items))
        for start in range(0, len(items), task.batch_size):
            yield items.take(order[start : start + task.batch_size])
        epoch += 1
