"""The consistency loss makes a model say the same of a grid and of its image."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch

from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.losses import consistency_loss, paired
from cogment_pipe.stage_config import LossWeights, ModelConfig, StageConfig
from cogment_pipe.streams import TaskStream

pytestmark = pytest.mark.science

SEED = int(os.environ.get("COGMENT_SCIENCE_SEED", "0"))
UPDATES = 240


def stage_config(weight: float) -> StageConfig:
    return StageConfig(
        name="arc_like",
        max_steps=UPDATES,
        batch_size=12,
        sequence_length=64,
        learning_rate=1e-3,
        max_refinement_steps=2,
        update="per_step",
        loss=LossWeights(consistency=weight, ponder=0.0),
        ema=0.99,
        augmentation_rate=1.0,
        augmentation_types=("rotate_90", "rotate_180", "rotate_270", "flip_h", "flip_v"),
        tasks={
            "arc_like": {
                "generator": "arc_like",
                "train": 800,
                "validation": 50,
                "test": 96,
                "params": {"side": 6, "context_cells": 72},
            }
        },
    )


@torch.no_grad()
def disagreement(engine, held_out) -> tuple[float, float]:
    """Share of cells on which the two answers differ, and their divergence, on unseen tasks."""
    home = engine.stage.model_copy(update={"batch_size": 96, "loss": LossWeights(consistency=1.0)})
    stream = TaskStream(held_out, home, 1, seed=99, training_stage=1, device=torch.device("cpu"))
    (chunk,) = stream._batch(0, 64)
    model = engine.model
    with engine.average.swapped(model):
        encoded = model.prepare(chunk.feed, home.memory)
        carry = model.start(encoded)
        for _ in range(home.max_refinement_steps):
            carry = model.step(encoded, carry)
        a, b = paired(model.outputs(encoded, carry).logits, chunk.alignment)
    return float((a.argmax(-1) != b.argmax(-1)).float().mean()), float(consistency_loss(a, b))


def test_training_with_it_lowers_the_disagreement(trainer, tmp_path):
    """Equal batches, twins included; only the weight of the term differs."""
    content = {"seed": SEED, "scale": "small", "vocab_size": 64, "corpora": {}}
    content["stage"] = stage_config(1.0).model_dump(mode="json") | {"source": "builtin"}
    prepare_stage(1, content, tmp_path)
    train, test = (load_stage(tmp_path, split)["arc_like"] for split in ("train", "test"))
    model = ModelConfig(
        d_model=64,
        n_heads=2,
        ffn_hidden=128,
        vocab_size=64,
        max_side=16,
        head_hidden=64,
        adapter_rank=4,
        memory_hidden=16,
    )
    found = {}
    for name, weight in (("off", 1e-12), ("on", 2.0)):
        engine = trainer(model, stage_config(weight), train, test, seed=SEED, number=1)
        accuracy = [float(engine.train_step()["accuracy"]) for _ in range(UPDATES)]
        found[name] = (*disagreement(engine, test), float(np.mean(accuracy[-20:])))
    print(json.dumps({"seed": SEED} | found))
    assert found["on"][0] < 0.9 * found["off"][0]
    assert found["on"][1] < 0.7 * found["off"][1]
    assert found["on"][2] > found["off"][2] - 0.05  # not by giving up the task
