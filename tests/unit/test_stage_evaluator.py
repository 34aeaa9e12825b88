"""Held-out figures: independent of batches, equal to training's, and the stage's verdict."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cogment_pipe import CurriculumStage, FourStageCurriculum, StageEvaluator
from cogment_pipe.data.batch import GridBatch, TextBatch
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import (
    GrokFastConfig,
    ModelConfig,
    MultiOptimizerConfig,
    StageConfig,
    StageSlice,
)
from cogment_pipe.stage_trainer import StageData, StageTrainer

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
B, L, V, T = 12, 6, 5, 3


class Copying:
    """2 x 2 grids whose answer is the grid itself."""

    kind, name, task_id, batch_size, weight = "grid", "copy", 14, None, 1.0

    def __init__(self) -> None:
        self.inputs = np.random.default_rng(0).integers(1, 5, (24, 2, 2))

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, index, **options: object) -> GridBatch:
        inputs = self.inputs[index]
        return GridBatch("copy", 14, inputs, inputs.copy(), np.asarray(index))


def stage(**change: object) -> StageConfig:
    settings = {"name": "x", "max_steps": 100, "batch_size": 8, "sequence_length": 16}
    settings |= {"learning_rate": 3e-3, "max_refinement_steps": T, "tasks": {}, "patience": 20}
    settings |= {"min_accuracy": 0.8, "max_ponder_cost": 2.5, "act_threshold": 0.9}
    return StageConfig(**(settings | change))


def evaluator(**change: object) -> StageEvaluator:
    made = StageEvaluator({0: stage(**change)})
    made.set_stage(0)
    return made


@pytest.fixture
def ragged() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Random outputs whose rows have 1 to 6 targets."""
    random = torch.Generator().manual_seed(0)
    targets = torch.randint(0, V, (B, L), generator=random)
    for row in range(B):
        targets[row, 1 + row % L :] = -100
    logits = torch.randn(T, B, L, V, generator=random)
    hint = torch.nn.functional.one_hot(targets.clamp(min=0), V)
    halt = torch.randn(B, T, generator=random)
    return {"logits": logits + 2.0 * hint, "halt": halt}, targets


def part(output: dict, rows: slice) -> dict:
    return {"logits": output["logits"][:, rows], "halt": output["halt"][rows]}


@pytest.mark.parametrize("size", [1, 5, 12])
def test_figures_do_not_depend_on_the_batch_size(ragged, size):
    """Rows with unequal numbers of targets: the look is the mean over targets and rows."""
    output, targets = ragged
    judge = evaluator()
    for start in range(0, B, size):
        rows = slice(start, start + size)
        judge.evaluate_batch(part(output, rows), targets[rows], 10)
    found = judge.metrics()
    asked = targets != -100
    last = output["logits"][-1].double()
    right = (last.argmax(-1) == targets) | ~asked
    assert (found.targets, found.rows, found.step) == (int(asked.sum()), B, 10)
    assert found.accuracy == pytest.approx(float(right[asked].double().mean()), abs=1e-12)
    assert found.exact == pytest.approx(float(right.all(1).double().mean()), abs=1e-12)
    loss = torch.nn.functional.cross_entropy(last[asked], targets[asked])
    assert found.loss == pytest.approx(float(loss), rel=1e-6)
    assert 0.0 < found.exact < found.accuracy < 1.0 < found.ponder < T


def test_detail_of_a_batch(ragged):
    """return_detailed: which rows are right, their steps, accuracy after every step."""
    output, targets = ragged
    found = evaluator().evaluate_batch(output, targets, 1, return_detailed=True)
    assert np.mean(found.detail["correct"]) == found.exact
    assert np.mean(found.detail["ponder"]) == pytest.approx(found.ponder)
    assert len(found.detail["accuracy_by_step"]) == T
    assert found.detail["accuracy_by_step"][-1] == found.accuracy
    plain = evaluator().evaluate_batch({"logits": output["logits"][-1]}, targets, 1)
    assert plain.detail is None and plain.accuracy == found.accuracy and plain.ponder == 1.0


def test_tasks_count_alike(ragged):
    """A look is the mean over tasks of each task's mean, whatever their sizes."""
    output, targets = ragged
    judge = evaluator()
    small, large = slice(0, 2), slice(2, B)
    a = judge.evaluate_batch(part(output, small), targets[small], 1, task="a")
    b = judge.evaluate_batch(part(output, large), targets[large], 1, task="b")
    assert judge.metrics().exact == pytest.approx((a.exact + b.exact) / 2)
    assert judge.metrics("a") == a


def test_it_agrees_with_the_trainers_validation():
    """`run` on the validation items: the figures that StageTrainer.validate records."""
    settings = stage(eval_items=24, ema=0.0)
    content = StageSlice(
        seed=0,
        scale="tiny",
        model=MODEL,
        optimizer=MultiOptimizerConfig(),
        grokfast=GrokFastConfig(),
        stage=settings,
    )
    torch.manual_seed(0)
    model, data = Cogment(MODEL), StageData(0, {"copy": Copying()})
    trainer = StageTrainer(model, content, 0, [data], data)
    for _ in range(5):
        trainer.train_step()
    record = trainer.validate()["tasks"]["copy"]
    judge = StageEvaluator({0: settings})
    judge.set_stage(0)
    with trainer.average.swapped(model):
        for start in (0, 10, 20):
            output = judge.run(model, Copying().batch(np.arange(start, min(start + 10, 24))))
            judge.evaluate_batch(output, output["targets"], 5, task="copy")
    found = judge.metrics()
    for key, value in record.items():
        assert getattr(found, key) == pytest.approx(value, rel=1e-5), key


def test_it_runs_text():
    """`run` reads a text batch as well; only answer tokens are targets."""
    tokens = np.array([[5, 6, 3, 7, 2, 0, 0, 0], [5, 3, 8, 9, 2, 0, 0, 0]])
    targets = np.full_like(tokens, -100)
    targets[0, 2:4], targets[1, 1:4] = tokens[0, 3:5], tokens[1, 2:5]
    lengths = np.array([3, 2]), np.array([5, 5])
    batch = TextBatch("qa", 15, None, tokens, *lengths, targets, np.arange(2))
    judge = evaluator()
    output = judge.run(Cogment(MODEL), batch)
    found = judge.evaluate_batch(output, output["targets"], 1)
    assert (found.targets, found.rows) == (5, 2)


def answers(share: float, halt: float = 0.0) -> tuple[dict, torch.Tensor]:
    """Outputs of which `share` of the rows are right."""
    targets = torch.zeros(20, 1, dtype=torch.int64)
    logits = torch.zeros(T, 20, 1, V)
    right = torch.arange(20) < round(share * 20)
    logits[:, right, 0, 0] = 5.0
    logits[:, ~right, 0, 1] = 5.0
    return {"logits": logits, "halt": torch.full((20, T), halt)}, targets


def test_completion_follows_the_curve():
    """Rising: go on. Flat for `patience` steps above the criteria: converged, and only then."""
    judge = evaluator()
    for step, share in ((10, 0.5), (20, 0.9), (30, 0.9)):
        judge.evaluate_batch(*answers(share), step)
        done, verdict, reason = judge.check_stage_completion()
        assert not done and verdict is None and f"step {step} of 100" in reason
    judge.evaluate_batch(*answers(0.9), 40)
    done, verdict, reason = judge.check_stage_completion()
    assert done and verdict == "converged" and "accuracy 0.900" in reason
    assert judge.check_stage_completion() == (done, verdict, reason)


def test_a_plateau_below_the_criteria_and_the_budget():
    """Accuracy or ponder short of the criteria: said so; max_steps ends a stage in any case."""
    for output, missing in ((answers(0.5), "accuracy"), (answers(0.9, -9.0), "ponder")):
        judge = evaluator()
        for step in (10, 30):
            judge.evaluate_batch(*output, step)
        # a look that was only closed by the next one counts as well
        done, verdict, reason = judge.check_stage_completion()
        assert done and verdict == "plateau_unmet" and missing in reason
    judge = evaluator(patience=500)
    judge.evaluate_batch(*answers(0.9), 100)
    assert judge.check_stage_completion() == (True, "budget", "all 100 steps taken")


def test_set_stage_takes_the_curriculum_and_starts_anew():
    """By name or number; what was collected for another stage is gone."""
    judge = StageEvaluator(scale="small")
    curriculum = FourStageCurriculum("small")
    assert judge.set_stage(CurriculumStage.SANITY) == curriculum.get_stage_config(0)
    judge.evaluate_batch(*answers(0.9), 10)
    assert judge.set_stage(2) == curriculum.get_stage_config(2)
    with pytest.raises(ValueError, match="no batch"):
        judge.metrics()
    with pytest.raises(ValueError, match="9 is not a valid"):
        judge.set_stage(9)


def test_misuse_is_refused():
    """No stage, steps that go back or were judged, shapes that do not fit."""
    output, targets = answers(0.5)
    with pytest.raises(ValueError, match="set_stage first"):
        StageEvaluator().evaluate_batch(output, targets, 1)
    judge = evaluator()
    judge.evaluate_batch(output, targets, 10)
    with pytest.raises(ValueError, match="only grow"):
        judge.evaluate_batch(output, targets, 9)
    judge.check_stage_completion()
    with pytest.raises(ValueError, match="judged already"):
        judge.evaluate_batch(output, targets, 10)
    for broken in ({"halt": torch.zeros(3, T)}, {"logits": torch.zeros(7, 1, V)}):
        with pytest.raises(ValueError, match=r"not \("):
            judge.evaluate_batch(output | broken, targets, 11)
    with pytest.raises(ValueError, match=r"\(T, N, V\)"):
        judge.evaluate_batch(output | {"row": torch.zeros(3)}, targets, 11)
