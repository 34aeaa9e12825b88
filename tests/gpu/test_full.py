"""A few steps of scale `full` on CUDA: 21M parameters at the nominal batch sizes and lengths.

Data are generated, a few dozen items; what is long in `full` is its number of steps.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cogment_pipe.config import load_config
from cogment_pipe.data.corpus import split_corpus
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.data.tokenizer import train_tokenizer
from cogment_pipe.slices import data_slice, stage_slice, tokenizer_slice
from tests.resume.stages import Stage, published

pytestmark = pytest.mark.gpu
STEPS, STOP = 6, 3
ITEMS = {"train": 24, "validation": 4, "test": 4}
TASKS = {0: "toy_maze", 2: "sudoku", 4: "recall"}
"""The stages that are tried, and one generator of each that needs no corpus."""


def full_stage(k: int, root: Path, project: Path) -> Stage:
    """Stage k of `full` as it is, but for one task, few items and few steps; nothing replayed."""
    config = load_config(project, root, {"scale": "full"})
    name = TASKS[k]
    data = json.loads(data_slice(config, k))
    task = {**data["stage"]["tasks"][name], **ITEMS}
    data["stage"] |= {"tasks": {name: task}, "source": "builtin", "corpora": {}}
    text = {}
    if k == 4:
        split_corpus(k, data, root / "corpus")
        train_tokenizer(json.loads(tokenizer_slice(config)), [root / "corpus"], root / "t.json")
        text = {"corpus": root / "corpus", "tokenizer": root / "t.json"}
    prepare_stage(k, data, root / f"stage{k}", **text)
    slice = json.loads(stage_slice(config, k))
    tasks = {name: {**slice["stage"]["tasks"][name], **ITEMS}}
    short = {"max_steps": STEPS, "eval_every": STEPS, "eval_items": 2, "warmup_steps": 2}
    slice["stage"] |= {"tasks": tasks, "source": "builtin", "corpora": {}, "replay": 0.0, **short}
    return Stage(k, slice, [root / f"stage{k}"])


@pytest.mark.parametrize("k", sorted(TASKS))
def test_some_steps_and_an_exact_resume(k, project, tmp_path, interruptions):
    """It fits, its numbers are finite, and a stop in the middle changes no byte."""
    stage = full_stage(k, tmp_path, project)
    torch.cuda.reset_peak_memory_stats()
    options = {"device": "cuda", "log_every": 1}
    assert stage.train(tmp_path / "a", **options) == 0
    lines = [json.loads(line) for line in published(tmp_path / "a")["metrics.jsonl"].splitlines()]
    steps = [line for line in lines if line["event"] == "train"]
    assert len(steps) == STEPS and all(line["loss"] is not None for line in steps)
    summary = json.loads(published(tmp_path / "a")["summary.json"])
    assert summary["nonfinite_steps"] == 0
    assert 20.5e6 < summary["parameters"]["total"] < 25e6
    print(f"stage {k} of full: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB at most")
    interruptions.stop_after = {STOP}
    assert stage.train(tmp_path / "b", **options) == 75
    assert stage.train(tmp_path / "b", **options) == 0
    assert published(tmp_path / "a") == published(tmp_path / "b")
