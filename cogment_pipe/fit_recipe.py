"""The recipe of `fit`: how one's own puzzles or questions are trained where nothing is said.

From the data and a few words to the `StageSlice` that the trainer takes. Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cogment_pipe.config_errors import one_line
from cogment_pipe.config_layers import assignments, merge, nested
from cogment_pipe.data.own_puzzles import TASK, Puzzles
from cogment_pipe.errors import CogmentError
from cogment_pipe.stage_config import ModelConfig, MultiOptimizerConfig, StageConfig, StageSlice

GRID_STAGE, TEXT_STAGE = 0, 3  # whose adapters are trained
TOKEN_CELLS = 100  # largest grid that is mixed by a token MLP
LOOKS = 8  # validations in a run
# What `--augment` calls them -> the stage's names.
AUGMENTATIONS = {"dihedral": "dihedral", "bands": "permute_bands", "relabel": "relabel_digits"}

MODEL = {
    "d_model": 128,
    "n_heads": 4,
    "ffn_hidden": 384,
    "head_hidden": 128,
    "max_pairs": 1,
    "adapter_rank": 1,
}
# A short refinement step, so that a second of training holds many (docs/decisions.md).
SHORT = {"n_blocks": 1, "z_updates": 1}
GRID_MODEL = {
    "token_mlp": SHORT,
    "attention": SHORT,
    "convolution": SHORT | {"d_model": 96, "n_heads": 3, "ffn_hidden": 192},
}
TEXT_MODEL = {"n_blocks": 2, "z_updates": 2}
# Every component at the stage's learning rate.
OPTIMIZER = {"core_lr": 3e-4, "memory_lr": 3e-4, "halting_lr": 3e-4, "other_lr": 3e-4}
# A convolution's gradients are small but for a few, which would throw it off (docs/decisions.md).
GRID_OPTIMIZER = {"convolution": {"clip_norm": 0.1}}
STAGE = {
    "update": "per_step",
    "ema": 0.99,
    "loss": {"ponder": 0.1},
    "source": "corpora",
    "tasks": {},
}
# By mixer. The depth grows late, since fresh items teach more than further steps; but a convolution
# must train its last steps for longer, or answers that were right drift off in them.
GRID_PACE = {
    "token_mlp": {"max_refinement_steps": 8, "batch_size": 32, "learning_rate": 3e-3},
    "attention": {"max_refinement_steps": 12, "batch_size": 8, "learning_rate": 2e-3},
    "convolution": {"batch_size": 16, "learning_rate": 5e-3, "ema": 0.997, "depth_ramp": 0.7},
}
GRID_RAMP, TEXT_RAMP = 1.0, 0.5
LOCAL_STEPS = 4 / 3  # refinement steps per cell of the longer side: content moves two cells a step
TEXT_PACE = {"max_refinement_steps": 2, "batch_size": 16, "learning_rate": 1e-3}


@dataclass(frozen=True)
class Wish:
    """What the command line says of the training; `mixer` and `augment` are for grids."""

    seed: int
    threads: int
    mixer: str = "auto"
    augment: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def choose_mixer(puzzles: Puzzles, asked: str) -> tuple[str, str]:
    """(mixer, why). Convolution for mazes, token mixing for Latin answers, else attention.

    A Latin answer ties every cell to its whole row and column, wherever they lie, which fixed
    weights between places learn quickly; a picture may follow any rule. In a maze a cell need only
    know its neighbours, again and again.
    """
    height, width = puzzles.shape
    if asked != "auto":
        return asked, "asked for"
    if puzzles.kind == "maze":
        return "convolution", "the path through a maze follows from each cell's neighbours"
    if puzzles.latin and height * width <= TOKEN_CELLS:
        return "token_mlp", "every answer is a Latin square, of at most 100 cells"
    why = "more than 100 cells" if puzzles.latin else "the answers are no Latin squares"
    return "attention", f"{why}: attention and 3x3 convolution"


def grid_slice(puzzles: Puzzles, wish: Wish, steps: int) -> StageSlice:
    """The slice for grids; CogmentError for a `--set` that does not fit."""
    height, width = puzzles.shape
    mixer, _ = choose_mixer(puzzles, wish.mixer)
    tokens = mixer == "token_mlp"
    model = GRID_MODEL[mixer] | {
        "grid_symbols": puzzles.symbols,
        "max_side": max(height, width),
        "vocab_size": 1,
        "memory_hidden": 1,
        "mixer": mixer,
        "mixer_cells": height * width if tokens else 0,
        "conv": not tokens,
    }
    reach = {"max_refinement_steps": round(LOCAL_STEPS * max(height, width))}
    stage = {
        "depth_ramp": GRID_RAMP,
        **(reach | GRID_PACE[mixer]),
        "name": "FIT",
        "sequence_length": height * width,
        "memory": {"read": False},  # a grid is one segment: there is nothing to remember
        "augmentation_rate": 1.0 if wish.augment else 0.0,
        "augmentation_types": [AUGMENTATIONS[name] for name in wish.augment],
        "corpora": {TASK: {"corpus": "own"}},
    }
    return _slice(model, stage, wish, steps, GRID_OPTIMIZER.get(mixer, {}))


def text_slice(wish: Wish, steps: int) -> StageSlice:
    """The slice for questions; longer ones and a larger vocabulary by `--set`."""
    sizes = {"vocab_size": 1024, "grid_symbols": 1, "max_side": 1, "memory_hidden": 128}
    model = TEXT_MODEL | sizes
    stage = TEXT_PACE | {
        "name": "FIT",
        "sequence_length": 256,
        "depth_ramp": TEXT_RAMP,
        "corpora": {"questions": {"corpus": "own"}},
    }
    return _slice(model, stage, wish, steps, {})


def _slice(model: dict, stage: dict, wish: Wish, steps: int, optimizer: dict) -> StageSlice:
    schedule = {
        "max_steps": steps,
        "warmup_steps": min(50, steps // 10),
        "patience": steps,  # the budget is what was asked for: no early end
        "eval_every": max(1, -(-steps // LOOKS)),
    }
    content: dict[str, Any] = {
        "seed": wish.seed,
        "scale": "fit",
        "model": MODEL | model,
        "optimizer": OPTIMIZER | optimizer,
        "grokfast": {"enabled": False},
        "stage": STAGE | stage | schedule,
        "threads": wish.threads,
    }
    for path, value in assignments(list(wish.changes)):
        content = merge(content, nested(_whole_path(path), value))
    if content["stage"]["max_steps"] != steps:
        raise CogmentError("--set stage.max_steps: give --steps in its place")
    try:
        return StageSlice.model_validate(content)
    except ValidationError as error:
        raise CogmentError(one_line(error, StageSlice, "--set: ")) from None


def _whole_path(path: list[str | int]) -> list[str | int]:
    """`batch_size` -> `stage.batch_size`: the first model that has the key."""
    for name, fields in _SECTIONS.items():
        if path[0] in fields and path[0] not in StageSlice.model_fields:
            return [name, *path]
    return path


_SECTIONS = {
    "stage": StageConfig.model_fields,
    "model": ModelConfig.model_fields,
    "optimizer": MultiOptimizerConfig.model_fields,
}


def holds_questions(path: Path) -> bool:
    """Whether `--data` is JSON lines of questions rather than grids."""
    if path.is_dir():
        return any(path.glob("*.jsonl"))
    return path.suffix == ".jsonl"
