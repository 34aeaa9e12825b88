"""Runs of the grokking benchmark: data, stopping, and the same bytes again."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cogment_pipe.benchmark_config import GrokkingArm, GrokkingConfig, GrokkingSlice, GrokkingTask
from cogment_pipe.benchmarks.grokking.run import GrokkingRun, first_crossing, run_arm
from cogment_pipe.benchmarks.grokking.task import batches, split

TASK = GrokkingTask(modulus=7, width=16, heads=2, batch_size=8, eval_every=5, eval_items=16)


def part(max_steps: int = 20, **task: object) -> GrokkingSlice:
    changed = TASK.model_copy(update=task)
    return GrokkingSlice(task=changed, arm=GrokkingArm(title="t", max_steps=max_steps))


def test_split_is_complete_disjoint_and_of_the_seed() -> None:
    """Every pair 0 <= x < p, 0 < y < p is in exactly one half; another seed cuts otherwise."""
    training, validation = split(TASK, 0)
    pairs = [(int(x), int(y)) for half in (training, validation) for x, y in zip(half.x, half.y)]  # noqa: B905
    assert sorted(pairs) == [(x, y) for x in range(7) for y in range(1, 7)]
    assert len(training) == len(validation) == 21
    assert np.array_equal(training.result, training.x * training.y % 7)
    assert np.array_equal(split(TASK, 0)[0].x, training.x)
    assert not np.array_equal(split(TASK, 1)[0].x, training.x)


def test_an_epoch_has_every_pair_once() -> None:
    """Batches of 8 over 21 pairs: 8, 8 and 5, then the next epoch in another order."""
    training, _ = split(TASK, 0)
    stream = batches(training, TASK, 0)
    epochs = [[next(stream) for _ in range(3)] for _ in range(2)]
    assert [len(batch) for batch in epochs[0]] == [8, 8, 5]
    seen = [np.concatenate([batch.x * 7 + batch.y for batch in epoch]) for epoch in epochs]
    assert sorted(seen[0]) == sorted(seen[1]) == sorted(training.x * 7 + training.y)
    assert not np.array_equal(*seen)


def test_a_run_gives_the_same_bytes_again(tmp_path) -> None:
    """Same arm, seed and settings, same file; another seed, another."""
    slice = part().model_dump(mode="json")
    first = run_arm("A", 0, slice, "hash", tmp_path / "one").read_bytes()
    assert run_arm("A", 0, slice, "hash", tmp_path / "two").read_bytes() == first
    assert run_arm("A", 1, slice, "hash", tmp_path / "three").read_bytes() != first
    records = [json.loads(line) for line in first.splitlines()]
    assert [r["event"] for r in records] == ["run", *["look"] * 4, "end"]
    assert [r["step"] for r in records[1:-1]] == [5, 10, 15, 20]
    assert records[-1]["reached"] is None and records[-1]["steps"] == 20


def test_a_run_ends_when_the_threshold_held() -> None:
    """Three looks in a row at or above it end the run."""
    run = GrokkingRun(part(100, threshold=0.0, hold=3), 0)
    looks = list(run.looks())
    assert [look["step"] for look in looks] == [5, 10, 15]
    assert run.outcome(looks)["reached"] == 5


def test_a_run_whose_loss_is_not_finite_ends() -> None:
    """It says so and reaches nothing, and its file has no NaN in it."""
    run = GrokkingRun(part(100), 0)
    run.model.head.weight.data.fill_(math.inf)
    looks = list(run.looks())
    assert len(looks) == 1
    assert looks[0]["train_loss"] is None
    assert run.outcome(looks)["finite"] is False


def test_training_learns_the_training_half() -> None:
    """60 steps on 21 pairs: the loss falls, so gradients reach the weights with the right sign."""
    run = GrokkingRun(part(150), 0)
    looks = list(run.looks())
    assert looks[-1]["train_loss"] < 0.5 * looks[0]["train_loss"]


def test_crossing_counts_looks_in_a_row() -> None:
    """The first look, or the first of `hold` looks in a row."""
    looks = [{"step": s, "a": a} for s, a in [(1, 0.2), (2, 0.9), (3, 0.1), (4, 0.9), (5, 0.95)]]
    assert first_crossing(looks, "a", 0.9) == 2
    assert first_crossing(looks, "a", 0.9, hold=2) == 4
    assert first_crossing(looks, "a", 0.99) is None


def test_an_arm_that_is_named_must_exist() -> None:
    """References and smoke name arms; a typo is one line."""
    arms = {"A": {"title": "a"}}
    with pytest.raises(ValueError, match="arm 'B' is named"):
        GrokkingConfig(arms=arms, references=dict.fromkeys(REFERENCES, "A"))
    config = GrokkingConfig(
        arms=arms, references=dict.fromkeys(REFERENCES, "A"), smoke={"arms": ["A"], "max_steps": 10}
    )
    assert config.runs("grokking") == [("A", 0), ("A", 1), ("A", 2)]
    assert config.runs("grokking_smoke") == [("A", 0)]
    assert config.arm("grokking_smoke", "A").max_steps == 10
    chosen = GrokkingConfig.model_validate({**config.model_dump(), "only": ["A"], "seeds": [4]})
    assert chosen.runs("grokking") == [("A", 4)]


REFERENCES = ("paper_style", "decay_matched", "versus_adamw")
