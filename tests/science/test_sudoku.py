"""Refinement and halting on unseen Sudokus: more steps help, and hard ones get more of them."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch

from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.data.symbols import BLANK
from cogment_pipe.halting_report import rank_correlation
from cogment_pipe.inference import refine
from cogment_pipe.model.feed import to_feed
from cogment_pipe.stage_config import LossWeights, MemoryWrites, ModelConfig, StageConfig

pytestmark = pytest.mark.science

SEED = int(os.environ.get("COGMENT_SCIENCE_SEED", "0"))
STEPS = 8
UPDATES = 1000
SURE = 0.98
"""What the correctness logit must say before a row leaves."""


def stage_config() -> StageConfig:
    return StageConfig(
        name="sudoku",
        max_steps=UPDATES,
        batch_size=32,
        sequence_length=16,
        learning_rate=2e-3,
        warmup_steps=50,
        max_refinement_steps=STEPS,
        depth_ramp=0.4,
        act_threshold=0.9,
        update="per_step",
        ponder_start=0.005,
        ponder_end=0.02,
        loss=LossWeights(ponder=0.1, improvement=0.0),
        memory=MemoryWrites(read=False),
        ema=0.99,
        augmentation_rate=0.9,
        augmentation_types=("relabel_digits", "permute_bands"),
        tasks={
            "sudoku": {
                "generator": "sudoku",
                "train": 1000,
                "validation": 50,
                "test": 400,
                "params": {"side": 4, "givens_min": 5, "givens_max": 10},
            }
        },
    )


@pytest.fixture(scope="module")
def solved(trainer, tmp_path_factory):
    """A trained model's answers to 400 unseen puzzles, of the other symmetry class."""
    stage = stage_config()
    folder = tmp_path_factory.mktemp("sudoku")
    content = {"seed": SEED, "scale": "small", "vocab_size": 64, "corpora": {}}
    content["stage"] = stage.model_dump(mode="json") | {"source": "builtin"}
    prepare_stage(2, content, folder)
    data = {split: load_stage(folder, split)["sudoku"] for split in ("train", "test")}
    model = ModelConfig(
        d_model=128,
        n_heads=4,
        # One block and one update of z: a step too small to solve these puzzles on its own.
        n_blocks=1,
        z_updates=1,
        ffn_hidden=384,
        vocab_size=64,
        max_side=8,
        head_hidden=128,
        adapter_rank=8,
        memory_hidden=32,
    )
    engine = trainer(model, stage, data["train"], data["test"], seed=SEED, number=2)
    for _ in range(UPDATES):
        engine.train_step()
    batch = data["test"].batch(np.arange(400))
    feed = to_feed(batch, 2)
    with engine.average.swapped(engine.model):
        full = refine(engine.model, feed, stage)
        ways = {
            way: refine(engine.model, feed, stage, halting=way, exact_threshold=SURE)
            for way in ("threshold", "exact")
        }
    blanks = feed.targets != -100

    def exact(answer: torch.Tensor) -> float:
        return float(((answer == feed.targets) | ~blanks).all(1).float().mean())

    hidden = (batch.inputs == BLANK).sum((1, 2))
    found = {"seed": SEED, "by_step": [round(exact(a), 4) for a in full.by_step]}
    for way, early in ways.items():
        steps = early.steps.numpy()
        found[way] = {
            "exact": round(exact(early.prediction), 4),
            "mean_steps": round(float(steps.mean()), 3),
            "correlation": rank_correlation(hidden, steps),
            "steps_by_blanks": {
                int(n): round(float(steps[hidden == n].mean()), 2) for n in np.unique(hidden)
            },
        }
    print(json.dumps(found))
    return found


def test_the_last_step_beats_the_first(solved):
    """Refinement earns at least 5 points of exact solutions."""
    assert solved["by_step"][-1] > solved["by_step"][0] + 0.05
    assert solved["by_step"][-1] > 0.8


@pytest.mark.parametrize("way", ["threshold", "exact"])
def test_harder_puzzles_take_more_steps(solved, way):
    """Step at which a row leaves and number of blanks: rank correlation above .3."""
    correlation = solved[way]["correlation"]
    assert correlation is not None, f"all rows left at one step: {solved[way]}"
    assert correlation > 0.3


@pytest.mark.parametrize("way", ["threshold", "exact"])
def test_leaving_early_saves_a_quarter_of_the_steps_for_less_than_a_point(solved, way):
    """Under 1 point lost, at least 25% of the refinement steps saved, by either rule."""
    assert solved[way]["exact"] > solved["by_step"][-1] - 0.01
    assert solved[way]["mean_steps"] <= 0.75 * STEPS
