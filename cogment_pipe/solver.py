"""A trained model in use: grids in, grids out; a question in, text out.

Each task is refined as it was trained: with the settings and adapters of the stage it belongs to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cogment_pipe.data.augment import Augmentation
from cogment_pipe.data.batch import ROUND, TASK_IDS, GridBatch
from cogment_pipe.data.text_layout import TextExample
from cogment_pipe.data.text_prepare import Limits, encode, fit
from cogment_pipe.data.tokenizer import Tokenizer, load_tokenizer
from cogment_pipe.errors import CogmentError
from cogment_pipe.inference import NOISE, Halting, Refined, better, refine
from cogment_pipe.model.core import Carry
from cogment_pipe.model.decode import generate
from cogment_pipe.model.feed import GridFeed, TextFeed, to_feed
from cogment_pipe.model.model import Cogment
from cogment_pipe.rng import torch_stream
from cogment_pipe.solution import Answer, Solution
from cogment_pipe.stage_config import HomeConfig, StageConfig
from cogment_pipe.views import Symmetries, built_in, refine_views

TEXT_STAGES = (3, 4)
# stage whose adapters a built-in task trains; own data (`grids`, `qa`) has the stage of its run
HOMES = {
    **dict.fromkeys(("linear_map", "toy_maze", "sequence"), 0),
    **dict.fromkeys(("arc", "arc_like"), 1),
    **dict.fromkeys(("sudoku", "maze", "listops"), 2),
}


class Solver:
    """A model ready for use.

    Args:
        model: its weights are used as they are.
        stage: the stage that it was trained up to; later ones are refused.
        stages: configurations of the stages that are known, by number.
        homes: how items of further stages are refined, where no more than that is known.
        tokenizer: file of the tokenizer; only `answer` reads it.
        symmetries: of own puzzles (task `grids`); those of built-in tasks are known.
    """

    def __init__(
        self,
        model: Cogment,
        stage: int,
        stages: dict[int, StageConfig],
        *,
        homes: dict[int, HomeConfig] | None = None,
        tokenizer: Path | None = None,
        symmetries: Symmetries | None = None,
    ) -> None:
        self.model, self.stage, self.stages = model.eval(), stage, stages
        self.homes = {**(homes or {}), **{k: HomeConfig.of(s) for k, s in stages.items()}}
        self.tokenizer, self.symmetries = tokenizer, symmetries
        self._coder: Tokenizer | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def solve(
        self,
        grids: np.ndarray | list,
        *,
        stage: int | None = None,
        task: str = "grids",
        steps: int | None = None,
        halting: Halting = "none",
        threshold: float = 0.5,
        context: np.ndarray | None = None,
        context_position: np.ndarray | None = None,
        rollouts: int = 1,
        views: int = 1,
        seed: int = 0,
    ) -> Solution:
        """Solve one grid or a batch of equal-sized grids.

        Args:
            grids: (H, W) or (B, H, W) symbols as in `data.symbols`: 0 is padding, 1 to 10 are the
                digits or colours 0 to 9, 11 a blank to be filled; own data: as in its files.
            stage: whose adapters and settings are used; by default the one that `task` belongs to.
            task: a name of `data.batch.TASK_IDS`, such as `sudoku`, `maze` or `grids`.
            steps: refinement steps at most, in place of the stage's.
            halting: `none`: all steps; `threshold`: a row stops when its halting probability is
                spent; `exact`: when the model thinks it is right with probability `threshold`.
            context, context_position: (B, C, 2) and (B, C, 3) demonstrations, as in `GridBatch`;
                without B for a single grid.
            rollouts: solve from so many starting states, the model's own and randomly moved ones,
                and keep for each grid the answer with the highest confidence. `steps` of the
                solution counts one of them; the work is `rollouts` times as much.
            views: solve so many images of each grid under the symmetries of its task, turn the
                answers back, and take the one whose views trust it most together. `steps` is the
                most that a view took; the work is `views` times as much.
            seed: of the random moves and the views.

        Raises:
            ValueError: a shape, symbol, task or halting rule that there is not; `views` of a task
                whose symmetries are not known, or more than it has.
            CogmentError: a stage that is not trained yet, or whose settings are not known.
        """
        given = np.asarray(grids)
        if given.ndim not in (2, 3) or not given.size or given.dtype.kind not in "iu":
            raise ValueError(
                f"a grid is (H, W) whole numbers, a batch (B, H, W); got {given.dtype} "
                f"{given.shape}"
            )
        if task not in TASK_IDS:
            raise ValueError(f"unknown task {task!r}; known: {', '.join(sorted(TASK_IDS))}")
        if (context is None) != (context_position is None):
            raise ValueError("context and context_position come together")
        _check_run(halting, steps)
        if rollouts < 1 or views < 1:
            name, value = ("rollouts", rollouts) if rollouts < 1 else ("views", views)
            raise ValueError(f"{name} must be at least 1, not {value}")
        batch = _rows(given)
        demonstrations = None if context is None else (_rows(context), _rows(context_position))
        number = HOMES.get(task, self.stage) if stage is None else int(stage)
        home = self._home(number).for_task(task)
        run = {"halting": halting, "exact_threshold": threshold, "max_steps": steps}

        def one(grids: np.ndarray) -> Refined:
            feed = self._grid_feed(task, grids, number, demonstrations)
            refined = refine(self.model, feed, home, **run)
            for turn in range(1, rollouts):
                noise = self._noise(grids[0].size, len(grids), seed, turn)
                refined = better(refined, refine(self.model, feed, home, **run, noise=noise))
            return refined

        if views > 1:
            refined = refine_views(one, batch, self._views(task, batch.shape[1:], views, seed))
        else:
            refined = one(batch)
        shape = batch.shape
        by_step = None
        if refined.by_step is not None:
            by_step = refined.by_step.view(-1, *shape).numpy()
        one = 0 if given.ndim == 2 else slice(None)
        return Solution(
            refined.prediction.view(shape).numpy()[one],
            refined.steps.numpy()[one],
            refined.halted_at.numpy()[one],
            refined.exact.numpy()[one],
            None if by_step is None else by_step[:, one],
        )

    def _grid_feed(
        self,
        task: str,
        grids: np.ndarray,
        stage: int,
        demonstrations: tuple[np.ndarray, np.ndarray] | None,
    ) -> GridFeed:
        """Grids (B, H, W) without answers, and what demonstrates their task."""
        blank = np.full_like(grids, -100)
        shown = GridBatch(task, TASK_IDS[task], grids, blank, np.arange(len(grids)))
        if demonstrations is not None:
            shown.context, shown.context_position = demonstrations
        return to_feed(shown, stage, self.device)

    def _views(
        self, task: str, shape: tuple[int, int], count: int, seed: int
    ) -> list[Augmentation]:
        """The images of grids (H, W) that vote."""
        known = self.symmetries if task == "grids" else built_in(task, shape)
        if known is None:
            raise ValueError(
                f"no symmetries are known of {task!r}; `fit --augment` tells a model of them"
            )
        return known.views(shape, count, seed)

    def _noise(self, cells: int, rows: int, seed: int, turn: int) -> Carry:
        """Moves of the starting states y, z (B, L, D); drawn on the CPU, alike on every device."""
        shape = (2, rows, cells, self.model.config.d_model)
        generator = torch_stream(seed, self.stage, turn, 0, "rollouts")
        y, z = NOISE * torch.randn(shape, generator=generator)
        return Carry(y.to(self.device), z.to(self.device))

    def answer(
        self,
        prompt: str,
        context: str | None = None,
        *,
        stage: int | None = None,
        by_paragraph: bool = False,
        max_new: int = 64,
        steps: int | None = None,
        halting: Halting = "none",
        threshold: float = 0.5,
    ) -> Answer:
        """Answer a question, greedily.

        Args:
            prompt: the question.
            context: a document; longer than the stage's length it is read in segments, through
                the memory, where the stage has segments, else cut in the middle.
            stage: 3 or 4; by default the stage of the model, at least 3.
            by_paragraph: each paragraph (blank line between two) is a segment of its own, as in
                the built-in recall tasks.
            max_new: tokens of the answer at most.
            steps, halting, threshold: as in `solve`; decided on the prompt.

        Raises:
            ValueError: an empty prompt, a stage without text.
            CogmentError: no tokenizer, or a stage that is not trained or not known.
        """
        number = max(self.stage, TEXT_STAGES[0]) if stage is None else int(stage)
        if number not in TEXT_STAGES:
            raise ValueError(f"stage {number} has no text; stages with text: 3 and 4")
        if not prompt.strip() or max_new < 1:
            raise ValueError("a prompt needs text, and max_new must be at least 1")
        _check_run(halting, steps)
        home = self._home(number)
        if steps is not None:
            home = home.model_copy(update={"max_refinement_steps": steps})
        written = generate(
            self.model,
            self._text_feed(prompt, context or "", number, by_paragraph, max_new),
            home,
            max_new=max_new,
            halting=halting,
            exact_threshold=threshold,
        )
        text = self._tokenizer().decode(written.tokens[0]).strip()
        return Answer(text, int(written.steps[0]), float(written.exact[0]))

    def _text_feed(
        self, prompt: str, context: str, stage: int, by_paragraph: bool, max_new: int
    ) -> TextFeed:
        """One row, laid out as `data.text_prepare` lays out validation items."""
        if stage not in self.stages:
            raise CogmentError(self._unknown(stage))
        coder = self._tokenizer()
        params = self.stages[stage].model_dump(mode="json")
        limits = Limits.of(params, "paragraphs" if by_paragraph else "", {})
        example = TextExample(prompt.strip(), "", context.strip())
        (item,) = encode([example], limits, coder)
        item.answer = [0] * max_new  # the room that the answer will need
        fitted, _ = fit(item, example, limits, coder, False)
        segments = None
        if fitted.segments:
            segments = _padded(fitted.segments).unsqueeze(0).to(self.device)
        length = torch.tensor([len(fitted.prompt)], device=self.device)
        tokens = _padded([fitted.prompt]).to(self.device)
        return TextFeed(stage, TASK_IDS["qa"], tokens, length, length, None, segments)

    def _tokenizer(self) -> Tokenizer:
        if self._coder is None:
            if self.tokenizer is None:
                raise CogmentError("no tokenizer: give load() the file results/data/tokenizer.json")
            self._coder = load_tokenizer(self.tokenizer)
            if self._coder.size > self.model.config.vocab_size:
                raise CogmentError(
                    f"{self.tokenizer} has {self._coder.size} tokens, the model "
                    f"{self.model.config.vocab_size}; it belongs to another run"
                )
        return self._coder

    def _home(self, stage: int) -> HomeConfig:
        if stage > self.stage:
            raise CogmentError(f"this model was trained up to stage {self.stage}, not {stage}")
        if stage not in self.homes:
            raise CogmentError(self._unknown(stage))
        return self.homes[stage]

    def _unknown(self, stage: int) -> str:
        return (
            f"this model does not say how stage {stage} works (known: {sorted(self.stages)}); "
            f"keep stage{stage}/config.json beside its folder, or choose another stage"
        )


def _check_run(halting: str, steps: int | None) -> None:
    if halting not in ("none", "threshold", "exact"):
        raise ValueError(f"halting is none, threshold or exact, not {halting!r}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")


def _rows(array: np.ndarray) -> np.ndarray:
    """As int64 (B, ., .), whatever the strides; a single row gets its axis B."""
    array = np.asarray(array)
    return np.array(array, dtype=np.int64, order="C").reshape(-1, *array.shape[-2:])


def _padded(rows: list[list[int]]) -> torch.Tensor:
    """Rows of ids, right-padded with 0 to the widths that training batches have."""
    width = -(-max(1, *map(len, rows)) // ROUND) * ROUND
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
