"""The torch optimizers of one component, and the checking of their saved moments.

Parts of `optim.py`'s joint step that know nothing of steps: which optimizer takes which parameter,
and whether a saved state fits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cogment_pipe.grokfast import Components
from cogment_pipe.muon import Muon
from cogment_pipe.schedule import COMPONENTS
from cogment_pipe.stage_config import MultiOptimizerConfig

ADAMW = {"exp_avg", "exp_avg_sq", "step"}
MUON = {"momentum_buffer"}
MOMENTS = tuple(sorted(ADAMW | MUON))
"""Entries of an optimizer's state that are saved, all there are."""


def check_components(components: Components) -> None:
    """Raise ValueError unless names are known and every parameter is in one component only."""
    unknown = sorted(components.keys() - set(COMPONENTS))
    if unknown:
        raise ValueError(f"unknown components {unknown}; known: {', '.join(COMPONENTS)}")
    everything = [pair for named in components.values() for pair in named]
    if not everything:
        raise ValueError("there is no parameter to optimize")
    if len({name for name, _ in everything}) != len(everything):
        raise ValueError("a parameter name occurs in two components")
    if len({id(parameter) for _, parameter in everything}) != len(everything):
        raise ValueError("a parameter belongs to two components")


def build_optimizers(
    component: str, named: list[tuple[str, nn.Parameter]], config: MultiOptimizerConfig
) -> list[torch.optim.Optimizer]:
    """Optimizers of one component; their rates are set before each step."""
    decay = getattr(config, f"{component}_weight_decay")
    parameters = [parameter for _, parameter in named]
    optimizers: list[torch.optim.Optimizer] = []
    if getattr(config, f"{component}_optimizer", "adamw") == "muon":
        matrices = [p for p in parameters if p.ndim == 2]
        parameters = [p for p in parameters if p.ndim != 2]
        if matrices:
            optimizers.append(Muon(matrices, weight_decay=decay))
        # Muon wants a large decay: convolution kernels would fade under it between the batches of
        # the one task that needs them, and mazes never be learnt beside others.
        decay = 0.0
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if groups:
        betas = getattr(config, f"{component}_betas")
        optimizers.append(torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True))
    return optimizers


def read_moments(
    component: str, named: list[tuple[str, nn.Parameter]], saved: dict[str, dict[str, Tensor]]
) -> dict[str, dict[str, Tensor]]:
    """Saved moments by parameter name, checked and copied to the parameter's device.

    Raises:
        ValueError: an unknown entry or name, another shape, or half of a parameter's moments.
    """
    parameters = dict(named)
    state: dict[str, dict[str, Tensor]] = {}
    for key, tensors in saved.items():
        if key not in MOMENTS:
            raise ValueError(f"optimizer state of {component!r} holds the unknown entry {key!r}")
        for name, tensor in tensors.items():
            if name not in parameters:
                raise ValueError(f"optimizer state of {component!r} holds unknown {name!r}")
            parameter = parameters[name]
            if key != "step" and tensor.shape != parameter.shape:
                raise ValueError(
                    f"optimizer state {key} of {name!r} has shape {tuple(tensor.shape)}, "
                    f"not {tuple(parameter.shape)}"
                )
            copied = tensor.detach().to(parameter.device, copy=True)
            state.setdefault(name, {})[key] = copied
    for name, entries in state.items():
        if entries.keys() not in (ADAMW, MUON):
            raise ValueError(f"optimizer state of {name!r} holds only {sorted(entries)}")
    return state
