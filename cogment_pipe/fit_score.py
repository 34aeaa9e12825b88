"""What a model made by `fit` reaches on its test items, all of them, in the file's order."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from cogment_pipe import scoring
from cogment_pipe.answers import Answering
from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.generators import GridSplit
from cogment_pipe.data.symbols import STORED_IGNORE
from cogment_pipe.data.tokenizer import load_tokenizer
from cogment_pipe.evaluation_config import EvaluationConfig
from cogment_pipe.model_folder import load
from cogment_pipe.solver import Solver
from cogment_pipe.stage_config import HomeConfig

BATCH = 250


def grids(folder: Path, test: GridSplit, device: str, views: int = 1) -> dict[str, Any]:
    """exact: share of grids wholly right where scored; cells: share of right blank cells.

    by_step: exact after each refinement step. With more than one view the same of their vote, under
    `voted`; `seconds` is what each took.
    """
    solver = load(folder, device=device)
    alone = figures(solver, test, 1)
    return alone if views == 1 else alone | {"voted": figures(solver, test, views)}


def figures(solver: Solver, test: GridSplit, views: int) -> dict[str, Any]:
    begun = time.perf_counter()
    found = solve_all(solver, test.inputs, views=views)
    seconds = time.perf_counter() - begun
    targets = test.targets
    scored = targets != STORED_IGNORE
    right = (found == targets) | ~scored  # (T, N, H, W)
    asked = scored & (test.inputs != targets)
    exact = right.all(axis=(2, 3)).mean(axis=1)
    return {
        "items": len(targets),
        "exact": _digits(exact[-1]),
        "cells": _digits(right[-1][asked].mean()) if asked.any() else 1.0,
        "by_step": [_digits(value) for value in exact],
        "refinement_steps": len(found),
        "views": views,
        "seconds": round(seconds, 3),
    }


def solve_all(solver: Solver, inputs: np.ndarray, **options: Any) -> np.ndarray:
    """(N, H, W) -> answers after each refinement step (T, N, H, W), in batches."""
    parts = [
        solver.solve(inputs[start : start + BATCH], **options).by_step
        for start in range(0, len(inputs), BATCH)
    ]
    return np.concatenate(parts, axis=1)


def questions(folder: Path, work: Path, device: str) -> dict[str, Any]:
    """Figures of generated answers, as the pipeline scores them."""
    solver = load(folder, device=device)
    stage = solver.stages[solver.stage]
    (task,) = load_stage(work / f"stage{solver.stage}", "test").values()
    golds = [task.gold(i) for i in range(len(task))]
    asking = Answering(
        solver.model,
        EvaluationConfig(),
        seed=0,
        device=solver.device,
        precision="fp32",
        tokenizer=load_tokenizer(folder / "tokenizer.json"),
        stop=lambda: None,
    )
    answers = asking.answer(task, HomeConfig.of(stage), solver.stage, len(task))
    figures = scoring.score(task.metric, answers.values, golds)
    told = {name: _digits(value) for name, value in figures.items()}
    return told | {"items": len(task), "refinement_steps": stage.max_refinement_steps}


def _digits(value: float) -> float:
    return float(f"{float(value):.6g}")
