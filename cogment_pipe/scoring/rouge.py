"""ROUGE in the two dialects that published tables use.

`rouge_score`: ROUGE-1, -2, -L as Google's package `rouge-score` without stemming (SCROLLS).
`rouge_l`: summary-level ROUGE-L over sets of words as the package `rouge` (LongBench).
"""

from __future__ import annotations

import re
from collections import Counter

_NOT_WORD = re.compile(r"[^a-z0-9]+")


def rouge_score(prediction: str, reference: str) -> dict[str, float]:
    """F-measures under the keys rouge1, rouge2 and rougeL."""
    a, b = _words(prediction), _words(reference)
    return {
        "rouge1": _ngram_f(a, b, 1),
        "rouge2": _ngram_f(a, b, 2),
        "rougeL": _f(lcs_length(a, b), len(a), len(b)),
    }


def rouge_l(prediction: str, reference: str) -> float:
    """F of the union of longest common subsequences, over distinct words; blanks split words.

    Sentences end at full stops. An empty text scores 0, as LongBench scores an exception.
    """
    a, b = _sentences(prediction), _sentences(reference)
    if not a or not b:
        return 0.0
    found: set[str] = set()
    for sentence in b:
        for other in a:
            found.update(_lcs(sentence.split(" "), other.split(" ")))
    total_a = len({word for sentence in a for word in sentence.split(" ")})
    total_b = len({word for sentence in b for word in sentence.split(" ")})
    precision, recall = len(found) / total_a, len(found) / total_b
    return 2.0 * (precision * recall / (precision + recall + 1e-8))


def lcs_length(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, O(len(a) * len(b)) time, O(len(b)) memory."""
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for j, other in enumerate(b, 1):
            above = row[j]
            row[j] = diagonal + 1 if word == other else max(above, row[j - 1])
            diagonal = above
    return row[-1]


def _words(text: str) -> list[str]:
    return _NOT_WORD.sub(" ", text.lower()).split()


def _ngram_f(a: list[str], b: list[str], n: int) -> float:
    first, second = (
        Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for words in (a, b)
    )
    return _f((first & second).total(), first.total(), second.total())


def _f(same: int, a: int, b: int) -> float:
    """2 p r / (p + r) for p = same / a, r = same / b; 0 where nothing is shared."""
    if same == 0:
        return 0.0
    precision, recall = same / a, same / b
    return 2 * precision * recall / (precision + recall)


def _sentences(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split(".") if part]


def _lcs(a: list[str], b: list[str]) -> list[str]:
    """One longest common subsequence; of several, the one that leaves words of `b` off first."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, word in enumerate(a, 1):
        above, row = table[i - 1], table[i]
        for j, other in enumerate(b, 1):
            row[j] = above[j - 1] + 1 if word == other else max(above[j], row[j - 1])
    i, j, found = len(a), len(b), []
    while i and j:
        if a[i - 1] == b[j - 1]:
            found.append(a[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found
