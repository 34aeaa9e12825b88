"""The memory carries what attention cannot see, and nothing else explains it."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cogment_pipe.model.feed import to_feed
from cogment_pipe.model.memory import MemoryState
from cogment_pipe.stage_config import LossWeights, MemoryWrites, ModelConfig, StageConfig

spec = importlib.util.spec_from_file_location("recall", Path(__file__).with_name("recall.py"))
recall = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recall)

pytestmark = pytest.mark.science

SEED = int(os.environ.get("COGMENT_SCIENCE_SEED", "0"))
MODEL = ModelConfig(
    d_model=64,
    n_heads=2,
    n_blocks=1,
    z_updates=1,
    ffn_hidden=128,
    vocab_size=recall.VOCABULARY,
    max_side=8,
    head_hidden=8,
    adapter_rank=4,
    memory_hidden=64,
)
WRITES = MemoryWrites(alpha=1.0)


def stage(steps: int, memory: MemoryWrites) -> StageConfig:
    return StageConfig(
        name="recall",
        max_steps=steps,
        batch_size=32,
        sequence_length=16,
        learning_rate=2e-3,
        final_lr_ratio=0.1,
        max_refinement_steps=1,
        update="joint",
        memory=memory,
        loss=LossWeights(ponder=0.0, exact=0.0),
        ema=0.99,
        tasks={},
    )


def train(trainer, steps: int, memory: MemoryWrites):
    """Segments 1 -> 2 -> 4: on to the next as soon as the last 25 batches are mostly right."""
    task = recall.Recall(1 << 20, 1000 + SEED, segments=1)
    engine = trainer(MODEL, stage(steps, memory), task, task, seed=SEED, number=4)
    recent: list[float] = []
    for _ in range(steps):
        recent.append(float(engine.train_step()["accuracy"]))
        if task.segments < 4 and len(recent) >= 25 and np.mean(recent[-25:]) > 0.85:
            task.segments, recent = 2 * task.segments, []
    return engine


@torch.no_grad()
def score(engine, segments: int = 4, mode: str = "on") -> float:
    """Share of keys of unseen documents whose value is said."""
    task = recall.Recall(256, 7, segments)
    feed = to_feed(task.batch(np.arange(256)), 4)
    model, memory = engine.model, engine.stage.memory
    writes = MemoryWrites(alpha=0.0) if mode == "writes off" else memory
    state = None
    if mode in ("zeroed", "swapped"):
        written = model.read_document(feed, writes, 1)[0].matrix
        state = MemoryState(written * 0 if mode == "zeroed" else written.roll(1, 0))
    with engine.average.swapped(model):
        encoded = model.prepare(feed, writes, 1, state)
        said = model.outputs(encoded, model.step(encoded, model.start(encoded))).logits
    return float((said.argmax(-1) == encoded.labels).float().mean())


def test_recall_needs_the_memory(trainer, record_property):
    """Memory on is far above 1/32; read zeroed, another's, writes off and no memory are not."""
    engine = train(trainer, 700, WRITES)
    found = {mode: score(engine, mode=mode) for mode in ("on", "zeroed", "swapped", "writes off")}
    found["8 segments after 4"] = score(engine, segments=8)
    found["twin without memory"] = score(train(trainer, 250, MemoryWrites(read=False)))
    record_property("recall", json.dumps({"seed": SEED} | found))
    print(json.dumps({"seed": SEED} | found))
    chance, sigma = 1 / 32, (1 / 32 * 31 / 32 / (256 * 12)) ** 0.5
    for mode in ("zeroed", "swapped", "writes off", "twin without memory"):
        assert abs(found[mode] - chance) < max(0.02, 3 * sigma), mode
    assert found["on"] > 0.6
    assert found["8 segments after 4"] > 5 * chance
