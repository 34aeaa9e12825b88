"""Training from Python: the pipeline's bits, resuming, moving through stages, clear refusals."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from cogment_pipe import CogmentTrainer, CurriculumStage, TrainingConfig
from cogment_pipe.config import load_config
from cogment_pipe.curriculum import FourStageCurriculum
from cogment_pipe.data.batch import GridBatch
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.errors import CogmentError
from cogment_pipe.model.model import Cogment
from cogment_pipe.rng import key
from cogment_pipe.stage_config import (
    HomeConfig,
    LossWeights,
    ModelConfig,
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


class Copying:
    """2 x 2 grids whose answer is the grid itself."""

    kind, task_id, batch_size, metric, difficulty, weight = "grid", 14, None, "grid", None, 1.0

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = name
        self.inputs = np.random.default_rng(seed).integers(1, 5, (24, 2, 2))

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, index, *, rng=None, augment=False, answers=True) -> GridBatch:
        inputs = self.inputs[index]
        return GridBatch(self.name, 14, inputs, inputs.copy(), np.asarray(index))


def stage(name: str, **change: object) -> StageConfig:
    settings = {"name": name, "max_steps": 8, "batch_size": 4, "sequence_length": 16}
    settings |= {"learning_rate": 3e-3, "max_refinement_steps": 2, "warmup_steps": 2, "ema": 0.9}
    settings |= {"loss": LossWeights(improvement=0.5), "eval_every": 3, "eval_items": 8}
    return StageConfig(**(settings | {"tasks": {}} | change))


STAGES = {0: stage("A"), 1: stage("B", replay=0.4, grokfast=True, max_steps=7)}
TRAIN = {0: {"a": Copying("a")}, 1: {"b": Copying("b", 1)}}
HELD_OUT = {0: {"a": Copying("a", 2)}, 1: {"b": Copying("b", 3)}}


def config(**change: object) -> TrainingConfig:
    settings = {"model_config": MODEL, "stages": STAGES, "stop_after": 1, "threads": 1}
    return TrainingConfig(**(settings | change))


def make(**change: object) -> CogmentTrainer:
    return CogmentTrainer(None, config(**change), "cpu")


def weights(model: Cogment) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def by_hand() -> tuple[dict[str, torch.Tensor], list[dict]]:
    """What StageTrainer gives, stage by stage, as the pipeline drives it."""
    torch.manual_seed(key(0, 0, 0, 0, "model") % (1 << 63))
    model, last = Cogment(MODEL), []
    for number, settings in STAGES.items():
        earlier = range(number) if settings.replay else ()
        homes = {j: HomeConfig.of(STAGES[j]) for j in earlier}
        defaults = TrainingConfig()
        content = StageSlice(
            seed=0,
            scale="full",
            model=MODEL,
            optimizer=defaults.optimizer_config,
            grokfast=defaults.grokfast_config,
            stage=settings,
            homes=homes,
        )
        data = [StageData(j, TRAIN[j]) for j in (*earlier, number)]
        held_out = StageData(number, HELD_OUT[number])
        trainer = StageTrainer(model, content, number, data, held_out)
        while not trainer.step_count or trainer.verdict() is None:
            trainer.train_step()
            if trainer.due():
                record = trainer.validate()
        last.append({k: v for k, v in record.items() if k != "best"})
    return weights(model), last


def test_it_is_the_engine_of_the_pipeline():
    """Two stages, replay and filter on: weights and validation equal StageTrainer's to the bit."""
    trainer = make()
    history = trainer.train(TRAIN, HELD_OUT)
    expected, last = by_hand()
    assert same(weights(trainer.model), expected)
    found = [{k: v for k, v in r.validation.items() if k != "best"} for r in history]
    assert found == last
    assert [(r.stage, r.name, r.steps, r.verdict) for r in history] == [
        (0, "A", 8, "budget"),
        (1, "B", 7, "budget"),
    ]


@pytest.mark.parametrize("done", [0, 3, 8, 11])
def test_resume_through_a_file_is_exact(done):
    """Stopped anywhere (amid a batch, between stages) and taken up by a fresh trainer: same end."""
    whole = make()
    whole.train(TRAIN, HELD_OUT)
    first = make()
    first.train(TRAIN, HELD_OUT, max_steps=done)
    assert sum(r.steps for r in first.history) == done
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make(seed=0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.train(TRAIN, HELD_OUT) == whole.history
    assert same(weights(second.model), weights(whole.model))


def test_a_state_is_a_copy_and_survives_being_loaded_and_taken_again():
    """Training on does not change a state, and one that was only loaded can be taken at once."""
    trainer = make()
    trainer.train(TRAIN, HELD_OUT, max_steps=3)
    state = trainer.state_dict()
    before = {name: t.clone() for name, t in state["model"].items()}
    trainer.train(TRAIN, HELD_OUT)
    assert same(state["model"], before)
    other = make()
    other.load_state_dict(state)
    third = make()
    third.load_state_dict(other.state_dict())
    third.train(TRAIN, HELD_OUT)
    assert same(weights(third.model), weights(trainer.model))


def test_a_state_of_another_configuration_is_refused():
    """The key that differs is named; nothing is loaded."""
    state = make().state_dict()
    other = make(stages={**STAGES, 0: stage("A", learning_rate=1e-3)})
    kept = weights(other.model)
    with pytest.raises(ValueError, match=r"stage\.learning_rate differs"):
        other.load_state_dict(state)
    assert same(weights(other.model), kept)


def test_without_auto_advance_it_stays_in_its_stage():
    """One stage a call; `advance` hands the raw weights to the next."""
    whole, trainer = make(), make(auto_advance_stages=False)
    whole.train(TRAIN, HELD_OUT)
    assert len(trainer.train(TRAIN, HELD_OUT)) == 1
    assert len(trainer.train(TRAIN, HELD_OUT)) == 1 and trainer.stage == 0
    handed = weights(trainer.model)
    assert trainer.advance() == 1 and same(weights(trainer.model), handed)
    trainer.train(TRAIN, HELD_OUT)
    assert same(weights(trainer.model), weights(whole.model))
    with pytest.raises(ValueError, match="last one"):
        trainer.advance()


def test_a_stage_that_converges_ends_early():
    """The plateau ends it before max_steps, with the detector's verdict, and the next begins."""
    early = stage("A", max_steps=60, patience=3, min_delta=1.0)
    trainer = make(stages={**STAGES, 0: early})
    history = trainer.train(TRAIN, HELD_OUT)
    assert history[0].verdict == "converged" and history[0].steps < 60
    assert history[1].verdict == "budget"
    strict = make(stages={0: stage("A", patience=3, min_delta=1.0, min_accuracy=1.0)}, stop_after=0)
    strict.config.on_unmet = "fail"
    with pytest.raises(CogmentError, match="stage 0 did not meet"):
        strict.train(TRAIN, HELD_OUT)


def test_without_the_curriculum_one_mapping_is_enough():
    """use_curriculum=False: one stage, its data as {name: task}; the nominal table is not read."""
    trainer = make(use_curriculum=False, stages={2: stage("own")}, start_stage=2, stop_after=2)
    records = []
    (result,) = trainer.train(TRAIN[0], HELD_OUT[0], on_record=records.append)
    assert (result.stage, result.steps) == (2, 8)
    assert [r["step"] for r in records if r["event"] == "train"] == list(range(1, 9))
    assert [r["step"] for r in records if r["event"] == "validation"] == [3, 6, 8]
    raw = weights(trainer.model)
    with trainer.average.swapped(trainer.model):
        assert not same(weights(trainer.model), raw)
    assert same(weights(trainer.model), raw)


def test_stages_come_from_the_curriculum():
    """What `stages` does not override is the table of the scale."""
    found = TrainingConfig(stages={1: STAGES[1]}, scale="small").stage_configs()
    curriculum = FourStageCurriculum("small")
    assert found[1] == STAGES[1] and set(found) == set(range(5))
    assert found[2] == curriculum.get_stage_config(CurriculumStage.ALGORITHMIC)


def test_the_callers_random_numbers_are_left_alone():
    """Training draws nothing from, and leaves nothing in, the global generators."""
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    make().train(TRAIN, HELD_OUT, max_steps=2)
    assert torch.equal(torch.rand(2), expected)


def test_prepared_folders_are_loaders(tmp_path, project):
    """results/data and one stage's folder: same bits as the mapping of what they hold."""
    tiny = load_config(project, project, {"scale": "tiny"})
    tasks = {"linear_map": tiny.stages[0].tasks["linear_map"].model_copy(update={"train": 40})}
    own = tiny.resolved(0).model_copy(update={"max_steps": 4, "eval_every": 2, "tasks": tasks})
    slice = {"seed": 0, "scale": "tiny", "vocab_size": 300, "corpora": {}}
    slice["stage"] = own.model_dump(mode="json")
    prepare_stage(0, slice, tmp_path / "stage0")
    found = []
    for source in (tmp_path, str(tmp_path / "stage0")):
        trainer = make(model_config=tiny.model, stages={0: own}, stop_after=0)
        (result,) = trainer.train(source)
        assert set(result.validation["tasks"]) == set(own.tasks)
        found.append(weights(trainer.model))
    assert same(*found)


def test_missing_data_is_said_before_training():
    """The stage that lacks data is named before the first step, also one that is only replayed."""
    trainer = make()
    with pytest.raises(CogmentError, match="validation loader has no stage 1"):
        trainer.train(TRAIN, {0: HELD_OUT[0]})
    assert trainer.history[0].steps == 0
    with pytest.raises(CogmentError, match="train loader has no stage 0"):
        make(start_stage=1).train({1: TRAIN[1]}, HELD_OUT)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ([1, 2], "not list"),
        ({}, "not empty"),
        ({"a": [1]}, "task 'a' is list"),
        ({0: {}}, "not empty"),
    ],
)
def test_something_else_than_a_loader_is_refused(loader, message):
    """One line that says what a loader is."""
    with pytest.raises(ValueError, match=message):
        make().train(loader, HELD_OUT)


def test_wrong_configurations_are_refused(tmp_path):
    """Stage numbers, a model of other sizes, no held-out items, an empty folder."""
    with pytest.raises(ValueError, match="start_stage"):
        TrainingConfig(start_stage=3, stop_after=2)
    with pytest.raises(ValueError, match="without the curriculum"):
        TrainingConfig(use_curriculum=False)
    other = Cogment(MODEL.model_copy(update={"head_hidden": 4}))
    with pytest.raises(ValueError, match="model_config"):
        CogmentTrainer(other, config(), "cpu")
    with pytest.raises(ValueError, match="eval_loader is needed"):
        make().train(TRAIN)
    with pytest.raises(CogmentError, match="no prepared data"):
        make().train(tmp_path)
    with pytest.raises(ValueError, match="train\\(\\) has begun"):
        _ = make().average


@pytest.mark.slow
def test_the_documented_example_runs(project, capsys):
    """docs/api.md: training on own data and judging it works as printed there, and learns."""
    blocks = (project / "docs" / "api.md").read_text().split("```python\n")[1:]
    own, judged, curve = (block.split("```")[0] for block in blocks[2:5])
    scope: dict[str, object] = {}
    exec(own + judged + curve, scope)
    verdict, cells = capsys.readouterr().out.split()
    assert verdict in ("budget", "converged") and float(cells) > 0.9
    metrics = scope["metrics"]
    assert metrics.rows == 100 and metrics.targets == 900 and metrics.accuracy > 0.9
    assert scope["done"] is True and scope["verdict"] == "budget"
    assert scope["detector"].state.best_accuracy == 0.97
