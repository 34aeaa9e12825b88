"""Held-out figures of a stage, batch by batch, and whether the stage is done.

Sums are kept per valid target and per row, so that the figures of a look do not depend on how its
items were cut into batches. The verdict is `ConvergenceDetector`'s, as in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from cogment_pipe.curriculum import FourStageCurriculum
from cogment_pipe.data.batch import GridBatch, TextBatch
from cogment_pipe.detect import ConvergenceDetector
from cogment_pipe.losses import cross_entropy, row_solved
from cogment_pipe.model.act import halting_weights, ponder_cost
from cogment_pipe.model.feed import IGNORED, to_feed
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import HomeConfig, StageConfig

Verdict = tuple[bool, str | None, str]


@dataclass
class EvaluationMetrics:
    """Figures of a batch, or of a whole look at held-out items.

    accuracy: share of right targets; exact: share of rows with every target right; loss:
    cross-entropy per target of the last refinement step, in nats; ponder: expected refinement
    steps per row; targets, rows: how many there were; step: the training step looked at.
    detail: with `return_detailed`, `correct` (rows,) bool, `ponder` (rows,), `accuracy_by_step`
    (T,), else None.
    """

    accuracy: float
    exact: float
    loss: float
    ponder: float
    targets: int
    rows: int
    step: int
    detail: dict[str, list] | None = None


@dataclass
class _Sums:
    """Sums over the batches of one task."""

    right: int = 0
    solved: int = 0
    loss: float = 0.0
    ponder: float = 0.0
    targets: int = 0
    rows: int = 0

    def add(self, other: _Sums) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def metrics(self, step: int, detail: dict[str, list] | None = None) -> EvaluationMetrics:
        targets, rows = max(self.targets, 1), max(self.rows, 1)
        return EvaluationMetrics(
            self.right / targets,
            self.solved / rows,
            self.loss / targets,
            self.ponder / rows,
            self.targets,
            self.rows,
            step,
            detail,
        )


class StageEvaluator:
    """Collects held-out batches of a stage and judges its completion.

    Batches with the same `step` make one look, whatever their number and size; within it figures
    are means per target or row of each task, then over tasks. A later step closes the look.

    Args:
        stages: configurations by stage number, in place of the curriculum's.
        scale: which table of the curriculum: `full`, `small` or `tiny`.
    """

    def __init__(
        self,
        stages: Mapping[int, StageConfig] | None = None,
        scale: Literal["full", "small", "tiny"] = "full",
    ) -> None:
        self._stages, self._scale = dict(stages or {}), scale
        self._config: StageConfig | None = None

    def set_stage(self, stage: int) -> StageConfig:
        """Start judging `stage` (0 to 4), with nothing collected; ValueError for no stage."""
        if stage not in self._stages:
            self._stages[int(stage)] = FourStageCurriculum(self._scale).get_stage_config(stage)
        self.stage, self._config = int(stage), self._stages[stage]
        self.detector = ConvergenceDetector(self._config)
        self.step, self._judged = 0, -1
        self._sums: dict[str, _Sums] = {}
        return self._config

    @torch.no_grad()
    def run(self, model: Cogment, batch: GridBatch | TextBatch) -> dict[str, Any]:
        """The model's output for a labelled batch, as `evaluate_batch` takes it.

        Returns: logits (T, N, V) at the N targets, `halt` (B, T), `row` (N,), `targets` (N,).
        """
        config = self._stage_config()
        home = HomeConfig.of(config).for_task(batch.task)
        device = next(model.parameters()).device
        encoded = model.prepare(to_feed(batch, self.stage, device), home.memory, home.segment_steps)
        carry, outputs = model.start(encoded), []
        for _ in range(home.max_refinement_steps):
            carry = model.step(encoded, carry)
            outputs.append(model.outputs(encoded, carry))
        return {
            "logits": torch.stack([o.logits for o in outputs]),
            "halt": torch.stack([o.halt for o in outputs], 1),
            "row": encoded.row,
            "targets": encoded.labels,
        }

    @torch.no_grad()
    def evaluate_batch(
        self,
        model_output: Mapping[str, Tensor],
        targets: Tensor,
        step: int,
        return_detailed: bool = False,
        *,
        task: str = "",
    ) -> EvaluationMetrics:
        """Add a batch to the look at `step`; returns the figures of this batch alone.

        Args:
            model_output: `logits` (B, L, V) of the last refinement step or (T, B, L, V) of all;
                `halt` (B, T) halting logits (without them a row counts one step per T). With `row`
                (N,), the batch row of each target, logits are (N, V) or (T, N, V): see `run`.
            targets: (B, L) symbols, or grids (B, H, W) with L = H * W; -100 is not asked for.
                (N,) with `row`.
            step: training step of the weights that are looked at; never less than before.
            return_detailed: fill `detail`.
            task: name of the batch's task, where a stage has several.

        Raises:
            ValueError: shapes that do not fit, a step before this one or one already judged, or
                no `set_stage`.
        """
        config = self._stage_config()
        if step < self.step:
            raise ValueError(f"step {step} comes after step {self.step}; steps only grow")
        logits, labels, row, rows = _flat(model_output, targets)
        halt = model_output.get("halt")
        if halt is None:
            ponder = torch.full((rows,), float(len(logits)))
        elif halt.shape != (rows, len(logits)) and "row" not in model_output:
            raise ValueError(f"halt is {tuple(halt.shape)}, not {(rows, len(logits))}")
        else:
            ponder = ponder_cost(halting_weights(halt, config.act_threshold)[0])
        if step == self._judged:
            raise ValueError(f"the look at step {step} has been judged already")
        if step > self.step:
            self._judge()
            self.step, self._sums = step, {}
        right = logits.argmax(-1) == labels  # (T, N)
        solved = row_solved(logits[-1], labels, row, rows)
        found = _Sums(
            int(right[-1].sum()),
            int(solved.sum()),
            float(cross_entropy(logits[-1], labels).double().sum()),
            float(ponder.double().sum()),
            len(labels),
            rows,
        )
        self._sums.setdefault(task, _Sums()).add(found)
        detail = None
        if return_detailed:
            by_step = (right.sum(1).double() / max(len(labels), 1)).tolist()
            detail = {"correct": solved.tolist(), "ponder": ponder.tolist()}
            detail["accuracy_by_step"] = by_step
        return found.metrics(step, detail)

    def metrics(self, task: str | None = None) -> EvaluationMetrics:
        """Figures of the look so far: of one task, or the mean over all of them.

        ValueError where no batch of it was seen at this step.
        """
        seen = list(self._sums.values()) if task is None else [self._sums[task]]
        if not seen:
            raise ValueError("no batch has been evaluated at this step")
        each = [sums.metrics(self.step) for sums in seen]
        means = {
            name: sum(getattr(m, name) for m in each) / len(each)
            for name in ("accuracy", "exact", "loss", "ponder")
        }
        targets, rows = sum(m.targets for m in each), sum(m.rows for m in each)
        return EvaluationMetrics(**means, targets=targets, rows=rows, step=self.step)

    def check_stage_completion(self) -> Verdict:
        """Close the look; returns (done, verdict, reason).

        Verdicts: `converged` (plateau; accuracy and ponder good enough and steady),
        `plateau_unmet`, `budget` (max_steps reached), None while the stage should go on. The
        accuracy that counts is `exact`, as in training.
        """
        config = self._stage_config()
        self._judge()
        found = self.detector.verdict(self.step)
        if self.step >= config.max_steps and (found is None or found[0] != "converged"):
            found = "budget", f"all {config.max_steps} steps taken"
        if found is not None:
            return True, *found
        since = self.detector.state.progress_step
        return False, None, f"step {self.step} of {config.max_steps}, progress at step {since}"

    def _stage_config(self) -> StageConfig:
        if self._config is None:
            raise ValueError("call set_stage first")
        return self._config

    def _judge(self) -> None:
        """Hand the look to the detector, once."""
        if not self._sums or self._judged == self.step:
            return
        seen = self.metrics()
        self.detector.update(
            self.step,
            accuracy=seen.exact,
            loss=seen.loss,
            ponder=seen.ponder,
            train_accuracy=0.0,
        )
        self._judged = self.step


def _flat(output: Mapping[str, Tensor], targets: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
    """Logits (T, N, V), labels (N,), batch row of each (N,), and the number of rows."""
    logits = output["logits"]
    if "row" in output:
        logits = logits if logits.ndim == 3 else logits.unsqueeze(0)
        row = output["row"]
        if logits.ndim != 3 or logits.shape[1] != len(targets) or row.shape != targets.shape:
            shapes = [tuple(t.shape) for t in (logits, row, targets)]
            raise ValueError(f"logits, row and targets {shapes} are not (T, N, V), (N,), (N,)")
        halt = output.get("halt")
        rows = len(halt) if halt is not None else int(row.max()) + 1 if len(row) else 0
        return logits, targets, row, rows
    targets = targets.flatten(1)  # (B, L)
    logits = logits if logits.ndim == 4 else logits.unsqueeze(0)
    if logits.ndim != 4 or logits.shape[1:3] != targets.shape:
        shapes = [tuple(t.shape) for t in (logits, targets)]
        raise ValueError(f"logits and targets {shapes} are not (T, B, L, V) and (B, L)")
    asked = targets != IGNORED
    return logits[:, asked], targets[asked], asked.nonzero()[:, 0], len(targets)
