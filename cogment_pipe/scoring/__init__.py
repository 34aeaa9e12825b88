"""Official metrics of every task, torch-free: `score` for a test set, `per_item` for one item.

Values are 0..1; the published scales (x 100) are in the modules of the corpora. A metric's name is
what `TaskData.metric` holds; "longbench:TASK" and "scrolls:TASK" fix the data set that items of
plain "longbench" and "scrolls" name themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from cogment_pipe.errors import CogmentError
from cogment_pipe.scoring import answers, arc, grid, gsm8k, hotpot, listops, longbench, scrolls

PRIMARY = {
    "grid_exact": "exact",
    "maze": "shortest_path",
    "arc": "task",
    "listops": "accuracy",
    "number": "exact",
    "hotpot": "em",
    "recall": "exact",
    "qa": "exact",
    "longbench": "longbench",
    "scrolls": "scrolls",
}


def primary(metric: str) -> str:
    """Name of the figure that counts for `metric`."""
    return PRIMARY[_family(metric)]


def score(metric: str, predictions: list, golds: list[dict]) -> dict[str, float]:
    """All figures of a test set; `primary(metric)` is among them.

    `predictions` are grids, digits or texts in the order of `golds` (see `TaskData.gold`); None
    counts as no answer. Raises CogmentError for an unknown metric, ValueError for other lengths.
    """
    family = _family(metric)
    if len(predictions) != len(golds):
        raise ValueError(f"{len(predictions)} predictions for {len(golds)} items")
    if family in ("arc", "listops"):
        return {"arc": arc.score, "listops": listops.score}[family](predictions, golds)
    if family == "hotpot":
        return hotpot.score(predictions, golds)
    if family in ("longbench", "scrolls"):
        return _by_dataset(metric, predictions, golds)
    figures = {
        name: [one(p, g) if p is not None else 0.0 for p, g in zip(predictions, golds, strict=True)]
        for name, one in SINGLE[family].items()
    }
    return {name: sum(values) / max(1, len(values)) for name, values in figures.items()}


def per_item(metric: str, prediction: object, gold: dict) -> float:
    """The primary figure of one item, 0..1."""
    family = _family(metric)
    if prediction is None:
        return 0.0
    if family == "arc":
        return arc.item(prediction, gold)
    if family == "listops":
        return listops.item(prediction, gold)
    if family == "hotpot":
        return hotpot.item(prediction, gold)["em"]
    if family == "longbench":
        dataset = _dataset(metric, gold)
        return longbench.item(dataset, prediction, gold["answers"], gold.get("all_classes"))
    if family == "scrolls":
        return scrolls.item(_dataset(metric, gold), prediction, gold["answers"])
    return SINGLE[family][PRIMARY[family]](prediction, gold)


def _best(single: Callable[[str, str], float]) -> Callable[[str, dict], float]:
    return lambda prediction, gold: max(single(prediction, a) for a in gold["answers"])


SINGLE: dict[str, dict[str, Callable[..., float]]] = {
    "grid_exact": {"exact": grid.exact, "cell_accuracy": grid.cell_accuracy},
    "maze": {
        "shortest_path": grid.shortest_path,
        "exact": grid.exact,
        "cell_accuracy": grid.cell_accuracy,
    },
    "number": {"exact": _best(gsm8k.exact), "numeric": _best(gsm8k.numeric)},
    "recall": {"exact": _best(longbench.verbatim), "f1": _best(answers.token_f1)},
    "qa": {"exact": _best(answers.exact), "f1": _best(answers.token_f1)},
}


def _family(metric: str) -> str:
    family = metric.partition(":")[0]
    if family not in PRIMARY:
        raise CogmentError(f"unknown metric {metric!r}; known: {', '.join(PRIMARY)}")
    return family


def _dataset(metric: str, gold: dict) -> str:
    return metric.partition(":")[2] or gold["dataset"]


def _by_dataset(metric: str, predictions: list, golds: list[dict]) -> dict[str, float]:
    """Mean over data sets of each one's figure, which is under the data set's own name."""
    family = _family(metric)
    groups: dict[str, list[int]] = {}
    for number, gold in enumerate(golds):
        groups.setdefault(_dataset(metric, gold), []).append(number)
    figures = {}
    for dataset, numbers in sorted(groups.items()):
        if family == "longbench":
            items = [per_item(metric, predictions[i], golds[i]) for i in numbers]
            figures[dataset] = sum(items) / len(items)
            continue
        found = {golds[i]["id"]: predictions[i] for i in numbers if predictions[i] is not None}
        wanted = {golds[i]["id"]: golds[i]["answers"] for i in numbers}
        figures[dataset] = scrolls.evaluate(dataset, found, wanted)["score"] / 100
    return {family: sum(figures.values()) / max(1, len(figures)), **figures}
