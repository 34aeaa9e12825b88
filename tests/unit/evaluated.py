"""A tiny model with random weights and a little test data of a few stages, for several tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from cogment_pipe import checkpoint
from cogment_pipe.answers import Answering
from cogment_pipe.config import load_config
from cogment_pipe.data.corpus import split_corpus
from cogment_pipe.data.dataset import TaskData, load_stage
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.data.tokenizer import load_tokenizer, train_tokenizer
from cogment_pipe.evaluation_config import EvaluationSlice
from cogment_pipe.model.model import Cogment
from cogment_pipe.slices import data_slice, evaluation_slice, tokenizer_slice
from cogment_pipe.stage_config import HomeConfig, ModelConfig

MODEL = {"d_model": 16, "ffn_hidden": 24, "head_hidden": 8, "memory_hidden": 8}
TASKS = {
    1: {"arc": {"generator": "arc", "params": {"side": 10}}},
    2: {"sudoku": {"generator": "sudoku", "params": {"side": 4, "givens_min": 5}}},
    4: {"recall": {"generator": "recall", "params": {"segments": 3, "values": 8}}},
}
TEST = 10


@dataclass
class Evaluated:
    """What an evaluation is called with."""

    root: Path
    slice: dict
    data: list[Path]
    model: Cogment

    def folder(self, stage: int) -> Path:
        return self.root / "data" / f"stage{stage}"

    def task(self, stage: int) -> TaskData:
        (task,) = load_stage(self.folder(stage), "test").values()
        return task

    def home(self, stage: int) -> HomeConfig:
        return (
            EvaluationSlice.model_validate(self.slice).homes[stage].for_task(self.task(stage).name)
        )

    def answering(self, **settings: object) -> Answering:
        parsed = EvaluationSlice.model_validate(
            {**self.slice, "evaluation": {**self.slice["evaluation"], **settings}}
        )
        coder = load_tokenizer(self.root / "data" / "tokenizer.json")
        cpu = torch.device("cpu")
        return Answering(self.model, parsed.evaluation, 0, cpu, "fp32", coder, lambda: None)


def prepare(root: Path, project: Path) -> Evaluated:
    """Data of `TASKS`, a checkpoint of random weights, and the slice of an evaluation."""
    config = load_config(project, root, {"scale": "tiny"})
    folders = []
    for k, tasks in TASKS.items():
        data = json.loads(data_slice(config, k))
        items = {"train": 12, "validation": 4, "test": TEST}
        data["stage"] |= {
            "tasks": {n: {**data["stage"]["tasks"][n], **t, **items} for n, t in tasks.items()},
            "augmentation_types": ["rotate_90", "flip_h", "permute_colours"] if k == 1 else [],
        }
        text = {}
        if k == 4:
            split_corpus(k, data, root / "corpus")
            file = root / "data" / "tokenizer.json"
            train_tokenizer(json.loads(tokenizer_slice(config)), [root / "corpus"], file)
            text = {"corpus": root / "corpus", "tokenizer": file}
        folders.append(root / "data" / f"stage{k}")
        prepare_stage(k, data, folders[-1], **text)
    sizes = config.model.model_dump(mode="json") | MODEL
    model = random_model(ModelConfig.model_validate(sizes))
    average = {f"average/{name}": p.detach() for name, p in model.named_parameters()}
    meta = {"lineage": {"slice": {"model": sizes}}}
    checkpoint.save(root / "checkpoint.pt", average, meta)
    slice = json.loads(evaluation_slice(config))
    slice["evaluation"] |= {"items": None, "ahead": None, "batch_size": 4, "examples": 2}
    for home in slice["homes"].values():
        home["memory"] |= {"read": True, "alpha": 0.5}
    return Evaluated(root, slice, folders, model)


def random_model(config: ModelConfig) -> Cogment:
    """Weights of which none is zero, and stopping logits that differ from row to row."""
    torch.manual_seed(0)
    model = Cogment(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for head in (model.core.halting, model.core.exact):
            head.weight.normal_(std=1.0)
            head.bias.fill_(-0.5)
    return model
