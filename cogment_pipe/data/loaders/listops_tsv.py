"""ListOps files: `label TAB tree` without a header (d20s), or `Source TAB Target` (LRA).

Parentheses are dropped and `]` closes, as LRA does; every label is checked by our evaluator.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import numpy as np

from cogment_pipe.data.generators import Draws, GridSplit
from cogment_pipe.data.generators.listops import rows_of
from cogment_pipe.data.generators.listops_tree import (
    OPERATORS,
    Tree,
    canonical_hash,
    length,
    parse,
    value,
)
from cogment_pipe.data.loaders.grid_files import Loaded, assign, data_files, sources, text_lines
from cogment_pipe.data.symbols import CLOSE, DIGIT0
from cogment_pipe.errors import CogmentError

HINT = "get listops-1000 from google-research/long-range-arena, or nyu-mll/spinn's *_d20s.tsv"
TOKENS = {
    **{f"[{name}": symbol for name, symbol in OPERATORS.items()},
    **{str(d): DIGIT0 + d for d in range(10)},
    "]": CLOSE,
    "X": CLOSE,
}
DEEPEST = 100  # published ones nest 20 deep at most; ours recurse
NOTES = {"split_by": "expression without the order of arguments"}


def load(corpus: dict, wanted: dict[str, int | None], draws: Draws, sequence_length: int) -> Loaded:
    """Expressions of a folder or file; longer ones than sequence_length - 1 are dropped."""
    files = data_files(corpus["path"], ".tsv", "listops", HINT)
    trees = {split: [tree for _, tree in read(file)] for split, file in files.items()}
    short = {s: [t for t in every if length(t) < sequence_length] for s, every in trees.items()}
    longest = max((length(t) for every in short.values() for t in every), default=0)
    parts = {split: _items(every, longest + 1) for split, every in short.items() if every}
    if not parts:
        raise CogmentError(
            f"corpora.listops: no expression is shorter than sequence_length {sequence_length}"
        )
    splits, dropped = assign(parts, wanted, draws)
    lost = sum(len(every) for every in trees.values()) - sum(len(s) for s in short.values())
    if lost:
        dropped["longer than sequence_length"] = lost
    return Loaded(splits, sources(corpus["path"], files, corpus), dropped)


def _items(trees: list[Tree], width: int) -> GridSplit:
    hashes = np.array([canonical_hash(tree) for tree in trees], dtype=np.uint64)
    return rows_of(trees, hashes, width)


def read(file: Path) -> list[tuple[int, Tree]]:
    """(label, tree) of every line. Raises CogmentError naming file and line."""
    rows = []
    swapped = False
    for number, line in text_lines(file):
        where = f"{file}, line {number}"
        parts = line.split("\t")
        if number == 1 and parts == ["Source", "Target"]:
            swapped = True
            continue
        if not line:
            continue
        if len(parts) != 2:
            raise CogmentError(f"{where}: needs two columns set apart by a tab")
        source, label = parts if swapped else parts[::-1]
        rows.append(_row(source, label, where))
    if not rows:
        raise CogmentError(f"{file}: no expression")
    return rows


def _row(source: str, label: str, where: str) -> tuple[int, Tree]:
    words = [word for word in source.split() if word not in "()"]
    unknown = next((word for word in words if word not in TOKENS), None)
    if unknown is not None:
        raise CogmentError(f"{where}: {unknown[:20]!r} is not a ListOps token")
    symbols = [TOKENS[word] for word in words]
    steps = [(symbol in OPERATORS.values()) - (symbol == CLOSE) for symbol in symbols]
    if max(accumulate(steps), default=0) > DEEPEST:
        raise CogmentError(f"{where}: nested more than {DEEPEST} deep")
    try:
        tree = parse(symbols)
    except ValueError as error:
        raise CogmentError(f"{where}: {error}") from None
    if label not in list("0123456789") or int(label) != value(tree):
        raise CogmentError(f"{where}: label {label[:20]!r}, but the value is {value(tree)}")
    return int(label), tree
