"""Keyed random streams: every draw belongs to (seed, stage, step, rank, purpose).

No generator outlives the step that made it, so there is no hidden state to lose at a resume and an
evaluation can never disturb training.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def key(seed: int, stage: int, step: int, rank: int, purpose: str) -> int:
    """128-bit key of a stream; equal arguments give equal keys on every machine."""
    text = f"{seed}/{stage}/{step}/{rank}/{purpose}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def stream(seed: int, stage: int, step: int, rank: int, purpose: str) -> np.random.Generator:
    """A numpy generator for one purpose at one step."""
    return np.random.Generator(np.random.PCG64(key(seed, stage, step, rank, purpose)))


def torch_stream(
    seed: int, stage: int, step: int, rank: int, purpose: str, device: str = "cpu"
) -> torch.Generator:
    """A torch generator for one purpose at one step."""
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(key(seed, stage, step, rank, purpose) % (1 << 63))
    return generator
