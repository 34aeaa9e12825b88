"""Answers bought with more compute: votes of augmented copies, rollouts from other starts.

Both are reported beside the single pass, with the forward passes that an item took.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from cogment_pipe.answers import Answering, said, shown
from cogment_pipe.data.symbols import OUT
from cogment_pipe.inference import NOISE, refine
from cogment_pipe.model.core import Carry
from cogment_pipe.model.feed import to_feed
from cogment_pipe.rng import stream, torch_stream
from cogment_pipe.stage_config import HomeConfig

ATTEMPTS = 2  # at an ARC test input, as ARC Prize counts


@dataclass
class Bought:
    """Answers in item order and what they cost.

    values: as the metric reads them; passes, steps: forward passes and refinement steps per item;
    after: values with 1, 2, ... starts (rollouts); share: (n,) votes for the first answer.
    """

    values: list
    passes: float
    steps: float
    after: list[list] = field(default_factory=list)
    share: np.ndarray | None = None


class Ballot:
    """Votes on the answer to one item: by count, then by the mean correctness probability."""

    def __init__(self) -> None:
        self._votes: dict[bytes, tuple[np.ndarray, list[float]]] = {}

    def add(self, canvas: np.ndarray, exact: float) -> None:
        """One vote, on the grid that a canvas (S, S) shows."""
        answer = shown(canvas)
        self._votes.setdefault(answer.tobytes(), (answer, []))[1].append(exact)

    def best(self, most: int = ATTEMPTS) -> list[np.ndarray]:
        """The first `most` answers; one that shows no grid comes after all others."""

        def rank(entry: tuple[bytes, tuple[np.ndarray, list[float]]]) -> tuple:
            key, (answer, votes) = entry
            return bool((answer == OUT).all()), -len(votes), -float(np.mean(votes)), key

        return [answer for _, (answer, _) in sorted(self._votes.items(), key=rank)[:most]]

    def share(self) -> float:
        """Share of the votes that the first answer has."""
        first = self._votes[self.best(1)[0].tobytes()][1]
        return len(first) / sum(len(votes) for _, votes in self._votes.values())


def vote(run: Answering, task: object, home: HomeConfig, stage: int, count: int) -> Bought:
    """Answer each of the first `count` ARC items and augmented copies of it; the two best answers.

    Where the metric takes one attempt, the best one.
    """
    rows: list[tuple[int, object]] = []
    for item in range(count):
        draws = stream(run.seed, stage, item, 0, f"votes/{task.name}")
        rows += [(item, c) for c in [None, *task.copies(item, run.settings.votes, draws)]]
    ballots = [Ballot() for _ in range(count)]
    steps = 0
    for part in run.parts(len(rows)):
        chosen = [rows[i] for i in part]
        items, changes = np.array([item for item, _ in chosen]), [change for _, change in chosen]
        feed = to_feed(task.batch(items, changes=changes), stage, run.device)
        with torch.no_grad(), run.autocast():
            refined = refine(run.model, feed, home)
        canvases = refined.prediction.view(-1, *feed.grid).numpy()
        steps += int(refined.steps.sum())
        for row, (item, change) in enumerate(chosen):
            canvas = canvases[row] if change is None else change.invert(canvases[row])
            ballots[item].add(canvas, float(refined.exact[row]))
    most = ATTEMPTS if task.metric == "arc" else 1
    best = [[grid.tolist() for grid in ballot.best(most)] for ballot in ballots]
    return Bought(
        best if most > 1 else [grids[0] for grids in best],
        len(rows) / count,
        steps / count,
        share=np.array([ballot.share() for ballot in ballots]),
    )


def roll_out(run: Answering, task: object, home: HomeConfig, stage: int, count: int) -> Bought:
    """Answer items from several starting states and keep the answer with the best correctness
    logit: the model's own start, then randomly moved ones, drawn by item."""
    starts = run.settings.rollouts
    after: list[list] = [[] for _ in range(starts)]
    steps = 0
    for index in run.parts(count):
        feed = run.feed(task, stage, index)
        kept = None
        for turn in range(starts):
            noise = None if turn == 0 else _moves(run, task.name, stage, index, feed, turn)
            with torch.no_grad(), run.autocast():
                refined = refine(run.model, feed, home, noise=noise)
            steps += int(refined.steps.sum())
            if kept is None:
                kept, sure = refined.prediction, refined.exact
            better = refined.exact > sure
            kept = torch.where(better.unsqueeze(1), refined.prediction, kept)
            sure = torch.where(better, refined.exact, sure)
            after[turn] += said(task, kept, feed.grid)
    return Bought(after[-1], float(starts), steps / count, after)


def _moves(
    run: Answering, name: str, stage: int, index: np.ndarray, feed: object, turn: int
) -> Carry:
    """Moves of the starting states y, z (B, L, D), the same for an item in any batch."""
    shape = (2, feed.symbols.shape[1], run.model.config.d_model)
    draws = [
        torch.randn(shape, generator=torch_stream(run.seed, stage, int(i), turn, f"moves/{name}"))
        for i in index
    ]
    y, z = NOISE * torch.stack(draws, 1).to(run.device)
    return Carry(y, z)
