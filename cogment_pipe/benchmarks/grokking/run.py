"""One run of the grokking benchmark: an arm at a seed, written as JSON lines.

First line: what the run depends on. Then one line per look at the validation pairs, and a last one
with what was reached. No clock, host or path is in it, so a run gives the same bytes again.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from cogment_pipe import rng
from cogment_pipe.atomic import write_bytes
from cogment_pipe.benchmark_config import GrokkingSlice
from cogment_pipe.benchmarks.grokking.arms import Updater
from cogment_pipe.benchmarks.grokking.network import Decoder, stablemax_loss
from cogment_pipe.benchmarks.grokking.task import Pairs, batches, split
from cogment_pipe.determinism import environment, set_determinism
from cogment_pipe.provenance import versions

DIGITS = 6
LOG_EVERY = 200  # steps
_log = logging.getLogger(__name__)


def run_arm(arm: str, seed: int, slice: dict, source: str, out: Path) -> Path:
    """Train one arm and write `out`/{arm}-seed{seed}.jsonl atomically; returns its path.

    The run ends when validation accuracy held the threshold for `hold` looks, at `max_steps`, or
    where the loss is not finite.
    """
    part = GrokkingSlice.model_validate(slice)
    set_determinism(part.task.threads, strict=True)
    run = GrokkingRun(part, seed)
    head = {
        "event": "run",
        "arm": arm,
        "seed": seed,
        "slice": part.model_dump(mode="json"),
        "source": source,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "environment": environment("cpu", "fp32"),
        "versions": versions(("torch", "numpy")),
    }
    looks = []
    for look in run.looks():
        looks.append(look)
        if look["step"] % LOG_EVERY < part.task.eval_every:
            _log.info("%s seed %d %s", arm, seed, _words(look))
    lines = [head, *looks, run.outcome(looks)]
    path = out / f"{arm}-seed{seed}.jsonl"
    write_bytes(path, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode())
    _log.info("%s seed %d: %s", arm, seed, _words(lines[-1]))
    return path


class GrokkingRun:
    """A network, its data and its arm."""

    def __init__(self, part: GrokkingSlice, seed: int) -> None:
        self.task, self.arm = part.task, part.arm
        # Modules draw their first weights from the global generator.
        torch.manual_seed(rng.key(seed, 0, 0, 0, "grokking/weights") % (1 << 63))
        self.model = Decoder(self.task)
        self.updater = Updater(self.model, self.arm, self.task.warmup_steps)
        self.loss = F.cross_entropy if self.arm.loss == "softmax" else stablemax_loss
        training, self.validation = split(self.task, seed)
        self.batches = batches(training, self.task, seed)

    def looks(self) -> Iterator[dict[str, Any]]:
        """Train, and look every `eval_every` steps until the run is over."""
        held = 0
        shown = self.validation.take(slice(self.task.eval_items))
        for first in range(0, self.arm.max_steps, self.task.eval_every):
            steps = min(self.task.eval_every, self.arm.max_steps - first)
            accuracy, loss = self._train(steps)
            right, held_out = self._evaluate(shown)
            yield {
                "event": "look",
                "step": first + steps,
                "train_accuracy": round(accuracy, DIGITS),
                "train_loss": _finite(loss),
                "validation_accuracy": round(right, DIGITS),
                "validation_loss": _finite(held_out),
            }
            held = held + 1 if right >= self.task.threshold else 0
            if held >= self.task.hold or not math.isfinite(loss):
                return

    def outcome(self, looks: list[dict[str, Any]]) -> dict[str, Any]:
        """The last line: steps to the threshold in training and validation, and the end's state."""
        accuracy, loss = self._evaluate(self.validation)
        return {
            "event": "end",
            "steps": looks[-1]["step"],
            "train_reached": first_crossing(looks, "train_accuracy", self.task.threshold),
            "reached": first_crossing(looks, "validation_accuracy", self.task.threshold),
            "held": first_crossing(
                looks, "validation_accuracy", self.task.threshold, self.task.hold
            ),
            "finite": looks[-1]["train_loss"] is not None,
            "all_validation_accuracy": round(accuracy, DIGITS),
            "all_validation_loss": _finite(loss),
        }

    def _train(self, steps: int) -> tuple[float, float]:
        """Share right and mean loss over the batches of `steps` steps, as they were met."""
        right, total, items = 0, 0.0, 0
        for _ in range(steps):
            x, y, result = _tensors(next(self.batches))
            logits = self.model(x, y)
            loss = self.loss(logits, result)
            loss.backward()
            self.updater.step()
            right += int((logits.argmax(-1) == result).sum())
            total += loss.item() * len(result)
            items += len(result)
        return right / items, total / items

    @torch.no_grad()
    def _evaluate(self, items: Pairs) -> tuple[float, float]:
        x, y, result = _tensors(items)
        logits = self.model(x, y)
        right = (logits.argmax(-1) == result).double().mean()
        return right.item(), self.loss(logits, result).item()


def first_crossing(
    looks: list[dict[str, Any]], name: str, threshold: float, hold: int = 1
) -> int | None:
    """Step of the first look that begins `hold` looks in a row at or above `threshold`."""
    above = [look[name] >= threshold for look in looks]
    for start in range(len(looks) - hold + 1):
        if all(above[start : start + hold]):
            return looks[start]["step"]
    return None


def _tensors(items: Pairs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (torch.from_numpy(items.x), torch.from_numpy(items.y), torch.from_numpy(items.result))


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return round(value, DIGITS) if math.isfinite(value) else None


def _words(record: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in record.items() if name != "event")
