"""Votes and rollouts: what is counted, what goes back, and that more of them is never another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cogment_pipe import attempts
from cogment_pipe.attempts import Ballot, roll_out, vote
from cogment_pipe.data.symbols import OUT
from cogment_pipe.inference import Refined
from cogment_pipe.scoring import arc
from tests.unit.evaluated import TEST, Evaluated


def canvas(*cells: int) -> np.ndarray:
    """A 2 x 2 canvas whose first row begins with `cells`."""
    grid = np.full((2, 2), OUT)
    grid[0, : len(cells)] = cells
    return grid


def test_a_ballot_goes_by_count_then_by_confidence():
    """Two votes beat a sure one; of equal counts the surer mean wins; no grid comes last."""
    ballot = Ballot()
    for cell, exact in ((1, 0.2), (1, 0.1), (2, 0.9), (3, 0.95)):
        ballot.add(canvas(cell), exact)
    for _ in range(5):
        ballot.add(np.full((2, 2), OUT), 1.0)
    assert [grid[0, 0] for grid in ballot.best()] == [1, 3]
    assert [grid[0, 0] for grid in ballot.best(4)] == [1, 3, 2, OUT]
    assert ballot.share() == pytest.approx(2 / 9)


def test_what_stands_beside_the_grid_is_no_part_of_the_vote():
    """Two canvases that show the same grid are one answer."""
    ballot, beside = Ballot(), canvas(4)
    beside[1, 1] = 7
    ballot.add(canvas(4), 0.5)
    ballot.add(beside, 0.5)
    assert ballot.share() == 1.0 and np.array_equal(ballot.best()[0], canvas(4))


def answers_of(evaluation: Evaluated, monkeypatch: pytest.MonkeyPatch, right: object) -> list:
    """Makes `refine` say the target where `right(row number)`, else nonsense; the rows it saw."""
    seen = []

    def refined(_model: object, feed: object, _home: object) -> Refined:
        rows = len(feed.symbols)
        numbers = range(len(seen), len(seen) + rows)
        seen.extend(numbers)
        says = torch.stack(
            [
                target if right(n) else torch.full_like(target, 1 + n % 9)
                for n, target in zip(numbers, feed.targets, strict=True)
            ]
        )
        steps = torch.full((rows,), 3)
        return Refined(says, steps, steps, torch.full((rows,), 0.5))

    monkeypatch.setattr(attempts, "refine", refined)
    return seen


def test_answers_to_copies_count_for_the_item(evaluation, monkeypatch):
    """A model right on copies only, and only on half of them, is outvoted to the right answer."""
    task, home = evaluation.task(1), evaluation.home(1)
    seen = answers_of(evaluation, monkeypatch, lambda n: n % 2 == 1)
    found = vote(evaluation.answering(votes=9), task, home, 1, TEST)
    golds = [task.gold(i) for i in range(TEST)]
    assert arc.score(found.values, golds)["task"] == 1.0
    assert all(len(grids) == 2 for grids in found.values)
    assert len(seen) == round(found.passes * TEST) and found.steps == 3 * found.passes


def test_rollouts_begin_with_the_single_pass_and_take_the_surest(evaluation):
    """One start gives the single pass; of more, each answer is that of its surest start."""
    run, task, home = evaluation.answering(rollouts=4), evaluation.task(2), evaluation.home(2)
    found = roll_out(run, task, home, 2, TEST)
    assert found.after[0] == run.answer(task, home, 2, TEST).values
    assert found.values == found.after[-1] != found.after[0]
    assert found.passes == 4 and found.steps == 4 * home.max_refinement_steps
    index = np.arange(TEST)
    feed = run.feed(task, 2, index)
    moves = [None] + [attempts._moves(run, task.name, 2, index, feed, t) for t in (1, 2, 3)]
    each = [attempts.refine(run.model, feed, home, noise=noise) for noise in moves]
    surest = torch.stack([one.exact for one in each]).argmax(0)
    for row, turn in enumerate(surest.tolist()):
        assert each[turn].prediction[row].view(4, 4).tolist() == found.values[row]


def test_rollouts_of_an_item_do_not_depend_on_its_batch(evaluation):
    """Moves are drawn by item: one at a time or all at once."""
    task, home = evaluation.task(2), evaluation.home(2)
    one, all_ = (
        roll_out(evaluation.answering(rollouts=3, batch_size=size), task, home, 2, TEST)
        for size in (1, 32)
    )
    assert one.after == all_.after
