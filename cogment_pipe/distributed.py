"""Several processes that train one stage together: the same batches, one gradient, one writer.

Each process takes its micro-batches of every batch; gradients are summed over all of them before
the optimizer step, which then is the same everywhere, so weights and schedules stay replicas. A
step that is not finite is so in the sum, and all skip it together. Process 0 alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

# A process may wait for a lock as long as another run of the stage lasts; a dead peer is noticed
# by its closed connection, not by this.
_PATIENCE = timedelta(days=7)


class PeerLostError(Exception):
    """Another process of the run is gone: nothing further can be computed here."""


class World:
    """The processes of one run; alone, every method returns what it is given."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @torch.no_grad()
    def sum_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Put the sum over all processes in every `.grad`, added in one order of parameters.

        A parameter has a gradient afterwards where any process had one.
        """
        if self.size == 1:
            return
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        given = torch.tensor([float(p.grad is not None) for p in parameters])
        flat = torch.cat([part.flatten() for part in parts] + [given.to(parts[0])])
        _collective(dist.all_reduce, flat)
        *sums, given = flat.split([part.numel() for part in parts] + [len(parts)])
        for parameter, total, count in zip(parameters, sums, given.tolist(), strict=True):
            parameter.grad = total.view_as(parameter).clone() if count else None

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes; each gives a tensor of one shape."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone()
        _collective(dist.all_reduce, total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process: all hear the same answer."""
        if self.size == 1:
            return flag
        device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
        return bool(self.sum(torch.tensor([float(flag)], device=device)).item())

    def gather(self, content: Any) -> list[Any]:
        """What every process gives, by rank."""
        if self.size == 1:
            return [content]
        found: list[Any] = [None] * self.size
        _collective(dist.all_gather_object, found, content)
        return found

    def told(self, content: Any) -> Any:
        """What process 0 gives; the others' is ignored."""
        if self.size == 1:
            return content
        held = [content]
        _collective(dist.broadcast_object_list, held)
        return held[0]


ALONE = World()


def _collective(operation: Callable[..., Any], *arguments: Any) -> None:
    try:
        operation(*arguments)
    except RuntimeError as error:
        raise PeerLostError(str(error)) from error


def spawned() -> bool:
    """Whether `launch` (or torchrun) started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def local_rank() -> int:
    """Which of this machine's devices is this process's."""
    return int(os.environ.get("LOCAL_RANK", "0")) if spawned() else 0


def local_size() -> int:
    """Processes of this run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if spawned() else 1


@contextmanager
def open_world(device: torch.device) -> Iterator[World]:
    """The world of this process: nccl between GPUs, gloo between processors, or alone."""
    if not spawned():
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    _collective(lambda: dist.init_process_group(backend, timeout=_PATIENCE))
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
