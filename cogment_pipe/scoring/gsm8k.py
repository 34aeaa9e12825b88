"""GSM8K: the final number, by the reference's regular expression (openai/grade-school-math).

`exact` is the published metric: strings are compared, so "18.00" is not "18". `numeric` compares
values and is reported beside it under that name.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

# ASCII digits only, as in the reference.
ANSWER = re.compile(r"#### (\-?[0-9\.\,]+)")


def final_answer(text: str) -> str | None:
    """What follows the first `#### `, commas removed; None where there is no such line."""
    found = ANSWER.search(text)
    return found.group(1).strip().replace(",", "") if found else None


def exact(prediction: str, answer: str) -> float:
    """1.0 where both final answers are the same string. ValueError: the gold has none."""
    gold = final_answer(answer)
    if gold is None:
        raise ValueError(f"gold answer without '#### number': {answer[-60:]!r}")
    return float(final_answer(prediction) == gold)


def numeric(prediction: str, answer: str) -> float:
    """1.0 where both final answers are the same number; not the published metric."""
    return float(exact(prediction, answer) or _value(prediction) == _value(answer) is not None)


def _value(text: str) -> Decimal | None:
    found = final_answer(text)
    try:
        return None if found is None else Decimal(found.rstrip("."))
    except InvalidOperation:
        return None
