"""What `predict` was asked, and the model that answers: a folder, and the puzzles it knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cogment_pipe.data.puzzle_text import BUILT_IN, OWN, Alphabet
from cogment_pipe.errors import CogmentError
from cogment_pipe.model_folder import load
from cogment_pipe.solution import Solution
from cogment_pipe.solver import Solver


@dataclass(frozen=True)
class Request:
    """One call of `predict`, as the command line gives it; exactly one of `item` and `data`."""

    item: str | None
    model: Path
    data: Path | None = None
    out: Path | None = None
    document: Path | None = None
    png: Path | None = None
    steps: bool = False
    json: bool = False
    device: str = "auto"
    refinement_steps: int | None = None
    rollouts: int = 1
    views: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Model:
    """A solver, and the kind and size of the own puzzles it was trained on, if it was."""

    solver: Solver
    puzzle: str | None = None
    grid: tuple[int, int] | None = None

    def alphabet(self, kind: str) -> Alphabet | None:
        """What characters of this kind of puzzle stand for; None for numbers."""
        return (OWN if self.puzzle else BUILT_IN).get(kind)

    def solve(self, request: Request, grids: np.ndarray, kind: str, **options: Any) -> Solution:
        """Answers to one grid or a batch; a grid that the model cannot take is one line."""
        task = "grids" if self.puzzle else kind
        try:
            return self.solver.solve(
                grids,
                task=task,
                steps=request.refinement_steps,
                rollouts=request.rollouts,
                views=request.views,
                seed=request.seed,
                **options,
            )
        except ValueError as error:
            raise CogmentError(f"this model cannot take the puzzle: {error}") from None


def open_model(request: Request) -> Model:
    """The model of the folder, and the kind of own puzzles that it knows."""
    record = request.model / "fit.json"
    solver = load(request.model, device=request.device)
    if not record.is_file():
        return Model(solver)
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        return Model(solver, found["puzzle"], found["grid"] and tuple(found["grid"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise CogmentError(f"{record}: damaged, or of a run that has not ended") from None
