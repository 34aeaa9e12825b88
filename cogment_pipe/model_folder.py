"""From a stage's folder to a `Solver`: averaged weights, and the settings of every stage so far.

Reads model.safetensors and config.json, and config.json of the earlier stages beside them; the
weights are checked against the stage's manifest where it is there. fit.json of a user's own model
says which symmetries its puzzles have.
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from cogment_pipe import checkpoint
from cogment_pipe.atomic import sha256_file
from cogment_pipe.errors import CogmentError
from cogment_pipe.model.model import Cogment
from cogment_pipe.provenance import MANIFEST
from cogment_pipe.solver import Solver
from cogment_pipe.stage_config import StageSlice
from cogment_pipe.stage_run import pick_device, verify_parent
from cogment_pipe.stage_trainer import load_weights
from cogment_pipe.views import read_symmetries

WEIGHTS, CONFIG, FIT_RECORD = "model.safetensors", "config.json", "fit.json"


def load(
    path: Path | str,
    *,
    device: torch.device | str = "auto",
    tokenizer: Path | str | None = None,
) -> Solver:
    """The model of a stage's folder, with its averaged weights.

    Args:
        path: a stage's folder, such as `results/stage4`, with model.safetensors and config.json.
        device: `auto`, `cpu`, `cuda`.
        tokenizer: in place of the folder's own or `results/data/tokenizer.json` beside it.

    Raises:
        CogmentError: one line: what is missing, damaged, or of another model.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CogmentError(f"{folder}: no such folder; name a trained stage, as results/stage4")
    own = _read_slice(folder)
    weights, stage = _read_weights(folder / WEIGHTS)
    model = Cogment(own.model)
    try:
        load_weights(model, weights)
    except ValueError as error:
        raise CogmentError(f"{folder / WEIGHTS}: {error}") from error
    stages = {}
    for number in range(stage):
        beside = folder.parent / f"stage{number}"
        if (beside / CONFIG).is_file():
            stages[number] = _read_slice(beside).stage
    stages[stage] = own.stage
    if tokenizer is None:
        places = (folder / "tokenizer.json", folder.parent / "data" / "tokenizer.json")
        tokenizer = next((path for path in places if path.is_file()), None)
    return Solver(
        model.to(pick_device(str(device))),
        stage,
        stages,
        homes=own.homes,
        tokenizer=None if tokenizer is None else Path(tokenizer),
        symmetries=read_symmetries(folder / FIT_RECORD),
    )


def _read_slice(folder: Path) -> StageSlice:
    path = folder / CONFIG
    try:
        return StageSlice.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise CogmentError(f"{path} is missing; train the stage first") from error
    except (OSError, ValueError) as error:
        raise CogmentError(f"{path}: no configuration of a stage; train it again") from error


def _read_weights(path: Path) -> tuple[dict[str, torch.Tensor], int]:
    """Tensors of model.safetensors and the number of its stage, checked against the manifest."""
    if not path.is_file():
        raise CogmentError(f"{path} is missing; train the stage first")
    if (path.parent / MANIFEST).is_file():
        verify_parent(path, sha256_file(path))
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = json.loads(file.metadata()["cogment"])
        found, stage = header.get("format", 1), int(header["stage"])
        weights = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CogmentError(f"{path} is damaged or no model of this package") from error
    if found != checkpoint.FORMAT:
        raise CogmentError(
            f"{path} has format {found}, this version reads {checkpoint.FORMAT}; use the version "
            "of cogment_pipe that wrote it, or train the stage again"
        )
    return weights, stage
