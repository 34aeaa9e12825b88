"""ARC: two attempts for each test input, exact grids with their shape (ARC Prize, Kaggle).

A task's score is the mean over its test inputs, the total the mean over tasks. Predictions are in
the same form as the golds' "target"; on a canvas, cells outside the output tell its shape.
"""

from __future__ import annotations

import numpy as np

ATTEMPTS = 2


def attempts(prediction: list) -> list:
    """A prediction as a list of at most two grids: one grid (rows of cells) or a list of grids."""
    if isinstance(prediction, np.ndarray):
        prediction = prediction.tolist()
    rows = [row.tolist() if isinstance(row, np.ndarray) else row for row in prediction]
    if rows and rows[0] and isinstance(rows[0][0], list | tuple):
        return rows[:ATTEMPTS]
    return [rows]


def item(prediction: list | None, gold: dict) -> float:
    """1.0 where one of the two attempts at one test input equals its output."""
    target = [list(row) for row in gold["target"]]
    if prediction is None:
        return 0.0
    return float(any([list(row) for row in grid] == target for grid in attempts(prediction)))


def score(predictions: list, golds: list[dict]) -> dict[str, float]:
    """`task` is the published score; `input` the share of test inputs solved.

    Golds name their task under "task"; without, each input is a task of its own.
    """
    tasks: dict[str, list[float]] = {}
    for number, (prediction, gold) in enumerate(zip(predictions, golds, strict=True)):
        tasks.setdefault(str(gold.get("task", number)), []).append(item(prediction, gold))
    solved = [value for values in tasks.values() for value in values]
    means = [sum(values) / len(values) for values in tasks.values()]
    first = [
        item(attempts(p)[0] if p is not None else None, g)
        for p, g in zip(predictions, golds, strict=True)
    ]
    return {
        "task": sum(means) / max(1, len(means)),
        "input": sum(solved) / max(1, len(solved)),
        "input_first_attempt": sum(first) / max(1, len(first)),
    }
