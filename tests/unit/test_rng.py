"""Keyed streams: every draw belongs to its key alone."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch

from cogment_pipe import rng


def test_keys_differ_in_every_part() -> None:
    """No two (seed, stage, step, rank, purpose) of a grid share a key, nor do shifted numbers."""
    grid = itertools.product((0, 1, 11), (0, 1), (0, 1, 11, 111), (0, 1), ("data", "dropout"))
    keys = [rng.key(*parts) for parts in grid]
    assert len(set(keys)) == len(keys) == 96
    assert all(0 <= key < 1 << 128 for key in keys)


def test_key_is_the_same_everywhere() -> None:
    """The key is defined by its text alone: a change would break every saved run.

    The number is the head of `printf 0/2/1500/0/batch | sha256sum`.
    """
    assert rng.key(0, 2, 1500, 0, "batch") == 0x26CD1DF74DE8D8C0E46DFA53DFC26DE5


def test_streams_repeat_and_do_not_disturb_global_generators() -> None:
    """A stream gives the same draws whenever it is made, and leaves the global state alone."""
    states = (random.getstate(), torch.get_rng_state())
    numpy_state = np.random.get_state()[1].copy()
    first = rng.stream(1, 2, 3, 0, "x").random(5)
    rng.stream(1, 2, 4, 0, "x").random(5)
    assert np.array_equal(first, rng.stream(1, 2, 3, 0, "x").random(5))
    a = torch.rand(5, generator=rng.torch_stream(1, 2, 3, 0, "x"))
    torch.rand(5, generator=rng.torch_stream(1, 2, 4, 0, "x"))
    assert torch.equal(a, torch.rand(5, generator=rng.torch_stream(1, 2, 3, 0, "x")))
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert np.array_equal(np.random.get_state()[1], numpy_state)


@pytest.mark.parametrize("part", range(5))
def test_any_part_of_the_key_changes_the_draws(part: int) -> None:
    """Seed, stage, step, rank and purpose all reach both kinds of stream."""
    base: list = [1, 2, 3, 0, "x"]
    other = list(base)
    other[part] = "y" if part == 4 else base[part] + 1
    assert not np.array_equal(rng.stream(*base).random(4), rng.stream(*other).random(4))
    a = torch.rand(4, generator=rng.torch_stream(*base))
    assert not torch.equal(a, torch.rand(4, generator=rng.torch_stream(*other)))
