"""Lanes: micro-batches of one update, computed side by side on a CPU.

Threads that share every operation wait for each other a thousand times a step; threads that each
take a micro-batch meet once. Every micro-batch is computed as it would be alone, and gradients are
added in the order of micro-batches, so no bit depends on which lane is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

Part = TypeVar("Part")
Found = TypeVar("Found")


class Lanes:
    """Computes micro-batches, `count` at a time, and leaves the sum of their gradients in `.grad`.

    Args:
        count: lanes; one of them is the calling thread.
        threads: torch threads of the run, which the lanes share (at least one each).
        parameters: what gradients are taken of.
        loss: what to differentiate of a micro-batch's result.
        autocast: mixed precision of a forward pass, entered anew in each lane, since torch keeps it
            by thread. Without its cache of cast weights, which all threads share: where one lane
            empties it, another casts again, and then adds gradients in another precision.
    """

    def __init__(
        self,
        count: int,
        threads: int,
        parameters: list[nn.Parameter],
        loss: Callable[[Found], Tensor],
        autocast: Callable[[], AbstractContextManager],
    ) -> None:
        self.count, self.share = count, max(1, threads // count)
        self._parameters, self._loss, self._autocast = parameters, loss, autocast
        # threads keep their initializer: one that knew `self` would keep the lanes alive for ever
        self._pool = ThreadPoolExecutor(
            count - 1, "lane", initializer=torch.set_num_threads, initargs=(self.share,)
        )

    def run(self, compute: Callable[[Part], Found], parts: list[Part]) -> list[Found]:
        """`compute` of every part, in order; the gradient is that of the sum of their losses.

        An error in a lane is raised here, once all lanes have ended.
        """

        def one(part: Part) -> tuple[Found, tuple[Tensor | None, ...]]:
            with self._autocast():
                found = compute(part)
                loss = self._loss(found)
                return found, torch.autograd.grad(loss, self._parameters, allow_unused=True)

        results = []
        with _threads(self.share):
            for start in range(0, len(parts), self.count):
                first, *rest = parts[start : start + self.count]
                beside = [self._pool.submit(one, part) for part in rest]
                try:
                    results.append(one(first))
                finally:
                    wait(beside)
                results += [future.result() for future in beside]
        for parameter, *gradients in zip(self._parameters, *(g for _, g in results), strict=True):
            given = [gradient for gradient in gradients if gradient is not None]
            parameter.grad = _sum(given) if given else None
        return [found for found, _ in results]


def _sum(tensors: list[Tensor]) -> Tensor:
    """From left to right, in memory of its own: two gradients may be one tensor, or a view."""
    total, *others = tensors
    if not others:
        return total.clone(memory_format=torch.contiguous_format)
    for tensor in others:
        total = total + tensor
    return total


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
