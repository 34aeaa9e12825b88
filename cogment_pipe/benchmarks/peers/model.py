"""A peer's model from a clone of its repository, and how it answers.

HRM and TRM (github.com/SamsungSAILMontreal/TinyRecursiveModels) share one interface: a carry whose
halted rows take the next batch's, and `(carry, batch)` to logits and a halting logit that is
trained to say whether the answer is right. Nothing of the clone is copied.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cogment_pipe.atomic import sha256_file
from cogment_pipe.data.own_puzzles import Puzzles
from cogment_pipe.errors import CogmentError
from cogment_pipe.inference import Refined
from cogment_pipe.peer_config import PeerClass
from cogment_pipe.views import Symmetries, refine_views

LOSSES, HEAD, LOSS = "models.losses", "ACTLossHead", "stablemax_cross_entropy"


@dataclass(frozen=True)
class Peer:
    """The model inside its own loss, and which file its class came from."""

    head: nn.Module
    model: nn.Module
    sha256: str


def load_peer(checkout: Path, peer: PeerClass, puzzles: Puzzles, batch_size: int) -> Peer:
    """The class with its own initial weights; CogmentError, one line, where it cannot be had."""
    if not (checkout / "models").is_dir():
        raise CogmentError(
            f"{checkout}: no clone with a folder `models`; clone the peer's repository and name "
            "its folder in benchmarks.peers.checkout"
        )
    sys.path.insert(0, str(checkout.resolve()))
    try:
        found = importlib.import_module(peer.module)
        losses = importlib.import_module(LOSSES)
        kind, head = getattr(found, peer.name), getattr(losses, HEAD)
    except (ImportError, AttributeError) as error:
        raise CogmentError(
            f"{checkout}: {peer.module} has no {peer.name} that can be imported ({error}); install "
            "what the clone needs beside this package"
        ) from None
    finally:
        sys.path.pop(0)
    sizes = {
        "batch_size": batch_size,
        "seq_len": puzzles.shape[0] * puzzles.shape[1],
        "vocab_size": puzzles.symbols,
        "num_puzzle_identifiers": 1,
    }
    try:
        model = kind({**peer.arch, **sizes})
    except (TypeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise CogmentError(f"benchmarks.peers: {peer.name} refuses its `arch`: {first}") from None
    return Peer(head(model, LOSS), model, sha256_file(Path(found.__file__)))


def as_batch(inputs: np.ndarray, labels: np.ndarray) -> dict[str, Tensor]:
    """Grids (B, H, W) and their answers, ignored cells below 0, in the peer's words."""
    rows = len(inputs)
    return {
        "inputs": torch.from_numpy(inputs.reshape(rows, -1).astype(np.int32)),
        "labels": torch.from_numpy(labels.reshape(rows, -1).astype(np.int64)),
        "puzzle_identifiers": torch.zeros(rows, dtype=torch.int32),
    }


@dataclass(frozen=True)
class PeerAnswers:
    """What the scorer of `fit` reads: answers (T, B, H, W) after each supervision step."""

    by_step: np.ndarray


class PeerSolver:
    """A trained peer behind the scorer of `fit`, views and all."""

    def __init__(self, model: nn.Module, symmetries: Symmetries | None) -> None:
        self.model, self.symmetries = model.eval(), symmetries

    def solve(self, grids: np.ndarray, views: int = 1) -> PeerAnswers:
        """Answers to grids (B, H, W); views as in `Solver.solve`."""
        grids = grids.astype(np.int64)
        if views > 1:
            chosen = self.symmetries.views(grids.shape[1:], views, seed=0)
            refined = refine_views(self._refine, grids, chosen)
        else:
            refined = self._refine(grids)
        return PeerAnswers(refined.by_step.view(-1, *grids.shape).numpy())

    @torch.no_grad()
    def _refine(self, grids: np.ndarray) -> Refined:
        batch = as_batch(grids, np.zeros_like(grids))
        carry: Any = self.model.initial_carry(batch)
        answers, trust = [], []
        for _ in range(self.model.config.halt_max_steps):
            carry, outputs = self.model(carry, batch)
            answers.append(outputs["logits"].argmax(-1))
            trust.append(torch.sigmoid(outputs["q_halt_logits"].float()))
        steps = torch.full((len(grids),), len(answers))
        by_step = torch.stack(answers), torch.stack(trust)
        return Refined(answers[-1], steps, steps, trust[-1], *by_step)
