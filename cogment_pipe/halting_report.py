"""How well halting works: does the correctness logit know, do hard items take more steps?"""

from __future__ import annotations

import numpy as np

BINS = 10


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties at the mean rank of their group."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[inverse]


def auroc(scores: np.ndarray, right: np.ndarray) -> float | None:
    """Area under the ROC curve by ranks, ties at half; None where only one class is there."""
    positive = int(right.sum())
    negative = len(right) - positive
    if not positive or not negative:
        return None
    total = _ranks(scores)[right].sum() - positive * (positive + 1) / 2
    return float(f"{total / (positive * negative):.6g}")


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's, ties at their mean rank; None where one of them does not vary."""
    x, y = _ranks(np.asarray(a)), _ranks(np.asarray(b))
    if not x.std() or not y.std():
        return None
    return float(f"{np.corrcoef(x, y)[0, 1]:.6g}")


def halting_quality(confidence: np.ndarray, items: np.ndarray) -> dict:
    """AUROC of the correctness probability and its reliability curve [[mean, accuracy, n], ...]."""
    right = items >= 1.0
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    curve = [
        [
            float(f"{confidence[place == b].mean():.4g}"),
            float(f"{right[place == b].mean():.4g}"),
            int((place == b).sum()),
        ]
        for b in range(BINS)
        if (place == b).any()
    ]
    return {"auroc": auroc(confidence, right), "reliability": curve}


def by_difficulty(
    difficulty: np.ndarray | None, items: list[float], steps: np.ndarray, groups: int = 8
) -> list[dict]:
    """Accuracy and mean halting step per difficulty; at most `groups` groups of similar size."""
    if difficulty is None or not len(difficulty):
        return []
    values = np.unique(difficulty)
    if len(values) > groups:
        edges = np.unique(np.quantile(difficulty, np.linspace(0, 1, groups + 1)[1:-1]))
        place = np.searchsorted(edges, difficulty, side="right")
    else:
        place = np.searchsorted(values, difficulty)
    right = np.asarray(items)
    return [
        {
            "difficulty": float(f"{difficulty[place == g].mean():.4g}"),
            "n": int((place == g).sum()),
            "accuracy": float(f"{right[place == g].mean():.4g}"),
            "mean_steps": float(f"{steps[place == g].mean():.4g}"),
        }
        for g in np.unique(place)
    ]
