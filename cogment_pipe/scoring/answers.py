"""Normalised answers, exact match and token F1, as SQuAD defined them.

HotpotQA, LongBench and SCROLLS all use this normalisation; what differs between them is in their
own modules.
"""

from __future__ import annotations

import re
import string
from collections import Counter

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case without ASCII punctuation, articles and superfluous blanks, in this order."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(prediction: str, answer: str) -> float:
    """1.0 where both are equal once normalised."""
    return float(normalise(prediction) == normalise(answer))


def overlap(prediction: list[str], answer: list[str]) -> tuple[float, float, float]:
    """F1, precision and recall of two bags of tokens; all 0 where nothing is shared."""
    same = sum((Counter(prediction) & Counter(answer)).values())
    if same == 0:
        return 0.0, 0.0, 0.0
    precision, recall = same / len(prediction), same / len(answer)
    return 2 * precision * recall / (precision + recall), precision, recall


def token_f1(prediction: str, answer: str) -> float:
    """Token F1 of normalised texts, without HotpotQA's rule for yes and no."""
    return overlap(normalise(prediction).split(), normalise(answer).split())[0]
