"""Muon: momentum of a matrix, orthogonalised (Jordan 2024, kellerjordan.github.io/posts/muon).

As `torch.optim.Muon`, but for one thing: on a CPU it orthogonalises in fp32. bf16, which torch
always takes, costs many times as much there where the processor has no instructions for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that lifts small singular values fastest
ITERATIONS = 5
EPS = 1e-7


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay; for matrices alone.

    A step moves a matrix (m, n) by lr * 0.2 * sqrt(max(m, n)) times an orthogonal one, about as far
    as AdamW moves it at the same rate (arXiv 2502.16982), so both share one schedule.

    Args:
        params: matrices.
        lr: learning rate.
        weight_decay: share of a weight that a step at rate 1 takes away.

    Raises:
        ValueError: a parameter that is no matrix.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        for parameter in (p for group in self.param_groups for p in group["params"]):
            if parameter.ndim != 2:
                raise ValueError(f"Muon takes matrices, not shape {tuple(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step over the gradients in `.grad`; a matrix without one stays as it is."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group["lr"], group["weight_decay"])
        return loss

    def _move(self, parameter: nn.Parameter, lr: float, weight_decay: float) -> None:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum = state["momentum_buffer"].lerp_(parameter.grad, 1 - MOMENTUM)
        update = orthogonalised(torch.lerp(parameter.grad, momentum, MOMENTUM))
        parameter.mul_(1 - lr * weight_decay)
        parameter.add_(update, alpha=-lr * 0.2 * math.sqrt(max(parameter.shape)))


def orthogonalised(matrix: Tensor) -> Tensor:
    """About U V^T of matrix = U S V^T, by five Newton-Schulz iterations: singular values .7 to 1.2.

    In fp32 on a CPU and in bf16 elsewhere; returns the dtype of `matrix`.
    """
    a, b, c = COEFFICIENTS
    x = matrix.float() if matrix.device.type == "cpu" else matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / x.norm().clamp(min=EPS)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)
