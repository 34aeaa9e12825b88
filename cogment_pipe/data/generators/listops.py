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
from cogment_pipe.data.generators.listops_tree import (
    OPERATORS,
    Tree,
    canonical_hash,
    depth,
    length,
    linear,
    trace,
    value,
)
from cogment_pipe.data.symbols import DIGIT0, QUERY, STORED_IGNORE

BLOCK = 512


class ListOpsParams(Params):
    """Bounds of an expression; lengths count operators, digits and closing brackets."""

    depth_max: int = Field(4, ge=1, le=20, description="operators nested in one another")
    args_min: int = Field(2, ge=1, description="fewest arguments of an operator")
    args_max: int = Field(10, ge=2, description="most arguments")
    length_min: int = Field(20, ge=3, description="fewest symbols of an expression")
    length_max: int = Field(60, ge=4, le=4096, description="most symbols")
    operator_rate: float = Field(0.25, gt=0.0, le=0.6, description="LRA: VALUE_P = .25")
    operators: list[str] = Field(
        ["MIN", "MAX", "MED", "SM"], min_length=1, description="operators in use"
    )
    max_class_share: float = Field(
        0.15, ge=0.1, le=1.0, description="largest share of items with the same answer"
    )
    trace: bool = Field(False, description="training rows: a running value under every symbol")

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
    traced = params.trace and split == "train"
    return rows_of([trees[i] for i in keep], groups[keep], params.length_max + 1, traced)


def rows_of(trees: list[Tree], groups: np.ndarray, width: int, traced: bool = False) -> GridSplit:
    """Write trees as rows of `width` cells; shorter ones are padded with 0 on the right.

    `traced`: the running values of `trace` are targets too, beside the answer.
    """
    inputs = np.zeros((len(trees), 1, width), dtype=np.uint8)
    targets = np.full_like(inputs, STORED_IGNORE)
    for i, tree in enumerate(trees):
        row = [QUERY, *linear(tree)]
        inputs[i, 0, : len(row)] = row
        targets[i, 0, 0] = DIGIT0 + value(tree)
        if traced:
            targets[i, 0, 1 : len(row)] = [DIGIT0 + mark for mark in trace(tree)]
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
