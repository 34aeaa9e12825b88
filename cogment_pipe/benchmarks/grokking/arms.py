"""How an arm changes weights: gradient transforms, then one optimizer step.

The filter is the project's own (`grokfast.GradientFilter`). Every other rule here exists for the
comparison only and is kept as plain as its publication.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cogment_pipe.benchmark_config import GrokkingArm
from cogment_pipe.errors import CogmentError
from cogment_pipe.grokfast import FilterRule, GradientFilter

RATE = "full_rate"
"""Key of an optimizer group: its learning rate after the warm-up."""


class AdEMAMix(torch.optim.Optimizer):
    """AdamW whose numerator also has a slow average, as Pagliardini et al., arXiv 2409.03137.

    theta -= lr * ((m1 / (1 - b1^t) + weight * m2) / (sqrt(v / (1 - b2^t)) + eps) + decay * theta)
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        slow_beta: float,
        slow_weight: float,
        weight_decay: float,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})
        self.betas, self.eps = betas, eps
        self.slow_beta, self.slow_weight = slow_beta, slow_weight

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step over the gradients in `.grad`; closures are not supported."""
        if closure is not None:
            raise ValueError("AdEMAMix takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"], group["weight_decay"])

    def _update(self, parameter: Tensor, g: Tensor, rate: float, decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state.update({name: torch.zeros_like(parameter) for name in ("fast", "slow", "square")})
        state["step"] += 1
        (beta1, beta2), step = self.betas, state["step"]
        state["fast"].lerp_(g, 1 - beta1)
        state["slow"].lerp_(g, 1 - self.slow_beta)
        state["square"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        scale = (state["square"] / (1 - beta2**step)).sqrt_().add_(self.eps)
        numerator = state["fast"] / (1 - beta1**step) + self.slow_weight * state["slow"]
        parameter.mul_(1 - rate * decay).addcdiv_(numerator, scale, value=-rate)


class Updater:
    """One training step of an arm, from the gradients in `.grad` on."""

    def __init__(self, model: nn.Module, arm: GrokkingArm, warmup: int) -> None:
        self._parameters = list(model.parameters())
        self._arm, self._warmup, self._done = arm, warmup, 0
        self._optimizers = build_optimizers(model, arm)
        rule = arm.filter
        rules = {} if rule is None else {"other": FilterRule(**rule.model_dump())}
        self._filter = GradientFilter({"other": list(model.named_parameters())}, rules)

    def step(self) -> None:
        """Transform the gradients, take the step, drop the gradients."""
        if self._arm.perpendicular:
            make_perpendicular(self._parameters)
        self._filter.apply()
        share = min(1.0, self._done / self._warmup)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group[RATE] * share
            optimizer.step()
        for parameter in self._parameters:
            parameter.grad = None
        self._done += 1


def build_optimizers(model: nn.Module, arm: GrokkingArm) -> list[torch.optim.Optimizer]:
    """The optimizers of an arm: Muon takes the blocks' matrices and leaves the rest to AdamW.

    Raises CogmentError where this torch has no Muon.
    """
    named = list(model.named_parameters())
    rate = {"lr": arm.learning_rate, "weight_decay": arm.weight_decay}
    optimizers: list[torch.optim.Optimizer] = []
    if arm.optimizer == "muon":
        if not hasattr(torch.optim, "Muon"):
            raise CogmentError(
                f"the arm needs torch.optim.Muon, torch 2.9 or newer; this is {torch.__version__}"
            )
        matrices = [p for name, p in named if name.startswith("blocks.") and p.ndim == 2]
        named = [(name, p) for name, p in named if not any(p is m for m in matrices)]
        muon = torch.optim.Muon(matrices, lr=arm.muon_rate, weight_decay=arm.muon_decay)
        optimizers.append(muon)
    rest = [parameter for _, parameter in named]
    if arm.optimizer == "ademamix":
        slow = {"slow_beta": arm.slow_beta, "slow_weight": arm.slow_weight}
        optimizers.append(AdEMAMix(rest, betas=arm.betas, **rate, **slow))
    else:
        kind = torch.optim.Adam if arm.optimizer == "adam" else torch.optim.AdamW
        optimizers.append(kind(rest, betas=arm.betas, fused=True, **rate))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group[RATE] = group["lr"]
    return optimizers


@torch.no_grad()
def make_perpendicular(parameters: Iterable[nn.Parameter]) -> None:
    """Remove from each gradient its part along the weight, and keep the gradient's norm.

    Growing the logits alone lowers the loss without learning anything (arXiv 2501.04697).
    """
    for parameter in parameters:
        if parameter.grad is None:
            continue
        weight, g = parameter.flatten(), parameter.grad.flatten()
        across = g - (weight @ g) / (weight @ weight + 1e-30) * weight
        across = across * (g.norm() / (across.norm() + 1e-30))
        parameter.grad.copy_(across.view_as(parameter))
