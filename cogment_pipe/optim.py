"""The joint step: one optimizer per component, and either all of them step or none.

Order: unscale all -> finite? -> clip by one global norm -> GrokFast -> step all -> count -> clear.
The learning rate is a closed form of the count of applied steps (`schedule.py`). Weight decay acts
on every parameter with two or more dimensions, embeddings included (the text embedding is also the
output matrix, and no rule by name is needed); biases, norms and other 1-D parameters have none.
Under Muon it acts on the matrices alone, and convolution kernels have none.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cogment_pipe.errors import CogmentError
from cogment_pipe.grokfast import Components, GradientFilter, stage_rules
from cogment_pipe.moments import MOMENTS, build_optimizers, check_components, read_moments
from cogment_pipe.schedule import COMPONENTS, rate
from cogment_pipe.stage_config import GrokFastConfig, MultiOptimizerConfig, StageConfig

_log = logging.getLogger(__name__)
_SMALLEST_SCALE = 1.0  # below it an overflow is the loss's own fault, not the fp16 scale's


@dataclass(frozen=True)
class StepInfo:
    """What one call of `JointOptimizer.step` did.

    `grad_norm` is the global norm before clipping, unscaled (inf or nan where not finite); `lr` the
    core's rate; `step` the count of applied steps afterwards.
    """

    applied: bool
    grad_norm: float
    lr: float
    step: int


class JointOptimizer:
    """AdamW (fused) for each component; optionally Muon for matrices of core or memory.

    Args:
        components: name of component -> named parameters; every parameter in exactly one.
        config: rates at stage learning rate 3e-4, decays, betas, clip norm.
        grokfast: filter settings, or None for no filter.
        stage: gives the learning rate, schedule, whether and how strongly to filter, and keys of
            `config` that are others in this stage.
        device: kind of device the parameters live on; only the fp16 scaler needs it.
        precision: `fp32`, `bf16` or `fp16`; only `fp16` scales the loss.

    Raises:
        ValueError: an unknown component, or a parameter or name in two of them.
    """

    def __init__(
        self,
        components: Components,
        config: MultiOptimizerConfig,
        grokfast: GrokFastConfig | None,
        stage: StageConfig,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
    ) -> None:
        check_components(components)
        self._config = config = config.changed(stage.optimizer)
        self._stage = stage
        self._components = {
            name: sorted(components[name], key=lambda pair: pair[0])
            for name in COMPONENTS
            if components.get(name)
        }
        self._optimizers = {
            name: build_optimizers(name, named, config) for name, named in self._components.items()
        }
        self.filter = GradientFilter(self._components, stage_rules(grokfast, stage))
        kind = torch.device(device).type
        self._scaler = torch.amp.GradScaler(kind, enabled=precision == "fp16")
        self.applied = 0
        self.nonfinite = 0
        self.nonfinite_in_row = 0

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters, by component and then by name."""
        return [parameter for named in self._components.values() for _, parameter in named]

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to call `backward` on: scaled under fp16, itself otherwise."""
        return self._scaler.scale(loss)

    def rates(self) -> dict[str, float]:
        """Learning rate of each component at the next applied step."""
        return {
            name: rate(name, self.applied, self._config, self._stage) for name in self._components
        }

    def step(self) -> StepInfo:
        """One optimizer step over the gradients in `.grad`, which are gone afterwards.

        Call it once after the backward passes of all micro-batches. Where any gradient is not
        finite nothing changes: no parameter, moment, average or schedule; it is only counted.

        Raises:
            CogmentError: `max_nonfinite` steps in a row were not finite.
            ValueError: no parameter has a gradient.
        """
        rates = self.rates()
        self._unscale()
        gradients = self._gradients()
        if not gradients:
            raise ValueError("step() without gradients: call backward() first")
        norm = global_norm(gradients)
        if not math.isfinite(norm):
            self._skip()
            return StepInfo(False, norm, _main(rates), self.applied)
        self._clip(gradients, norm)
        self.filter.apply()
        for name, optimizers in self._optimizers.items():
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rates[name]
                optimizer.step()
        self.applied += 1
        self.nonfinite_in_row = 0
        self.zero_grad()
        self._scaler.update()
        return StepInfo(True, norm, _main(rates), self.applied)

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Nested dict of counts, floats and live tensors, by component, moment, parameter name.

        A parameter that never had a gradient has no entry.
        """
        moments: dict[str, Any] = {}
        for component, named in self._components.items():
            held: dict[str, dict[str, Tensor]] = {key: {} for key in MOMENTS}
            for name, parameter in named:
                for key, value in self._state_of(component, parameter).items():
                    held[key][name] = value
            moments[component] = {key: tensors for key, tensors in held.items() if tensors}
        return {
            "applied": self.applied,
            "nonfinite": self.nonfinite,
            "nonfinite_in_row": self.nonfinite_in_row,
            "moments": moments,
            "filter": self.filter.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a saved state over; tensors are copied to each parameter's device as they are.

        Raises:
            ValueError: a component, parameter name or shape that does not fit this optimizer.
        """
        unknown = sorted(state["moments"].keys() - self._components.keys())
        if unknown:
            raise ValueError(f"optimizer state holds unknown components {unknown}")
        loaded = {
            component: read_moments(component, named, state["moments"].get(component, {}))
            for component, named in self._components.items()
        }
        self.filter.load_state_dict(state["filter"])
        for component, named in self._components.items():
            for optimizer in self._optimizers[component]:
                optimizer.state.clear()
            for name, parameter in named:
                if name in loaded[component]:
                    owner = self._owner(component, parameter)
                    owner.state[parameter] = loaded[component][name]
        self._scaler.load_state_dict(state["scaler"])
        self.applied = int(state["applied"])
        self.nonfinite = int(state["nonfinite"])
        self.nonfinite_in_row = int(state["nonfinite_in_row"])

    def _unscale(self) -> None:
        if not self._scaler.is_enabled():
            return
        for optimizers in self._optimizers.values():
            for optimizer in optimizers:
                self._scaler.unscale_(optimizer)

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]

    def _skip(self) -> None:
        """Count a step that is not finite, and stop where there were too many in a row."""
        broken = self._broken_components()
        before = self._scaler.get_scale()
        self.zero_grad()
        self._scaler.update()
        after = self._scaler.get_scale()
        self.nonfinite += 1
        # An fp16 overflow lowers the scale, which is how the scale is found: it counts as trouble
        # only once that does not help.
        searching = _SMALLEST_SCALE <= after < before
        self.nonfinite_in_row += 0 if searching else 1
        number = self.applied + self.nonfinite
        if searching:
            _log.info("step %d skipped: fp16 overflow, loss scale now %g", number, after)
        else:
            _log.warning("step %d skipped: gradients of %s are not finite", number, broken)
        if self.nonfinite_in_row >= self._config.max_nonfinite:
            raise CogmentError(
                f"step {number}: gradients of {broken} were not finite in {self.nonfinite_in_row} "
                "steps in a row; lower the stage's learning_rate or optimizer.clip_norm, and start "
                "it again"
            )

    def _clip(self, gradients: list[Tensor], norm: float) -> None:
        factor = self._config.clip_norm / (norm + 1e-6)
        if factor < 1.0:
            torch._foreach_mul_(gradients, factor)

    def _broken_components(self) -> str:
        broken = [
            component
            for component, named in self._components.items()
            if not math.isfinite(global_norm([p.grad for _, p in named if p.grad is not None]))
        ]
        return ", ".join(broken) or "all components together"

    def _state_of(self, component: str, parameter: nn.Parameter) -> dict[str, Tensor]:
        for optimizer in self._optimizers[component]:
            if parameter in optimizer.state:
                return optimizer.state[parameter]
        return {}

    def _owner(self, component: str, parameter: nn.Parameter) -> torch.optim.Optimizer:
        for optimizer in self._optimizers[component]:
            for group in optimizer.param_groups:
                if any(parameter is member for member in group["params"]):
                    return optimizer
        raise ValueError(f"a parameter of {component!r} belongs to no optimizer")


@torch.no_grad()
def global_norm(gradients: list[Tensor]) -> float:
    """Euclidean norm over all gradients, summed in fp32 (fp64 stays); reads from the device once.

    Not finite exactly when an element is not, or when the squares overflow fp32.
    """
    if not gradients:
        return 0.0
    wide = torch.float64 if any(g.dtype == torch.float64 for g in gradients) else torch.float32
    norms = torch._foreach_norm(gradients, 2, dtype=wide)
    return float(torch.linalg.vector_norm(torch.stack(norms)))


def _main(rates: dict[str, float]) -> float:
    """The rate that a log line shows: the core's, or the first where there is no core."""
    return rates.get("core", next(iter(rates.values())))
