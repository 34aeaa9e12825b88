"""The stage's engine: shares of tasks, what a step records, validation, resuming, weights."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from cogment_pipe import checkpoint
from cogment_pipe.data.augment import Augmentation, apply_all, image_cells
from cogment_pipe.data.batch import GridBatch
from cogment_pipe.model.memory import MemoryState, WriteStats
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import (
    GrokFastConfig,
    HomeConfig,
    LossWeights,
    MemoryWrites,
    ModelConfig,
    MultiOptimizerConfig,
    StageConfig,
    StageSlice,
)
from cogment_pipe.stage_trainer import StageData, StageTrainer, load_weights, read_scalars
from cogment_pipe.streams import Update

MODEL = ModelConfig(
    d_model=16,
    n_heads=2,
    ffn_hidden=24,
    vocab_size=20,
    max_side=8,
    head_hidden=8,
    adapter_rank=2,
    memory_hidden=8,
)


class Copying:
    """2 x 2 grids whose answer is the grid itself; augmentations turn it."""

    kind, task_id, batch_size, metric, difficulty = "grid", 14, None, "grid_exact", None

    def __init__(self, name: str = "copy", weight: float = 1.0, seed: int = 0) -> None:
        self.name, self.weight = name, weight
        self.inputs = np.random.default_rng(seed).integers(1, 5, (40, 2, 2))

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, index, *, rng=None, augment=False, answers=True) -> GridBatch:
        inputs, rows = self.inputs[index], None
        if augment:
            cells = image_cells(2)[rng.integers(1, 8, size=len(index))]
            rows = [Augmentation(c, np.arange(64)) for c in cells]
            inputs = apply_all(rows, inputs)
        return GridBatch(self.name, 14, inputs, inputs.copy(), np.asarray(index), augmented=rows)


class Ragged(Copying):
    """The same, but later items are asked for fewer of their cells, as answers differ in length."""

    def batch(self, index, **options) -> GridBatch:
        made = super().batch(index, **options)
        asked = np.arange(4).reshape(2, 2) <= 3 - np.asarray(index)[:, None, None] // 6
        made.targets = np.where(asked, made.targets, -100)
        return made


def make(tasks=None, earlier=(), precision="fp32", model=MODEL, **change) -> StageTrainer:
    tasks = tasks or [Copying()]
    settings = {"name": "x", "max_steps": 60, "batch_size": 8, "sequence_length": 16}
    settings |= {"learning_rate": 3e-3, "max_refinement_steps": 2, "warmup_steps": 2, "ema": 0.9}
    settings |= {"loss": LossWeights(improvement=0.5, consistency=0.3), "eval_every": 20}
    settings |= {"tasks": {}, "eval_items": 20}
    stage = StageConfig(**(settings | change))
    homes = {data.stage: HomeConfig.of(stage) for data in earlier}
    content = StageSlice(
        seed=0,
        scale="tiny",
        model=model,
        optimizer=MultiOptimizerConfig(),
        grokfast=GrokFastConfig(),
        stage=stage,
        homes=homes,
        threads=1,
    )
    torch.manual_seed(0)
    named = {task.name: task for task in tasks}
    number = len(earlier)
    own = StageData(number, named)
    return StageTrainer(Cogment(model), content, number, [*earlier, own], own, precision=precision)


class Rows(Copying):
    """Rows of eight cells, of which the last three are padding in every row."""

    def batch(self, index, **_options) -> GridBatch:
        inputs = np.zeros((len(index), 1, 8), dtype=np.int64)
        inputs[:, :, :5] = np.random.default_rng(0).integers(1, 5, (len(index), 1, 5))
        targets = np.where(inputs > 0, inputs, -100)
        return GridBatch(self.name, 14, inputs, targets, np.asarray(index))


@pytest.mark.parametrize(("mixer", "width"), [("attention", 5), ("token_mlp", 8)])
def test_padding_is_cut_unless_the_model_has_a_number_of_cells(mixer, width):
    """A token MLP mixes all the cells that it is built for; others are spared the padding."""
    model = MODEL.model_copy(update={"mixer": mixer, "mixer_cells": 8 * (mixer == "token_mlp")})
    trainer = make([Rows()], model=model, loss=LossWeights(), max_refinement_steps=2)
    trainer.train_step()
    (chunk,) = trainer.streams["copy"].chunks
    assert chunk.feed.grid == (1, width)
    assert trainer.validate()["loss"] > 0


@pytest.mark.parametrize("update", ["joint", "per_step"])
def test_it_learns_to_copy(update):
    """Both update schemes solve an easy task, and validation sees it."""
    trainer = make(update=update, max_steps=120, learning_rate=1e-2)
    for _ in range(120):
        record = trainer.train_step()
    assert float(record["accuracy"]) > 0.9
    assert trainer.validate()["cells"] > 0.9


def test_a_step_records_every_part_of_the_loss():
    """metrics.jsonl has the combination and each part alone, and they add up."""
    trainer = make()
    loss = trainer.stage.loss
    for _ in range(2):
        record = read_scalars(trainer.train_step())
    price = 0.005 + (0.02 - 0.005) * 1 / 60
    total = loss.deep * (record["loss_steps"] + record["loss_mixed"]) / 2
    total += loss.improvement * record["loss_improvement"]
    total += loss.consistency * record["loss_consistency"]
    total += loss.ponder * price * record["ponder"] + loss.exact * record["loss_exact"]
    assert record["loss"] == pytest.approx(total, rel=1e-5)
    assert record["loss_consistency"] > 0 and record["step"] == 2
    assert {"lr", "grad_norm", "accuracy", "exact", "task", "memory_gate"} <= record.keys()


def test_tasks_and_replay_get_their_share_of_steps():
    """Weights 3:1 within the stage, and a quarter of all steps for earlier stages."""
    earlier = [StageData(0, {"old": Copying("old")})]
    tasks = [Copying("a", 3.0), Copying("b", 1.0)]
    trainer = make(tasks, earlier, replay=0.25, batch_size=2, max_refinement_steps=1)
    counts = Counter(str(trainer.train_step()["task"]) for _ in range(40))
    assert counts["stage0.old"] == pytest.approx(10, abs=2)
    assert counts["a"] == pytest.approx(22.5, abs=3) and counts["b"] == pytest.approx(7.5, abs=2)


def test_no_replay_no_earlier_stream():
    """Share 0 leaves earlier stages alone."""
    trainer = make([Copying("a")], [StageData(0, {"old": Copying("old")})], replay=0.0)
    assert list(trainer.streams) == ["a"]


def test_validation_looks_at_averaged_weights_and_leaves_training_alone():
    """The raw weights come back bit by bit, and the next step is what it would have been."""
    a, b = make(), make()
    for _ in range(3):
        a.train_step()
        b.train_step()
    before = [p.detach().clone() for p in a.model.parameters()]
    record = a.validate()
    assert all(torch.equal(p, q) for p, q in zip(before, a.model.parameters(), strict=True))
    x, y = read_scalars(a.train_step()), read_scalars(b.train_step())
    assert x == y
    with b.average.swapped(b.model):
        pass
    assert set(record["tasks"]) == {"copy"} and 1.0 <= record["ponder"] <= 2.0


@torch.no_grad()
@pytest.mark.parametrize("items", [Copying(), Ragged()], ids=["even", "ragged"])
def test_validation_counts_items_and_not_batches(items):
    """20 items in batches of 8, 8 and 4 give the means over all rows and all targets."""
    trainer = make()
    sums = trainer._validate_task(items)
    trainer.stage = trainer.stage.model_copy(update={"batch_size": 20})
    whole = trainer._validate_task(items)
    for key, value in whole.items():
        assert sums[key] == pytest.approx(value, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("precision", "accumulate", "done"), [("fp32", 1, 1), ("fp32", 3, 4), ("bf16", 1, 3)]
)
def test_resume_is_exact(tmp_path, precision, accumulate, done):
    """State through a file into a fresh trainer: the next three steps have the same bits."""
    options = {"precision": precision, "accumulate": accumulate, "grokfast": True}
    a = make(**options)
    for _ in range(done):
        a.train_step()
    tensors, meta = checkpoint.flatten("run", a.state_dict())
    checkpoint.save(tmp_path / "s.pt", tensors, meta)
    b = make(**options)
    b.load_state_dict(checkpoint.unflatten("run", *checkpoint.load(tmp_path / "s.pt")))
    for _ in range(3):
        assert read_scalars(a.train_step()) == read_scalars(b.train_step())
    for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True):
        assert torch.equal(p, q)
    assert a.validate() == b.validate()


def test_a_step_that_is_not_finite_changes_nothing():
    """No weight, no average; it is counted and marked in the record."""
    trainer = make()
    trainer.train_step()
    before = [p.detach().clone() for p in trainer.model.parameters()]
    average = {n: t.clone() for n, t in trainer.average.weights().items()}
    with torch.no_grad():
        kept = trainer.model.core.y_start.clone()
        trainer.model.core.y_start.fill_(math.nan)
    trainer.streams["copy"].chunks, trainer.streams["copy"].phase = [], 0
    record = trainer.train_step()
    with torch.no_grad():
        trainer.model.core.y_start.copy_(kept)
    assert record["applied"] is False and trainer.optimizer.nonfinite == 1
    after = list(trainer.model.parameters())
    assert all(torch.equal(p, q) for p, q in zip(before, after, strict=True))
    assert all(torch.equal(t, average[n]) for n, t in trainer.average.weights().items())
    assert read_scalars(record)["loss"] is None


def test_verdicts_of_a_stage():
    """Nothing before it is due; the budget at max_steps."""
    trainer = make(max_steps=4, eval_every=2, patience=100)
    for step in range(4):
        assert trainer.verdict() is None
        trainer.train_step()
        assert trainer.due() == (step in (1, 3))
    assert trainer.verdict() == ("budget", "all 4 steps taken")


def test_weights_of_another_model_are_refused_by_name():
    """A missing parameter and a wrong shape each say which."""
    model = Cogment(MODEL)
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    lost = dict(weights)
    lost.pop("core.y_start")
    with pytest.raises(ValueError, match=r"core\.y_start"):
        load_weights(model, lost)
    with pytest.raises(ValueError, match=r"core\.y_start is \(3,\)"):
        load_weights(model, weights | {"core.y_start": torch.zeros(3)})


def test_the_gate_on_record_is_of_positions_that_wrote():
    """Documents of 6 and 2 tokens at gates .5 and .9, one without a segment: (3 + 1.8) / 8."""
    gate = torch.tensor([[0.4, 0.6], [0.9, 0.9], [0.0, 0.0]])
    stats = WriteStats(gate, gate, torch.tensor([6.0, 2.0, 0.0]))
    record = read_scalars({"memory_gate": make()._gate(stats)})
    assert record["memory_gate"] == pytest.approx(0.6)
    nothing = WriteStats(gate, gate, torch.zeros(3))
    assert read_scalars({"memory_gate": make()._gate(nothing)})["memory_gate"] is None


def test_consolidation_moves_the_bank_on_its_schedule():
    """Every second applied step, and only where a document was written."""
    trainer = make(memory=MemoryWrites(alpha=0.5, consolidate_every=2, consolidate_rate=0.5))
    bank = trainer.model.memory.bank
    start = bank.detach().clone()
    ends = MemoryState(torch.ones(3, *bank.shape))
    stats = WriteStats(torch.ones(3, 2), torch.ones(3, 2), torch.ones(3))
    written = Update(None, 1, 3, stats, ends)
    trainer.optimizer.applied = 1
    trainer._consolidate(written)
    trainer.optimizer.applied = 2
    trainer._consolidate(Update(None, 1, 3, None, ends))
    assert torch.equal(bank, start)
    trainer._consolidate(written)
    torch.testing.assert_close(bank.detach(), 0.5 * start + 0.5)
