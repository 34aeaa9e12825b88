"""Trains a peer on the puzzles of `fit` for so many seconds, and scores it as `fit` does.

Seconds are of training steps alone, by the clock, so a peer always has all of its budget. The rate
follows the clock too: a rise, then a cosine to a twentieth.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cogment_pipe.atomic import write_json
from cogment_pipe.benchmarks.peers.model import Peer, PeerSolver, as_batch, load_peer
from cogment_pipe.data.augment import Augmenter, apply_all, own_draw
from cogment_pipe.data.generators import GridSplit
from cogment_pipe.data.own_puzzles import Puzzles, check_augmentation, labels, read_puzzles
from cogment_pipe.data.symbols import STORED_IGNORE
from cogment_pipe.determinism import seed_global, set_determinism
from cogment_pipe.ema import WeightAverage
from cogment_pipe.errors import CogmentError
from cogment_pipe.fit_recipe import AUGMENTATIONS
from cogment_pipe.fit_score import figures
from cogment_pipe.peer_config import PeerSetting, PeerSlice
from cogment_pipe.report.artifacts import read_json
from cogment_pipe.rng import key, stream
from cogment_pipe.views import Symmetries

log = logging.getLogger(__name__)

WARMUP, END = 0.05, 0.05  # share of the time that the rate rises; what is left of it at the end
BETAS, CLIP = (0.9, 0.95), 1.0


def run_peer(slice: PeerSlice, checkout: Path, data: Path, tries: list[Path], out: Path) -> None:
    """Train one setting and write the record `out`.

    Without `tries` it is the only one of the slice, and only validation items are looked at; with
    the records of tries it is the one of them that was best on those, and the test is scored.
    """
    set_determinism(slice.threads, True)
    setting = best_setting(tries) if tries else slice.settings[0]
    puzzles = read_puzzles(data, None, slice.seed)
    check_augmentation(puzzles, tuple(slice.augment))
    types = tuple(AUGMENTATIONS[name] for name in slice.augment)
    symmetries = Symmetries(types, tuple(labels(puzzles)))
    seed_global(key(slice.seed, 0, 0, 0, "model"))
    peer = load_peer(checkout, slice.peer, puzzles, setting.batch_size)
    average = WeightAverage(peer.head, setting.ema)
    steps, seconds = train(peer, average, puzzles, symmetries, setting, slice)
    record: dict[str, Any] = {
        "class": f"{slice.peer.module}.{slice.peer.name}",
        "class_sha256": peer.sha256,
        "arch": slice.peer.arch,
        "setting": setting.model_dump(mode="json"),
        "seed": slice.seed,
        "threads": slice.threads,
        "steps": steps,
        "train_seconds": round(seconds, 3),
        "parameters": sum(p.numel() for p in peer.model.parameters()),
    }
    solver = PeerSolver(peer.model, symmetries)
    with average.swapped(peer.head):
        record["validation"] = figures(solver, puzzles.splits["validation"], 1)
        if tries:
            record["test"] = figures(solver, puzzles.splits["test"], 1)
            # Nothing to vote on where no answer is right alone; the table then says one view.
            if slice.views > 1 and record["test"]["exact"] > 0:
                record["test"]["voted"] = figures(solver, puzzles.splits["test"], slice.views)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, record)
    log.info("%s: %d updates, %s", out, steps, record.get("test", record["validation"]))


def best_setting(tries: list[Path]) -> PeerSetting:
    """Of all tries the one that solves most validation items; of equals, most of their cells."""
    records = [read_json(path) for path in tries]
    if any("validation" not in record for record in records):
        raise CogmentError(f"{tries[0].parent}: a try has no validation figures; run it again")
    looks = [(r["validation"]["exact"], r["validation"]["cells"]) for r in records]
    return PeerSetting.model_validate(records[looks.index(max(looks))]["setting"])


def train(
    peer: Peer,
    average: WeightAverage,
    puzzles: Puzzles,
    symmetries: Symmetries,
    setting: PeerSetting,
    slice: PeerSlice,
) -> tuple[int, float]:
    """(updates, seconds) of training by the peer's own loss, from a stream of fresh symmetries."""
    rate = setting.learning_rate
    optimizer = torch.optim.AdamW(
        peer.head.parameters(), rate, BETAS, weight_decay=setting.weight_decay, fused=True
    )
    batches = Batches(puzzles.splits["train"], symmetries, setting.batch_size, slice.seed)
    peer.head.train()
    carry, steps = None, 0
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < slice.seconds:
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_at(spent / slice.seconds)
        batch = batches.next()
        carry = peer.head.initial_carry(batch) if carry is None else carry
        carry, loss, _, _, _ = peer.head(return_keys=[], carry=carry, batch=batch)
        (loss / setting.batch_size).backward()
        torch.nn.utils.clip_grad_norm_(peer.head.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update()
        steps += 1
    return steps, time.perf_counter() - begun


def rate_at(progress: float) -> float:
    """Share of the peak rate after that share of the time."""
    if progress < WARMUP:
        return max(progress / WARMUP, 1e-3)
    rest = min(1.0, (progress - WARMUP) / (1 - WARMUP))
    return END + (1 - END) * 0.5 * (1 + math.cos(math.pi * rest))


class Batches:
    """Training puzzles in random order without end, each time under another symmetry."""

    def __init__(self, items: GridSplit, symmetries: Symmetries, size: int, seed: int) -> None:
        spec = {"labels": list(symmetries.labels)}
        draw = own_draw(spec, items.inputs.shape[1], symmetries.types)
        self.items, self.size = items, size
        self.augmenter = Augmenter(1.0, draw) if draw else None
        self.rng = stream(seed, 0, 0, 0, "peer")
        self.order = np.zeros(0, dtype=np.int64)

    def next(self) -> dict[str, torch.Tensor]:
        """The next batch, in the peer's words."""
        while len(self.order) < self.size:
            more = self.rng.permutation(len(self.items.inputs))
            self.order = np.concatenate([self.order, more])
        index, self.order = self.order[: self.size], self.order[self.size :]
        inputs = self.items.inputs[index].astype(np.int64)
        answers = self.items.targets[index].astype(np.int64)
        answers[answers == STORED_IGNORE] = -100
        if self.augmenter is not None:
            rows = self.augmenter(self.rng, inputs)
            inputs, answers = apply_all(rows, inputs), apply_all(rows, answers)
        return as_batch(inputs, answers)
