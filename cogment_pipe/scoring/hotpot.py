"""HotpotQA: answer, supporting facts and both jointly (hotpotqa/hotpot, hotpot_evaluate_v1.py).

A prediction is the answer, or {"answer", "supporting_facts"}; None, or a part left out, counts as
wrong for its metrics while the divisor stays the number of gold items.
"""

from __future__ import annotations

from cogment_pipe.scoring.answers import exact, normalise, overlap

NAMES = tuple(
    f"{part}{m}" for part in ("", "sp_", "joint_") for m in ("em", "f1", "prec", "recall")
)
CLOSED = {"yes", "no", "noanswer"}


def answer_scores(prediction: str, answer: str) -> tuple[float, float, float, float]:
    """EM, F1, precision, recall; a wrong yes, no or noanswer shares no tokens with anything."""
    a, b = normalise(prediction), normalise(answer)
    if a != b and (a in CLOSED or b in CLOSED):
        return 0.0, 0.0, 0.0, 0.0
    return exact(prediction, answer), *overlap(a.split(), b.split())


def support_scores(prediction: list, answer: list) -> tuple[float, float, float, float]:
    """EM, F1, precision, recall over the set of (title, sentence number)."""
    found, gold = ({(title, int(i)) for title, i in facts} for facts in (prediction, answer))
    right = len(found & gold)
    precision = right / len(found) if found else 0.0
    recall = right / len(gold) if gold else 0.0
    return float(found == gold), _f1(precision, recall), precision, recall


def item(prediction: str | dict | None, gold: dict) -> dict[str, float]:
    """All twelve figures of one item."""
    if not isinstance(prediction, dict):
        prediction = {} if prediction is None else {"answer": prediction}
    scores = dict.fromkeys(NAMES, 0.0)
    answer = support = None
    if "answer" in prediction:
        answer = answer_scores(prediction["answer"], gold["answers"][0])
        scores.update(zip(NAMES[0:4], answer, strict=True))
    if "supporting_facts" in prediction:
        support = support_scores(prediction["supporting_facts"], gold["supporting_facts"])
        scores.update(zip(NAMES[4:8], support, strict=True))
    if answer and support:
        precision, recall = answer[2] * support[2], answer[3] * support[3]
        joint = (answer[0] * support[0], _f1(precision, recall), precision, recall)
        scores.update(zip(NAMES[8:], joint, strict=True))
    return scores


def score(predictions: list, golds: list[dict]) -> dict[str, float]:
    """Means over all gold items; support and joint only where any prediction names facts."""
    items = [item(p, g) for p, g in zip(predictions, golds, strict=True)]
    with_facts = any(isinstance(p, dict) and "supporting_facts" in p for p in predictions)
    names = NAMES if with_facts else NAMES[:4]
    return {name: sum(one[name] for one in items) / max(1, len(items)) for name in names}


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
