"""Gradient filter of GrokFast (Lee et al., arXiv 2405.20233): g + lambda * average(g).

Works on `.grad` between clipping and the optimizers' step, once per optimizer step, and knows
nothing of optimizers. Its averages live here, not in `optimizer.state`: AdamW takes a non-empty
state for an initialised one, and loading would cast them to the parameter's dtype.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from cogment_pipe.stage_config import GrokFastConfig, StageConfig

Components = dict[str, list[tuple[str, nn.Parameter]]]

EXCLUDED = "halting"
"""Component that is never filtered, whatever the configuration says."""


@dataclass(frozen=True)
class FilterRule:
    """How the gradients of one component are filtered.

    `alpha` is the decay of the exponential average (`kind="ema"`), `window` the length of the
    moving one (`kind="ma"`, which leaves gradients alone until its window is full).
    """

    lamb: float
    alpha: float = 0.98
    kind: Literal["ema", "ma"] = "ema"
    window: int = 100


def stage_rules(config: GrokFastConfig | None, stage: StageConfig) -> dict[str, FilterRule]:
    """Rules of a stage: lambda times the stage's factor, here and nowhere else; {} when off."""
    if config is None or not config.enabled or not stage.grokfast:
        return {}
    factor = stage.grokfast_factor
    return {
        "core": FilterRule(config.core_lamb * factor, config.core_alpha),
        "memory": FilterRule(config.memory_lamb * factor, config.memory_alpha),
        "other": FilterRule(config.other_lamb * factor, config.other_alpha),
    }


class GradientFilter:
    """Filters gradients in place, per component; lambda 0 means no buffer and untouched bits.

    Args:
        components: name of component -> named parameters.
        rules: name of component -> rule; a component without one is untouched.

    Raises:
        ValueError: a rule for `halting` with lambda > 0, or a window below 1.
    """

    def __init__(self, components: Components, rules: dict[str, FilterRule]) -> None:
        if rules.get(EXCLUDED, FilterRule(0.0)).lamb != 0.0:
            raise ValueError("GrokFast is never applied to the component 'halting'")
        if any(rule.window < 1 for rule in rules.values()):
            raise ValueError("the window of a moving-average filter must be at least 1")
        self._filtered: list[tuple[str, nn.Parameter, FilterRule]] = [
            (name, parameter, rules[component])
            for component in sorted(components)
            if component in rules and rules[component].lamb != 0.0
            for name, parameter in sorted(components[component], key=lambda pair: pair[0])
        ]
        self._averages: dict[str, Tensor] = {}  # ema: average; ma: (window, *shape) ring
        self._seen: dict[str, int] = {}  # ma: gradients taken so far

    @property
    def active(self) -> bool:
        """Whether any gradient would be changed."""
        return bool(self._filtered)

    @torch.no_grad()
    def apply(self) -> None:
        """Replace every filtered `.grad` by g + lambda * average(g); absent gradients are skipped.

        Gradients must be unscaled, clipped and finite: one inf would stay in the average for ever.

        Raises:
            ValueError: a sparse gradient.
        """
        together: dict[tuple[float, float], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for name, parameter, rule in self._filtered:
            gradient = parameter.grad
            if gradient is None:
                continue
            if gradient.layout != torch.strided:
                raise ValueError(f"GrokFast cannot filter the sparse gradient of {name!r}")
            if rule.kind == "ma":
                self._moving_average(name, gradient, rule)
                continue
            average = self._averages.get(name)
            if average is None:
                average = self._averages[name] = _wide_copy(gradient)
                gradient.add_(average, alpha=rule.lamb)
            elif gradient.dtype == average.dtype and gradient.is_contiguous():
                together[rule.alpha, rule.lamb].append((average, gradient))
            else:
                average.lerp_(gradient.to(average.dtype), 1.0 - rule.alpha)
                gradient.add_(average, alpha=rule.lamb)
        for (alpha, lamb), pairs in together.items():
            filter_together(pairs, alpha, lamb)

    def _moving_average(self, name: str, gradient: Tensor, rule: FilterRule) -> None:
        ring = self._averages.get(name)
        if ring is None:
            wide = _wide_copy(gradient)
            ring = self._averages[name] = wide.new_zeros((rule.window, *wide.shape))
            self._seen[name] = 0
        ring[self._seen[name] % rule.window].copy_(gradient)
        self._seen[name] += 1
        if self._seen[name] >= rule.window:
            gradient.add_(ring.mean(dim=0), alpha=rule.lamb)

    def state_dict(self) -> dict[str, Any]:
        """Averages by parameter name (the live tensors, sorted), and counts of the MA variant."""
        return {
            "average": {name: self._averages[name] for name in sorted(self._averages)},
            "seen": {name: self._seen[name] for name in sorted(self._seen)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take averages over, copied to each parameter's device; what is absent starts afresh.

        Raises:
            ValueError: a name that is not filtered here, or another shape.
        """
        known = {name: (parameter, rule) for name, parameter, rule in self._filtered}
        averages: dict[str, Tensor] = {}
        for name, tensor in state["average"].items():
            if name not in known:
                raise ValueError(f"GrokFast state holds {name!r}, which is not filtered here")
            parameter, rule = known[name]
            shape = tuple(parameter.shape)
            expected = (rule.window, *shape) if rule.kind == "ma" else shape
            if tuple(tensor.shape) != expected:
                raise ValueError(
                    f"GrokFast state of {name!r} has shape {tuple(tensor.shape)}, not {expected}"
                )
            averages[name] = tensor.detach().to(parameter.device, copy=True).contiguous()
        self._averages = averages
        self._seen = {name: int(count) for name, count in state["seen"].items()}


def filter_together(pairs: list[tuple[Tensor, Tensor]], alpha: float, lamb: float) -> None:
    """One EMA step over (average, gradient) pairs of one dtype, in one pass over the memory.

    Fused SGD computes just that when a gradient is also its own parameter: the momentum buffer
    becomes alpha * average + (1 - alpha) * g, and the "parameter" g - (-lambda) * buffer. Each
    value is read and written once; a lerp and an add read the average and g a second time. All
    tensors must be contiguous: the kernel goes through memory, whatever the strides say.
    """
    averages, gradients = map(list, zip(*pairs, strict=True))
    sgd(
        gradients,
        gradients,
        averages,
        lr=-lamb,
        momentum=alpha,
        dampening=alpha,
        weight_decay=0.0,
        nesterov=False,
        maximize=False,
        fused=True,
    )


def _wide_copy(gradient: Tensor) -> Tensor:
    """Contiguous copy in fp32 (fp64 stays): half precision would lose an average of small steps."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    return gradient.detach().to(dtype, copy=True, memory_format=torch.contiguous_format)
