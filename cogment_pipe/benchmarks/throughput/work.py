"""The work that is timed: training steps of a stage on random items of its greatest lengths.

Only the sizes matter here, so no data are prepared. Without replay and without the twins of the
consistency loss, whose number depends on the data: a step has the stage's own rows, no more.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from cogment_pipe.data.batch import TASK_IDS, GridBatch, TextBatch
from cogment_pipe.model.budget import Workload, context_flops, head_flops, step_flops
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import ModelConfig, StageConfig, StageSlice
from cogment_pipe.stage_run import pick_precision
from cogment_pipe.stage_trainer import StageData, StageTrainer

FIRST_TOKEN = 5  # after the special ones
ANSWER_SHARE = 8  # one token in so many is answer
LAST_COLOUR = 10


@dataclass(frozen=True)
class Shape:
    """Sizes of a training step: rows, positions of a row, demonstrations, what is predicted."""

    rows: int
    length: int
    text: bool
    context: int
    earlier: int  # segments before the last
    segment_steps: int
    steps: int  # refinement steps in one optimizer step
    depth: int  # refinement steps that a row takes in all
    memory: bool
    targets: int  # of one row

    @classmethod
    def of(cls, stage: StageConfig, text: bool, context: int) -> Shape:
        """The shape of a stage's step at its greatest lengths."""
        length = stage.segment_length or stage.sequence_length
        depth = stage.max_refinement_steps
        return cls(
            rows=stage.batch_size,
            length=length,
            text=text,
            context=context,
            earlier=stage.sequence_length // length - 1,
            segment_steps=stage.segment_steps,
            steps=depth if stage.update == "joint" else 1,
            depth=depth,
            memory=stage.memory.read,
            targets=length // ANSWER_SHARE if text else length,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of a grid of exactly so many cells, as near to a square as it goes."""
        height = next(h for h in range(math.isqrt(self.length), 0, -1) if self.length % h == 0)
        return height, self.length // height

    @property
    def passes(self) -> int:
        """Refinement steps of one row in one optimizer step, earlier segments included."""
        return self.earlier * self.segment_steps + self.steps

    def operations(self, model: ModelConfig) -> int:
        """Operations of a training step: three forward passes, each counted as `inspect` does."""
        work = Workload(self.length, self.text, self.context)
        head = head_flops(model, work)
        if self.text:  # counted there with one predicted token
            head += 2 * model.d_model * model.vocab_size * (self.targets - 1)
        forward = step_flops(model, work, self.memory) * self.passes + head * self.steps
        forward += context_flops(model, work)
        return 3 * self.rows * forward

    def but(self, **changes: int) -> Shape:
        """The same with other sizes."""
        return replace(self, **changes)


class RandomGrids:
    """Grids of random colours, every cell asked for, with demonstrations where the stage has some.

    The last demonstration cell is padding, as in training nearly every batch has some, so that
    attention works under a mask.
    """

    kind, weight, metric, difficulty = "grid", 1.0, "grid_exact", None

    def __init__(self, shape: Shape) -> None:
        self.name = "arc" if shape.context else "grids"
        self.task_id, self.batch_size, self.shape = TASK_IDS[self.name], shape.rows, shape

    def __len__(self) -> int:
        return 4 * self.shape.rows

    def batch(self, index: np.ndarray, **_options: object) -> GridBatch:
        """Rows by number; no augmentation."""
        draws, rows = np.random.default_rng(0), len(index)
        cells = draws.integers(1, LAST_COLOUR, (rows, *self.shape.grid))
        context = place = None
        if self.shape.context:
            context = draws.integers(1, LAST_COLOUR, (rows, self.shape.context, 2))
            context[:, -1] = 0
            place = draws.integers(0, self.shape.grid[0], (rows, self.shape.context, 3))
            place[..., 2] = 0
        return GridBatch(self.name, self.task_id, cells, cells.copy(), index, context, place)


class RandomText:
    """Random tokens: earlier segments, a prompt and an answer."""

    kind, weight, metric, difficulty = "text", 1.0, "number", None

    def __init__(self, shape: Shape, vocabulary: int) -> None:
        self.name, self.task_id = "qa", TASK_IDS["qa"]
        self.batch_size, self.shape, self.vocabulary = shape.rows, shape, vocabulary

    def __len__(self) -> int:
        return 4 * self.shape.rows

    def batch(self, index: np.ndarray, **_options: object) -> TextBatch:
        """Rows by number; no augmentation."""
        shape, draws = self.shape, np.random.default_rng(0)
        rows, length = len(index), shape.length
        tokens = draws.integers(FIRST_TOKEN, self.vocabulary, (rows, length))
        segments = None
        if shape.earlier:
            size = (rows, shape.earlier, length)
            segments = draws.integers(FIRST_TOKEN, self.vocabulary, size)
        prompt = length - shape.targets
        targets = np.full_like(tokens, -100)
        targets[:, prompt - 1 : -1] = tokens[:, prompt:]
        whole = np.full(rows, length)
        return TextBatch(
            task=self.name,
            task_id=self.task_id,
            segments=segments,
            tokens=tokens,
            prompt_length=np.full(rows, prompt),
            length=whole,
            targets=targets,
            index=index,
        )


def build(slice: dict, k: int, shape: Shape, device: torch.device) -> StageTrainer:
    """The engine of stage k as training builds it, on random items of `shape`."""
    content = json.loads(json.dumps(slice))
    content["homes"] = {}
    content["stage"] |= {"replay": 0.0, "batch_size": shape.rows, "eval_items": shape.rows}
    content["stage"] |= {"max_refinement_steps": shape.depth, "depth_ramp": 0.0}
    content["stage"]["accumulate"] = content["stage"]["lanes"]
    content["stage"]["length_buckets"] = 1
    content["stage"]["loss"] |= {"consistency": 0.0}
    parsed = StageSlice.model_validate(content)
    torch.manual_seed(0)
    model = Cogment(parsed.model).to(device)
    task = RandomText(shape, parsed.model.vocab_size) if shape.text else RandomGrids(shape)
    data = StageData(k, {task.name: task})
    precision = pick_precision(parsed.precision, device)
    return StageTrainer(model, parsed, k, [data], data, device=device, precision=precision)
