"""Answers of a model to the items of a task, in the form that the metrics read.

Grids come back as lists of symbols after every refinement step, text as generated strings. Memory
controls replace what a document's segments have written by nothing, by another document's memory,
or by a run that never writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from cogment_pipe.data.symbols import DIGIT0
from cogment_pipe.evaluation_config import EvaluationConfig
from cogment_pipe.inference import refine
from cogment_pipe.model.decode import generate
from cogment_pipe.model.feed import TextFeed, to_feed
from cogment_pipe.model.memory import MemoryState
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import HomeConfig


@dataclass
class TaskAnswers:
    """Answers in item order.

    values: grids (lists of lists), digits or strings; steps: (n,) refinement steps spent;
    threshold_steps: (n,) steps after which the halting rule would have stopped; exact: (n,) the
    model's own probability of being right; by_step: values after each refinement step (grids).
    """

    values: list = field(default_factory=list)
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    threshold_steps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    exact: np.ndarray = field(default_factory=lambda: np.zeros(0))
    by_step: list[list] = field(default_factory=list)
    segmented: bool = False
    memory: dict | None = None


def answer_task(
    model: Cogment,
    task: object,
    home: HomeConfig,
    stage: int,
    count: int,
    *,
    settings: EvaluationConfig,
    device: torch.device,
    precision: str,
    tokenizer: object | None,
    stop: Callable[[], None],
    halting: str | None = None,
    memory_mode: str = "on",
) -> TaskAnswers:
    """Answer the first `count` items of a task; `stop` is called between batches."""
    found = TaskAnswers()
    one = _answer_grids if task.kind == "grid" else _answer_text
    kind = torch.float16 if precision == "fp16" else torch.bfloat16
    for start in range(0, count, settings.batch_size):
        stop()
        index = np.arange(start, min(start + settings.batch_size, count))
        feed = to_feed(task.batch(index, answers=task.kind == "grid"), stage, device)
        with torch.no_grad(), torch.autocast(device.type, kind, enabled=precision != "fp32"):
            part = one(model, feed, home, settings, halting or settings.halting, memory_mode)
        if task.kind == "text":
            part.values = [tokenizer.decode(tokens).strip() for tokens in part.values]
        elif task.metric == "listops":
            part.values = [_digit(grid) for grid in part.values]
            part.by_step = [[_digit(grid) for grid in values] for values in part.by_step]
        _extend(found, part)
    return found


def _answer_grids(
    model: Cogment,
    feed: object,
    home: HomeConfig,
    settings: EvaluationConfig,
    halting: str,
    memory_mode: str,
) -> TaskAnswers:
    refined = refine(model, feed, home, halting=halting, exact_threshold=settings.exact_threshold)
    shape = (-1, *feed.grid)
    by_step = [] if refined.by_step is None else [s.view(shape).tolist() for s in refined.by_step]
    return TaskAnswers(
        refined.prediction.view(shape).tolist(),
        refined.steps.numpy(),
        refined.halted_at.numpy(),
        refined.exact.double().numpy(),
        by_step,
    )


def _answer_text(
    model: Cogment,
    feed: TextFeed,
    home: HomeConfig,
    settings: EvaluationConfig,
    halting: str,
    memory_mode: str,
) -> TaskAnswers:
    written = generate(
        model,
        feed,
        home,
        max_new=settings.max_new_tokens,
        halting=halting,
        exact_threshold=settings.exact_threshold,
        memory=_memory(model, feed, home, memory_mode),
    )
    return TaskAnswers(
        written.tokens,
        written.steps.numpy(),
        written.halted_at.numpy(),
        written.exact.double().numpy(),
        segmented=feed.segments is not None,
    )


def _memory(model: Cogment, feed: TextFeed, home: HomeConfig, mode: str) -> MemoryState | None:
    """What the last segment reads: None leaves it to the model, else a control's state."""
    if mode == "on":
        return None
    if mode == "unwritten":
        return model.memory.start(len(feed.tokens))
    state, _ = model.read_document(feed, home.memory, home.segment_steps)
    if mode == "zeroed":
        return MemoryState(torch.zeros_like(state.matrix))
    return MemoryState(state.matrix.roll(1, 0))


def _digit(grid: list[list[int]]) -> int:
    """The answer of a one-cell task: the digit predicted at its first cell."""
    return int(grid[0][0]) - DIGIT0


def _extend(found: TaskAnswers, part: TaskAnswers) -> None:
    found.values += part.values
    found.steps = np.concatenate([found.steps, part.steps])
    found.threshold_steps = np.concatenate([found.threshold_steps, part.threshold_steps])
    found.exact = np.concatenate([found.exact, part.exact])
    found.segmented |= part.segmented
    if not found.by_step:
        found.by_step = part.by_step
    else:
        for all_values, values in zip(found.by_step, part.by_step, strict=True):
            all_values += values
