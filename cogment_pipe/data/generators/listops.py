"""ListOps by the published grammar (Nangia & Bowman 2018; layout of Long Range Arena).

Operators MIN, MAX, MED (int of the median, so truncated) and SM (sum mod 10) over 2..10 arguments.
A row is QUERY, then the expression without parentheses; the answer belongs into the QUERY cell.
Expressions that differ only in the order of arguments fall into one split.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from cogment_pipe.data.generators import SPLITS, Draws, GridSplit, Params, collect, split_of
from cogment_pipe.data.generators.dice import Dice
from cogment_pipe.data.symbols import (
    CLOSE,
    DIGIT0,
    OP_MAX,
    OP_MED,
    OP_MIN,
    OP_SM,
    QUERY,
    STORED_IGNORE,
)

BLOCK = 512
OPERATORS = {"MIN": OP_MIN, "MAX": OP_MAX, "MED": OP_MED, "SM": OP_SM}
MASK = (1 << 64) - 1

Tree = int | tuple[int, list["Tree"]]  # a digit, or (operator symbol, arguments)


class ListOpsParams(Params):
    """Bounds of an expression; lengths count operators, digits and closing brackets."""

    depth_max: int = Field(4, ge=1, le=20, description="operators nested in one another")
    args_min: int = Field(2, ge=1)
    args_max: int = Field(10, ge=2)
    length_min: int = Field(20, ge=3)
    length_max: int = Field(60, ge=4, le=4096)
    operator_rate: float = Field(0.25, gt=0.0, le=0.6, description="LRA: VALUE_P = .25")
    operators: list[str] = Field(["MIN", "MAX", "MED", "SM"], min_length=1)
    max_class_share: float = Field(0.15, ge=0.1, le=1.0)

    @model_validator(mode="after")
    def _check(self) -> ListOpsParams:
        if self.args_min > self.args_max or self.length_min > self.length_max:
            raise ValueError("args_min <= args_max and length_min <= length_max must hold")
        unknown = set(self.operators) - set(OPERATORS)
        if unknown:
            raise ValueError(f"operators must be some of {', '.join(OPERATORS)}")
        return self


def generate(params: ListOpsParams, counts: dict[str, int], draws: Draws) -> dict[str, GridSplit]:
    """Expressions of every split; difficulty = depth."""
    return {
        split: collect(
            draws,
            split,
            need,
            lambda rng, name: _block(params, rng, name),
            caps=lambda part: part.targets[:, 0, 0],
            cap=max(1, int(np.ceil(params.max_class_share * need))),
        )
        for split, need in counts.items()
    }


def _block(params: ListOpsParams, rng: np.random.Generator, split: str) -> GridSplit:
    dice = Dice(rng)
    trees = []
    while len(trees) < BLOCK:
        tree = _operation(params, dice, 1)
        if params.length_min <= length(tree) <= params.length_max:
            trees.append(tree)
    groups = np.array([canonical_hash(tree) for tree in trees], dtype=np.uint64)
    keep = np.flatnonzero(split_of(groups) == SPLITS.index(split))
    return rows_of([trees[i] for i in keep], groups[keep], params.length_max + 1)


def rows_of(trees: list[Tree], groups: np.ndarray, width: int) -> GridSplit:
    """Write trees as rows of `width` cells; shorter ones are padded with 0 on the right."""
    inputs = np.zeros((len(trees), 1, width), dtype=np.uint8)
    targets = np.full_like(inputs, STORED_IGNORE)
    for i, tree in enumerate(trees):
        row = [QUERY, *linear(tree)]
        inputs[i, 0, : len(row)] = row
        targets[i, 0, 0] = DIGIT0 + value(tree)
    depths = np.array([depth(tree) for tree in trees], dtype=np.float32)
    return GridSplit(inputs, targets, depths, groups, groups)


def _operation(params: ListOpsParams, dice: Dice, level: int) -> Tree:
    operator = OPERATORS[params.operators[dice.below(len(params.operators))]]
    n = params.args_min + dice.below(params.args_max - params.args_min + 1)
    return operator, [_argument(params, dice, level) for _ in range(n)]


def _argument(params: ListOpsParams, dice: Dice, level: int) -> Tree:
    if level < params.depth_max and dice.random() < params.operator_rate:
        return _operation(params, dice, level + 1)
    return dice.below(10)


def value(tree: Tree) -> int:
    """The answer, 0..9."""
    if isinstance(tree, int):
        return tree
    operator, arguments = tree
    values = sorted(value(argument) for argument in arguments)
    if operator == OP_MIN:
        return values[0]
    if operator == OP_MAX:
        return values[-1]
    if operator == OP_SM:
        return sum(values) % 10
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) // 2


def length(tree: Tree) -> int:
    """Symbols of the expression, closing brackets included."""
    return 1 if isinstance(tree, int) else 2 + sum(length(argument) for argument in tree[1])


def depth(tree: Tree) -> int:
    """Operators nested in one another; a digit has none."""
    return 0 if isinstance(tree, int) else 1 + max(depth(argument) for argument in tree[1])


def linear(tree: Tree) -> list[int]:
    """The expression's symbols in order."""
    if isinstance(tree, int):
        return [DIGIT0 + tree]
    operator, arguments = tree
    return [operator, *(s for argument in arguments for s in linear(argument)), CLOSE]


def parse(symbols: list[int]) -> Tree:
    """The tree of an expression's symbols. Raises ValueError when they are not one expression."""
    stack: list[tuple[int, list[Tree]]] = []
    done: Tree | None = None
    for place, symbol in enumerate(symbols):
        if done is not None:
            raise ValueError(f"symbol {place + 1}: something follows the end of the expression")
        node: Tree | None = None
        if symbol in OPERATORS.values():
            stack.append((symbol, []))
        elif DIGIT0 <= symbol < DIGIT0 + 10:
            node = symbol - DIGIT0
        elif symbol == CLOSE and stack and stack[-1][1]:
            node = stack.pop()
        else:
            raise ValueError(f"symbol {place + 1}: unexpected in an expression")
        if node is not None:
            if stack:
                stack[-1][1].append(node)
            else:
                done = node
    if done is None:
        raise ValueError("the expression is not closed")
    return done


def canonical_hash(tree: Tree) -> int:
    """64-bit hash that does not depend on the order of any operator's arguments."""
    if isinstance(tree, int):
        return _scramble(tree + 1)
    operator, arguments = tree
    total = sum(canonical_hash(argument) for argument in arguments) & MASK
    return _scramble((total + operator * 0x9E3779B97F4A7C15 + len(arguments)) & MASK)


def _scramble(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) & MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def shuffled_order(symbols: list[int], dice: Dice) -> list[int]:
    """A new order of an expression's positions, each operator's arguments permuted.

    MIN, MAX, MED and SM all commute, so the value stays the same.
    """
    stack: list[tuple[int, list[list[int]]]] = []
    done: list[int] = []
    for place, symbol in enumerate(symbols):
        if symbol in OPERATORS.values():
            stack.append((place, []))
            continue
        span = [place]
        if symbol == CLOSE:
            first, parts = stack.pop()
            span = [first, *(p for part in dice.shuffle(parts) for p in part), place]
        if stack:
            stack[-1][1].append(span)
        else:
            done = span
    return done
