"""Lanes: which micro-batches are computed beside each other changes no bit."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from cogment_pipe.lanes import Lanes
from cogment_pipe.streams import equal_parts
from tests.unit.test_streams import Grids, Texts, build, config, stream


@dataclass
class Found:
    """What a micro-batch gives."""

    loss: Tensor
    thread: str
    threads: int


def lanes(count: int, parameters: list[nn.Parameter], threads: int = 2) -> Lanes:
    return Lanes(count, threads, parameters, lambda found: found.loss, nullcontext)


def test_parts_come_back_in_order_with_the_sum_of_their_gradients():
    """Five parts over two lanes: each once, in order; no gradient where none has one."""
    weight, unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))

    def compute(part: float) -> Found:
        return Found((weight * part).sum(), threading.current_thread().name, 0)

    found = lanes(2, [weight, unused]).run(compute, [1.0, 2.0, 4.0, 8.0, 16.0])
    assert [float(f.loss.detach()) for f in found] == [3.0, 6.0, 12.0, 24.0, 48.0]
    assert weight.grad.tolist() == [31.0] * 3 and unused.grad is None
    assert len({f.thread for f in found}) == 2


def test_a_gradient_has_memory_of_its_own():
    """Two parameters may be given one tensor as their gradient; clipping works in place."""
    one, other = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(2, 3))
    parts = [lambda: (one + other).sum(), lambda: torch.zeros((), requires_grad=True) * 1.0]
    lanes(2, [one, other]).run(lambda part: Found(part(), "", 0), parts)
    one.grad.mul_(2.0)
    assert one.grad.tolist() == [[2.0] * 3] * 2 and other.grad.tolist() == [[1.0] * 3] * 2


def test_lanes_share_the_threads():
    """Each lane has its share of torch's threads, and afterwards there are as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        weight = nn.Parameter(torch.ones(1))

        def compute(_part: int) -> Found:
            return Found(weight.sum(), "", torch.get_num_threads())

        found = lanes(2, [weight], threads=4).run(compute, [0, 1])
        assert [f.threads for f in found] == [2, 2] and torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_threads_end_with_their_lanes():
    """A process that builds one trainer after another does not gather threads."""
    weight = nn.Parameter(torch.ones(1))
    many = lanes(3, [weight])
    many.run(lambda _part: Found(weight.sum(), "", 0), [0, 1, 2])
    own = [t for t in threading.enumerate() if t.name.startswith("lane")]
    assert own
    many = weakref.ref(many)
    gc.collect()
    assert many() is None
    for thread in own:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in own)


@pytest.mark.parametrize("broken", [0, 1])
def test_an_error_in_a_lane_is_raised(broken: int):
    """In the calling thread, whichever lane it was in, and nothing is left in `.grad`."""
    weight = nn.Parameter(torch.ones(1))

    def compute(part: int) -> Found:
        if part == broken:
            raise ValueError(f"part {part}")
        return Found(weight.sum(), "", 0)

    with pytest.raises(ValueError, match=f"part {broken}"):
        lanes(2, [weight]).run(compute, [0, 1])
    assert weight.grad is None


@pytest.mark.parametrize("data", [Grids, Texts])
@pytest.mark.parametrize("scheme", ["joint", "per_step"])
@pytest.mark.parametrize("autocast", [False, True])
def test_bits_are_those_of_one_after_the_other(data, scheme, autocast):
    """Gradients and losses of three updates, with and without mixed precision."""
    home = config(update=scheme, accumulate=3)

    def gradients(beside: bool) -> list[Tensor]:
        model = build()
        parameters = list(model.parameters())
        mixed = lambda: torch.autocast(  # noqa: E731
            "cpu", torch.bfloat16, enabled=autocast, cache_enabled=False
        )
        many = Lanes(2, 2, parameters, lambda update: update.parts.loss, mixed)
        batches, found = stream(data(), home), []
        for _ in range(3):
            model.zero_grad()
            with mixed():
                update = batches.update(
                    model, home.loss, 0.02, 0.0, Tensor.backward, lanes=many if beside else None
                )
            found += [update.parts.loss.detach(), *(p.grad for p in parameters)]
        return [tensor for tensor in found if tensor is not None]

    one, other = gradients(False), gradients(True)
    assert len(one) == len(other)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_parts_are_of_equal_work():
    """By number of rows, or by the sum of their lengths; never empty, all rows once, in order."""
    assert [p.tolist() for p in equal_parts(5, None, 2)] == [[0, 1, 2], [3, 4]]
    lengths = np.array([1, 1, 1, 1, 2, 6])
    assert [p.tolist() for p in equal_parts(6, lengths, 2)] == [[0, 1, 2, 3, 4], [5]]
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 9))
        count = int(rng.integers(1, n + 1))
        lengths = np.sort(rng.integers(0, 3, n))
        parts = equal_parts(n, lengths, count)
        assert len(parts) == count and all(len(part) for part in parts)
        assert np.concatenate(parts).tolist() == list(range(n))


def test_more_lanes_than_micro_batches_are_refused():
    """In one line that says what to do."""
    with pytest.raises(ValidationError, match="raise accumulate to 3"):
        config(lanes=3, accumulate=2)
