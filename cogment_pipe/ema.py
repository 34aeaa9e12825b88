"""Exponential average of a model's weights, in fp32: what is evaluated and exported.

Early updates use a shorter memory, min(decay, (1 + n) / (10 + n)) after n updates, so that a stage
of a few hundred steps is not judged by its starting weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Average of all parameters and persistent floating-point buffers of `model`, by name.

    Args:
        model: its present weights are where the average starts; it is kept by reference, and its
            tensors must stay the same objects (whatever changes them does so in place).
        decay: weight of the old average in an update, 0 to 1.
        warmup: shorten the memory of early updates, as the module says.
    """

    def __init__(self, model: nn.Module, decay: float, *, warmup: bool = True) -> None:
        if not 0.0 <= decay <= 1.0:
            raise ValueError(f"decay of the weight average must be in 0..1, not {decay}")
        self._model = model
        self._decay = decay
        self._warmup = warmup
        self.updates = 0
        # kept: to ask a model for its tensors takes longer than to average them
        self._live = averaged_tensors(model)
        self._average = {
            name: tensor.detach().to(torch.float32, copy=True)
            for name, tensor in self._live.items()
        }

    @property
    def decay(self) -> float:
        """Weight of the old average in the next update."""
        if not self._warmup:
            return self._decay
        return min(self._decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the present weights; call once per applied step, never else."""
        weight = 1.0 - self.decay
        pairs = [(average, self._live[name]) for name, average in self._average.items()]
        together = [pair for pair in pairs if pair[1].dtype == torch.float32]
        if together:
            averages, tensors = map(list, zip(*together, strict=True))
            torch._foreach_lerp_(averages, tensors, weight)
        for average, tensor in pairs:
            if tensor.dtype != torch.float32:
                average.lerp_(tensor.to(torch.float32), weight)
        self.updates += 1

    @contextmanager
    def swapped(self, model: nn.Module | None = None) -> Iterator[nn.Module]:
        """Context manager: `model` holds the average inside, and its own bits again afterwards.

        Args:
            model: the model to fill; by default the one that is averaged.

        Raises:
            ValueError: the model's tensors have other names or shapes.
        """
        model = self._model if model is None else model
        live = averaged_tensors(model)
        _check_names(live, self._average, "model")
        kept = {name: tensor.detach().clone() for name, tensor in live.items()}
        try:
            with torch.no_grad():
                for name, tensor in live.items():
                    tensor.copy_(self._average[name])
            yield model
        finally:
            with torch.no_grad():
                for name, tensor in live.items():
                    tensor.copy_(kept[name])

    def weights(self) -> dict[str, Tensor]:
        """The averages by name, sorted (the live tensors, fp32)."""
        return {name: self._average[name] for name in sorted(self._average)}

    def state_dict(self) -> dict[str, Any]:
        """Averages by name and the count of updates."""
        return {"average": self.weights(), "updates": self.updates}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a saved average over, into the present buffers.

        Raises:
            ValueError: other names or shapes.
        """
        saved: dict[str, Tensor] = state["average"]
        _check_names(saved, self._average, "saved weight average")
        for name, average in self._average.items():
            average.copy_(saved[name])
        self.updates = int(state["updates"])


def averaged_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Tensors of a model that take part: each tied parameter once, no constant tables."""
    persistent = model.state_dict(keep_vars=True)
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    for name, buffer in model.named_buffers():
        if name in persistent and buffer.is_floating_point():
            tensors[name] = buffer
    return tensors


def _check_names(found: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(f"{what} does not fit: missing {missing[:3]}, unknown {unknown[:3]}")
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            raise ValueError(
                f"{what}: {name!r} has shape {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
            )
