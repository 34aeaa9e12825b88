"""ARC beside exact match: cell accuracy with the shape predicted, against what needs no insight.

A prediction is read off its canvas as a grid of its own shape, and its cell accuracy is the share
of right cells in the box that holds both grids, so that a wrong shape costs. Copying the input,
background everywhere and the input's commonest colour everywhere are scored in the same way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cogment_pipe.scoring.bootstrap import interval

OUT, BACKGROUND = 12, 1  # of data.symbols, which scoring does not import


def shown(canvas: list) -> np.ndarray:
    """The grid on a canvas: up to the first OUT of its first row and column; may be empty."""
    cells = np.asarray(canvas)
    height = int(np.argmax(np.append(cells[:, 0] == OUT, True)))
    width = int(np.argmax(np.append(cells[0] == OUT, True)))
    return cells[:height, :width]


def cell_accuracy(predicted: np.ndarray, target: np.ndarray) -> float:
    """Right cells over the cells of the box that holds both grids."""
    height = max(predicted.shape[0], target.shape[0])
    width = max(predicted.shape[1], target.shape[1])
    common = tuple(slice(0, min(a, b)) for a, b in zip(predicted.shape, target.shape, strict=True))
    return float((predicted[common] == target[common]).sum() / (height * width))


def commonest(grid: np.ndarray) -> int:
    """The symbol that most cells have, the smallest of them on a tie."""
    return int(np.bincount(grid.ravel()).argmax())


BASELINES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "copy": lambda grid: grid,
    "background": lambda grid: np.full_like(grid, BACKGROUND),
    "majority": lambda grid: np.full_like(grid, commonest(grid)),
}


def compare(predictions: list, golds: list[dict], *, seed: int, resamples: int) -> dict:
    """Mean cell accuracy over tasks, of the model and the baselines, and the gain over the best.

    Returns {"cells": value, "cells_gain": value, "cells_gain_low": lower 95% bootstrap bound over
    tasks, "cells_<baseline>": value}; the best baseline is the one with the highest mean.
    """
    tasks = [str(gold["task"]) for gold in golds]
    targets = [shown(gold["target"]) for gold in golds]
    own = np.array([cell_accuracy(shown(p), t) for p, t in zip(predictions, targets, strict=True)])
    others = {
        name: np.array(
            [cell_accuracy(rule(shown(g["input"])), t) for g, t in zip(golds, targets, strict=True)]
        )
        for name, rule in BASELINES.items()
    }
    means = {name: _task_mean(values, tasks) for name, values in others.items()}
    best = max(sorted(means), key=means.__getitem__)
    gain = own - others[best]
    low, _ = interval(
        gain.tolist(), seed=seed, purpose="arc/cells", resamples=resamples, groups=tasks
    )
    found = {"cells": _task_mean(own, tasks), "cells_gain": _task_mean(gain, tasks)}
    found["cells_gain_low"] = low
    return found | {f"cells_{name}": value for name, value in means.items()}


def _task_mean(values: np.ndarray, tasks: list[str]) -> float:
    _, inverse = np.unique(tasks, return_inverse=True)
    return float((np.bincount(inverse, weights=values) / np.bincount(inverse)).mean())
