"""ListOps: ten-way accuracy, and accuracy per class, since a class may be favoured.

A prediction is the digit 0..9, or the predicted grid, of which the one cell asked for counts.
"""

from __future__ import annotations

import numpy as np

from cogment_pipe.scoring.grid import asked

DIGIT0 = 1  # of data.symbols, which scoring does not import


def digit(gold: dict) -> int:
    """The right digit of an item."""
    target = np.asarray(gold["target"])
    return int(target[target >= 0][0]) - DIGIT0


def item(prediction: int | list, gold: dict) -> float:
    """1.0 where the answer is right."""
    if isinstance(prediction, int | np.integer):
        return float(int(prediction) == digit(gold))
    cells = asked(prediction, gold)
    return float(cells is not None and bool((cells[0] == cells[1]).all()))


def score(predictions: list, golds: list[dict]) -> dict[str, float]:
    """Accuracy over all items and its mean over the classes that occur."""
    classes: dict[int, list[float]] = {}
    for prediction, gold in zip(predictions, golds, strict=True):
        classes.setdefault(digit(gold), []).append(item(prediction, gold))
    values = [value for one in classes.values() for value in one]
    means = [sum(one) / len(one) for one in classes.values()]
    return {
        "accuracy": sum(values) / max(1, len(values)),
        "class_mean": sum(means) / max(1, len(means)),
    }
