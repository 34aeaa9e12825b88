"""Answers of a model to the items of a task, in the form that the metrics read.

Grids come back as lists of symbols after every refinement step, text as generated strings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import torch

from cogment_pipe.data.arc_augment import place, read_canvas
from cogment_pipe.data.symbols import DIGIT0, OUT
from cogment_pipe.evaluation_config import EvaluationConfig
from cogment_pipe.inference import refine
from cogment_pipe.model.decode import generate
from cogment_pipe.model.feed import GridFeed, TextFeed, to_feed
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import HomeConfig


@dataclass
class TaskAnswers:
    """Answers in item order.

    values: grids (lists of lists), digits or strings; steps: (n,) refinement steps spent;
    threshold_steps: (n,) steps after which the halting rule would have stopped; exact: (n,) the
    model's own probability of being right; by_step, exact_by_step (T, n): values and that
    probability after each refinement step (grids without early exit).
    """

    values: list = field(default_factory=list)
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    threshold_steps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    exact: np.ndarray = field(default_factory=lambda: np.zeros(0))
    by_step: list[list] = field(default_factory=list)
    exact_by_step: np.ndarray | None = None
    segmented: bool = False

    def leaving_at(self, steps: np.ndarray) -> list:
        """The answers that rows have which leave after `steps` (n,) steps each."""
        return [self.by_step[step - 1][i] for i, step in enumerate(steps.tolist())]

    def sure_at(self, threshold: float) -> np.ndarray:
        """(n,) first step at which the model thinks it is right; the last where it never does."""
        sure = self.exact_by_step >= threshold  # (T, n)
        sure[-1] = True
        return sure.argmax(0) + 1


@dataclass
class Answering:
    """A model with the settings it answers by; `stop` is called between batches."""

    model: Cogment
    settings: EvaluationConfig
    seed: int
    device: torch.device
    precision: str
    tokenizer: object | None
    stop: Callable[[], None]

    def parts(self, count: int) -> Iterator[np.ndarray]:
        """The numbers of `count` rows, batch by batch."""
        for start in range(0, count, self.settings.batch_size):
            self.stop()
            yield np.arange(start, min(start + self.settings.batch_size, count))

    def autocast(self) -> AbstractContextManager:
        """Mixed precision of the forward pass; off under fp32."""
        kind = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, kind, enabled=self.precision != "fp32")

    def feed(self, task: object, stage: int, index: np.ndarray) -> GridFeed | TextFeed:
        """Items `index` of a task as the model takes them; prompts alone of text."""
        return to_feed(task.batch(index, answers=task.kind == "grid"), stage, self.device)

    def answer(self, task: object, home: HomeConfig, stage: int, count: int) -> TaskAnswers:
        """Answer the first `count` items of a task."""
        found = TaskAnswers()
        one = self._grids if task.kind == "grid" else self._text
        for index in self.parts(count):
            with torch.no_grad(), self.autocast():
                _extend(found, one(self.feed(task, stage, index), home, task))
        return found

    def _grids(self, feed: GridFeed, home: HomeConfig, task: object) -> TaskAnswers:
        rule = {"halting": self.settings.halting, "exact_threshold": self.settings.exact_threshold}
        refined = refine(self.model, feed, home, **rule)
        by_step = [] if refined.by_step is None else refined.by_step
        sure = refined.exact_by_step
        return TaskAnswers(
            said(task, refined.prediction, feed.grid),
            refined.steps.numpy(),
            refined.halted_at.numpy(),
            refined.exact.double().numpy(),
            [said(task, symbols, feed.grid) for symbols in by_step],
            None if sure is None else sure.double().numpy(),
        )

    def _text(self, feed: TextFeed, home: HomeConfig, task: object) -> TaskAnswers:
        written = generate(
            self.model,
            feed,
            home,
            max_new=self.settings.max_new_tokens,
            halting=self.settings.halting,
            exact_threshold=self.settings.exact_threshold,
        )
        return TaskAnswers(
            self.texts(written.tokens),
            written.steps.numpy(),
            written.halted_at.numpy(),
            written.exact.double().numpy(),
            segmented=feed.segments is not None,
        )

    def texts(self, tokens: list[list[int]]) -> list[str]:
        """Generated tokens as text."""
        return [self.tokenizer.decode(row).strip() for row in tokens]


def said(task: object, symbols: torch.Tensor, grid: tuple[int, int]) -> list:
    """Predicted symbols (B, L) as the task's answers: grids, or digits of a one-cell task.

    An ARC answer is the grid that its canvas shows; what stands beside it is no part of it.
    """
    grids = symbols.view(-1, *grid).numpy()
    if task.metric == "listops":
        return [int(rows[0][0]) - DIGIT0 for rows in grids]
    if hasattr(task, "copies"):
        return [shown(canvas).tolist() for canvas in grids]
    return grids.tolist()


def shown(canvas: np.ndarray) -> np.ndarray:
    """A canvas (S, S) with nothing but the grid that it shows."""
    grid = read_canvas(canvas)
    return np.full_like(canvas, OUT) if grid is None else place(grid, len(canvas))


def _extend(found: TaskAnswers, part: TaskAnswers) -> None:
    found.values += part.values
    for name in ("steps", "threshold_steps", "exact"):
        setattr(found, name, np.concatenate([getattr(found, name), getattr(part, name)]))
    found.segmented |= part.segmented
    if not found.by_step:
        found.by_step, found.exact_by_step = part.by_step, part.exact_by_step
        return
    for all_values, values in zip(found.by_step, part.by_step, strict=True):
        all_values += values
    found.exact_by_step = np.concatenate([found.exact_by_step, part.exact_by_step], 1)
