"""Templated word problems of one or two operations, in GSM8K's layout.

Problems are composed of an opening, up to two events and a question, so that several hundred
templates come from a few dozen sentences. Splits are by (template, numbers): no test problem occurs
in training under other names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from cogment_pipe.data.generators import lexicon
from cogment_pipe.data.generators.text_item import TextGenerator, TextItem, choose, one, split_of
from cogment_pipe.errors import CogmentError
from cogment_pipe.rng import stream
from cogment_pipe.task_config import Strict

# {n} owner, {m} other person, {p} pronoun of the owner, {i} things, {x} the number
OPENINGS = (
    "{n} has {x} {i}.",
    "{n} got {x} {i}.",
    "{n} owns {x} {i}.",
    "{n} counts {x} {i}.",
)
PACKED = (
    "{n} has {x} boxes of {y} {i}.",
    "{n} got {x} packs of {y} {i}.",
    "{n} fills {x} bags with {y} {i} each.",
)
EVENTS = {
    "+": (
        "{p} buys {x} more.",
        "{p} finds {x} more.",
        "{p} wins {x} more.",
        "{p} makes {x} more.",
        "{m} gives {n} {x} more.",
        "Then {p} gets {x} more.",
    ),
    "-": (
        "{p} loses {x}.",
        "{p} sells {x}.",
        "{p} gives {x} to {m}.",
        "{m} takes {x}.",
        "{p} breaks {x}.",
        "Then {p} uses {x}.",
    ),
    "/": (
        "{p} puts all of them into {x} equal boxes.",
        "{p} shares all of them among {x} friends.",
    ),
}
QUESTIONS = {
    "+": ("How many {i} does {n} have now?", "How many {i} is that in all?"),
    "-": ("How many {i} does {n} have now?", "How many {i} are left?"),
    "*": ("How many {i} does {n} have?", "How many {i} is that in all?"),
    "/": ("How many {i} are in each?", "How many {i} is that for each?"),
}
# whole problems about two people: operations, text
COMPARED = (
    ("+", "{n} has {x} {i}. {m} has {y} more. How many {i} does {m} have?"),
    ("-", "{n} has {x} {i}. {m} has {y} fewer. How many {i} does {m} have?"),
    ("*", "{n} has {x} {i}. {m} has {y} times as many. How many {i} does {m} have?"),
    ("+s", "{n} has {x} {i}. {m} has {y} more. How many {i} do they have together?"),
    ("-s", "{n} has {x} {i}. {m} has {y} fewer. How many {i} do they have together?"),
)


MAX_MISSES = 20_000  # draws in a row that belong to another split


class Params(Strict):
    """Parameters of `word_problem`."""

    operations: list[int] = Field([1, 2], description="numbers of operations, each 1 or 2")
    max_operand: int = Field(20, ge=5, le=99, description="largest number in a question")
    max_value: int = Field(99, ge=10, le=99, description="largest result of any operation")
    operators: str = Field("+-*/", pattern=r"^[-+*/]+$", description="operators in use")
    rationale: bool | Literal["words", "marks"] = Field(
        "marks", description="words: sentences; marks (or true): calculator marks; false: none"
    )

    @field_validator("operations")
    @classmethod
    def _one_or_two(cls, value: list[int]) -> list[int]:
        if not value or set(value) - {1, 2}:
            raise ValueError("operations must be 1, 2 or both")
        return value


@dataclass(frozen=True)
class Problem:
    """One problem before it is worded; steps are (left, operator, right), left -1 = last result."""

    template: tuple[str, ...]
    numbers: tuple[int, ...]
    steps: tuple[tuple[int, str, int], ...]
    owner: str = ""
    other: str = ""
    things: str = ""

    @property
    def group(self) -> str:
        return f"{'|'.join(self.template)}/{self.numbers}"

    def results(self) -> list[tuple[int, str, int, int]]:
        """(left, operator, right, result) of every step; result -1 where a division has a rest."""
        done, last = [], 0
        for left, sign, right in self.steps:
            a = last if left < 0 else left
            last = _apply(a, sign, right)
            done.append((a, sign, right, last))
        return done

    def question(self) -> str:
        numbers = iter(self.numbers)
        pronoun = "He" if self.owner in lexicon.HE else "She"
        words = {"n": self.owner, "m": self.other, "i": self.things}
        parts = []
        for part in self.template:
            shown = "p" if part.startswith("{p}") else "q"
            fill = {"p": pronoun if shown == "p" else pronoun.lower(), **words}
            for slot in "xy":
                if "{" + slot + "}" in part:
                    fill[slot] = str(next(numbers))
            parts.append(part.format(**fill))
        return " ".join(parts)

    def answer(self, rationale: bool | str) -> str:
        """Rationale with calculator marks, then GSM8K's final line."""
        results = self.results()
        lines = [
            f"{a}{sign}{b}=<<{a}{sign}{b}={r}>>{r} {self.things}." for a, sign, b, r in results
        ]
        marks = "".join(f"<<{a}{sign}{b}={r}>>" for a, sign, b, r in results)
        final = f"#### {results[-1][3]}"
        if rationale == "words":
            return "\n".join([*lines, final])
        return f"{marks}\n{final}" if rationale else final


def items(params: Params, split: str, *, seed: int, stage: int, purpose: str) -> Iterator[TextItem]:
    """Endless stream of problems of one split; draw i is keyed by (seed, stage, i, purpose)."""
    step = misses = 0
    while True:
        rng = stream(seed, stage, step, 0, f"{purpose}/{split}")
        step += 1
        problem = _draw(rng, params)
        if problem is None or split_of(problem.group) != split:
            misses += 1
            if misses > MAX_MISSES:
                raise CogmentError(f"word_problem: these params allow no {split} item; widen them")
            continue
        misses = 0
        variants = {}
        if split == "train":
            variants["rename_entities"] = _name(rng, problem)
            varied = _vary(rng, problem, params)
            if varied is not None:
                variants["vary_numbers"] = varied
        yield TextItem(
            _record(problem, params),
            _key(problem),
            {name: (_record(other, params), _key(other)) for name, other in variants.items()},
        )


def _record(problem: Problem, params: Params) -> dict:
    return {"question": problem.question(), "answer": problem.answer(params.rationale)}


def _key(problem: Problem) -> str:
    return problem.question().lower()


def _apply(a: int, sign: str, b: int) -> int:
    if sign == "/":
        return a // b if b and a % b == 0 else -1
    return a + b if sign == "+" else a - b if sign == "-" else a * b


def _fits(problem: Problem, params: Params) -> bool:
    return all(0 <= r <= params.max_value for *_, r in problem.results()) and all(
        0 <= a <= params.max_value for a, *_ in problem.results()
    )


def _name(rng: np.random.Generator, problem: Problem) -> Problem:
    owner, other = choose(rng, lexicon.NAMES, 2)
    return replace(problem, owner=owner, other=other, things=one(rng, lexicon.ITEMS))


def _draw(rng: np.random.Generator, params: Params) -> Problem | None:
    """One problem, or None where the drawn numbers do not work out."""
    operations = int(one(rng, params.operations))
    template, signs = _template(rng, params, operations)
    if template is None:
        return None
    problem = _number(rng, template, signs, params)
    return _name(rng, problem) if problem is not None and _fits(problem, params) else None


def _template(
    rng: np.random.Generator, params: Params, operations: int
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    signs = [str(one(rng, params.operators)) for _ in range(operations)]
    if rng.random() < 0.2:
        kind, text = one(rng, COMPARED)
        if len(kind) == operations and kind[0] in params.operators:
            return (text,), (kind,)
    if "*" in signs[1:]:
        return None, ()
    if signs[0] == "*":
        head, rest = (one(rng, PACKED),), signs[1:]
    else:
        head, rest = (one(rng, OPENINGS),), signs
    if "/" in rest[:-1]:  # after a division "they" would no longer be the owner's
        return None, ()
    events = tuple(one(rng, EVENTS[sign]) for sign in rest)
    return (*head, *events, one(rng, QUESTIONS[signs[-1]])), tuple(signs)


def _number(
    rng: np.random.Generator, template: tuple[str, ...], signs: tuple[str, ...], params: Params
) -> Problem | None:
    """Numbers for a template: factors and divisors are 2..9, other numbers up to max_operand."""
    first = int(rng.integers(2, params.max_operand + 1))
    numbers: list[int] = []
    steps: list[tuple[int, str, int]] = []
    last = 0
    for place, sign in enumerate(signs):
        small = sign[0] in "*/"
        right = int(rng.integers(2, 10 if small else params.max_operand + 1))
        if place == 0:
            left = int(rng.integers(2, 10)) if sign[0] == "*" else first
            if sign[0] == "/":
                left = right * int(rng.integers(1, max(2, params.max_operand // right) + 1))
            numbers += [left, right]
            steps.append((left, sign[0], right))
            last = left
        else:
            if sign == "/":
                divisors = [d for d in range(2, 10) if last > 0 and last % d == 0]
                if not divisors:
                    return None
                right = int(one(rng, divisors))
            numbers.append(right)
            steps.append((-1, sign, right))
        last = _apply(last, sign[0], right)
        if last < 0:
            return None
    if len(signs[0]) == 2:  # "together": the first owner's things are added to the second's
        steps.append((-1, "+", numbers[0]))
    return Problem(template, tuple(numbers), tuple(steps))


def _vary(rng: np.random.Generator, problem: Problem, params: Params) -> Problem | None:
    """The same story with other numbers that stay in the training group; None after 8 tries."""
    signs = tuple(sign for _, sign, _ in problem.steps)
    if len(problem.template) == 1 and len(signs) == 2:
        signs = (signs[0] + "s",)
    for _ in range(8):
        other = _number(rng, problem.template, signs, params)
        if other is None or not _fits(other, params):
            continue
        other = replace(other, owner=problem.owner, other=problem.other, things=problem.things)
        if other.numbers != problem.numbers and split_of(other.group) == "train":
            return other
    return None


GENERATOR = TextGenerator("gsm8k", "number", Params, items)
