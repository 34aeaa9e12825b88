"""SCROLLS: ROUGE, F1 or exact match per data set, by id (tau/scrolls, tau-nlp/scrolls).

Predictions and references must have the same ids; a missing or surplus id is an error, not a zero.
"""

from __future__ import annotations

from cogment_pipe.errors import CogmentError
from cogment_pipe.scoring.answers import exact, token_f1
from cogment_pipe.scoring.rouge import rouge_score

METRICS = {
    "gov_report": "rouge",
    "summ_screen_fd": "rouge",
    "qmsum": "rouge",
    "squality": "rouge",  # a ZeroSCROLLS data set, scored as there
    "qasper": "f1",
    "narrative_qa": "f1",
    "contract_nli": "exact_match",
    "quality": "exact_match",
}
PARTS = ("rouge1", "rouge2", "rougeL")


def evaluate(
    dataset: str, predictions: dict[str, str], references: dict[str, list[str]]
) -> dict[str, float]:
    """Figures of one data set, x 100; `score` is the one that counts.

    Raises CogmentError where ids are missing or surplus.
    """
    missing, surplus = (
        references.keys() - predictions.keys(),
        predictions.keys() - references.keys(),
    )
    if missing or surplus:
        named = ", ".join(sorted(map(str, missing or surplus))[:3])
        raise CogmentError(
            f"SCROLLS {dataset}: {len(missing)} ids without prediction, {len(surplus)} predictions "
            f"without reference ({named}); every id needs exactly one"
        )
    return all_metrics(
        [predictions[i] for i in references], list(references.values()), METRICS[dataset]
    )


def all_metrics(
    predictions: list[str], references: list[list[str]], metric: str | None = None
) -> dict[str, float]:
    """Means x 100 over items, the best reference each; all of them, or those of one `metric`."""
    pairs = list(zip(predictions, references, strict=True))
    figures: dict[str, float] = {}
    if metric in (None, "rouge"):
        best = [rouge_best(p, refs) for p, refs in pairs]
        for part in PARTS:
            figures[f"rouge/{part}"] = 100 * sum(b[part] for b in best) / len(pairs)
        figures["rouge/geometric_mean"] = geometric([figures[f"rouge/{p}"] for p in PARTS])
    if metric in (None, "f1"):
        figures["f1"] = (
            100 * sum(max(token_f1(p, r) for r in refs) for p, refs in pairs) / len(pairs)
        )
    if metric in (None, "exact_match"):
        figures["exact_match"] = (
            100 * sum(max(exact(p, r) for r in refs) for p, refs in pairs) / len(pairs)
        )
    if metric is not None:
        figures["score"] = figures["rouge/geometric_mean" if metric == "rouge" else metric]
    return figures


def item(dataset: str, prediction: str, references: list[str]) -> float:
    """Score 0..1 of one prediction (of ROUGE: the geometric mean of its three parts)."""
    if dataset not in METRICS:
        raise CogmentError(f"SCROLLS has no data set {dataset!r}; known: {', '.join(METRICS)}")
    metric = METRICS[dataset]
    if metric == "rouge":
        best = rouge_best(prediction, references)
        return geometric([best[part] for part in PARTS])
    single = token_f1 if metric == "f1" else exact
    return max(single(prediction, reference) for reference in references)


def rouge_best(prediction: str, references: list[str]) -> dict[str, float]:
    """Each ROUGE's best value over the references."""
    scores = [rouge_score(prediction, reference) for reference in references]
    return {part: max(one[part] for one in scores) for part in PARTS}


def geometric(values: list[float]) -> float:
    """Geometric mean; 0 where any value is 0."""
    product = 1.0
    for value in values:
        product *= value
    return product ** (1 / len(values))
