"""Signals from a stage's curves: convergence, advancement and grokking.

Works on validation points alone, in steps, and holds its whole state in a plain dict, so that a
resumed run comes to the same verdict at the same step. Torch-free.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from cogment_pipe.stage_config import StageConfig


@dataclass
class ConvergenceState:
    """Best values so far and the step at which validation last got better."""

    best_accuracy: float = -math.inf
    best_step: int = 0
    best_loss: float = math.inf
    progress_step: int = 0
    last: dict[str, float] = field(default_factory=dict)
    curve: list[list[float]] = field(default_factory=list)
    """Points [step, train accuracy, validation accuracy, ponder]."""


class ConvergenceDetector:
    """Ends a stage by its validation curve: plateau over `patience` steps, then the criteria.

    The criteria: accuracy and ponder of the last look are good enough, and both are steady, that
    is, within a range over the looks of the plateau. Verdicts: `converged` (plateau, criteria
    hold), `plateau_unmet` (plateau without them), None (go on).
    """

    def __init__(self, stage: StageConfig) -> None:
        self.stage = stage
        self.state = ConvergenceState()

    def update(
        self, step: int, *, accuracy: float, loss: float, ponder: float, train_accuracy: float
    ) -> bool:
        """Take a validation point; True when its accuracy is the best so far."""
        s, delta = self.state, self.stage.min_delta
        better = math.isfinite(loss) and accuracy > s.best_accuracy
        if math.isfinite(loss) and (
            accuracy > s.best_accuracy + delta or loss < s.best_loss - delta
        ):
            s.progress_step = step
        if better:
            s.best_accuracy, s.best_step = accuracy, step
        if math.isfinite(loss):
            s.best_loss = min(s.best_loss, loss)
        s.last = {"accuracy": accuracy, "loss": loss, "ponder": ponder}
        s.curve.append([float(step), train_accuracy, accuracy, ponder])
        return better

    def verdict(self, step: int) -> tuple[str, str] | None:
        """(verdict, reason) when the stage may end at `step`, else None."""
        s, stage = self.state, self.stage
        if not s.last or step - s.progress_step < stage.patience:
            return None
        unmet = [*self._too_low(), *self._unsteady(step)]
        where = f"no progress since step {s.progress_step} ({stage.patience} steps)"
        if unmet:
            return "plateau_unmet", f"{where}; {', '.join(unmet)}"
        return "converged", f"{where}; accuracy {s.last['accuracy']:.3f}"

    def _too_low(self) -> Iterator[str]:
        """What the last look lacks of the stage's criteria."""
        last, stage = self.state.last, self.stage
        if last["accuracy"] < stage.min_accuracy:
            yield f"accuracy {last['accuracy']:.3f} < {stage.min_accuracy}"
        if last["ponder"] > stage.max_ponder_cost:
            yield f"ponder {last['ponder']:.2f} > {stage.max_ponder_cost}"

    def _unsteady(self, step: int) -> Iterator[str]:
        """Which figures still swing over the plateau: its last `patience` steps."""
        plateau = [p for p in self.state.curve if p[0] >= step - self.stage.patience]
        ranges = {
            "accuracy": (2, self.stage.max_accuracy_range),
            "ponder": (3, self.stage.max_ponder_range),
        }
        for name, (column, allowed) in ranges.items():
            low, high = (pick(p[column] for p in plateau) for pick in (min, max))
            if high - low > allowed:
                yield f"{name} unsteady, {low:.3g} to {high:.3g} (range allowed {allowed})"

    def state_dict(self) -> dict[str, object]:
        """Everything that the verdict depends on, JSON-able (infinities as None)."""
        raw = asdict(self.state)
        return {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in raw.items()}

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict`; KeyError where it lacks something."""
        fresh = asdict(ConvergenceState())
        self.state = ConvergenceState(
            **{k: initial if state[k] is None else state[k] for k, initial in fresh.items()}
        )


def find_grokking(
    curve: list[list[float]],
    *,
    high: float = 0.95,
    low: float = 0.5,
    risen: float = 0.9,
    min_delay: float = 2.0,
) -> int | None:
    """Step at which a run grokked, or None.

    A run groks when training accuracy passed `high` while validation stayed below `low`, and
    validation rose above `risen` only after at least `min_delay` times as many steps.

    Args:
        curve: points [step, train accuracy, validation accuracy, ...] in order of step.
    """
    fitted = next((p for p in curve if p[1] >= high), None)
    if fitted is None or fitted[2] >= low:
        return None
    reached = next((p for p in curve if p[0] > fitted[0] and p[2] >= risen), None)
    if reached is None or reached[0] < min_delay * max(fitted[0], 1.0):
        return None
    return int(reached[0])
