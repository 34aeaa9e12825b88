"""ListOps: our evaluator against published labels, class balance, canonical forms."""

import numpy as np
import pytest

from cogment_pipe.data.generators import Draws, parse_params
from cogment_pipe.data.generators.dice import Dice
from cogment_pipe.data.generators.listops import ListOpsParams, generate
from cogment_pipe.data.generators.listops_tree import (
    OPERATORS,
    canonical_hash,
    depth,
    length,
    linear,
    parse,
    shuffled_order,
    trace,
    value,
)
from cogment_pipe.data.loaders import listops_tsv
from cogment_pipe.data.symbols import CLOSE, DIGIT0, OP_MED, OP_MIN, OP_SM, QUERY, STORED_IGNORE
from cogment_pipe.errors import CogmentError

DRAWS = Draws(seed=1, stage=2, task="listops")
WORDS = {symbol: f"[{name}" for name, symbol in OPERATORS.items()} | {CLOSE: "]"}


def evaluate_words(words):
    """Value of an expression by a stack machine over words, sharing no code with the package."""
    stack = []
    for word in words:
        if word != "]":
            stack.append(int(word) if word.isdigit() else word)
            continue
        values = []
        while not isinstance(stack[-1], str):
            values.append(stack.pop())
        name = stack.pop()
        result = {
            "[MIN": lambda v: min(v),
            "[MAX": lambda v: max(v),
            "[MED": lambda v: int(np.median(v)),
            "[SM": lambda v: sum(v) % 10,
        }[name](values)
        stack.append(result)
    assert len(stack) == 1
    return stack[0]


def words_of(row):
    return [WORDS.get(s) or str(s - DIGIT0) for s in row if s not in (0, QUERY)]


def test_values_by_hand():
    """Guards: MED truncates the median of an even count, SM is the sum mod 10."""
    assert value((OP_MED, [1, 4])) == 2
    assert value((OP_MED, [9, 1, 5])) == 5
    assert value((OP_SM, [9, 9, (OP_MED, [2, 3])])) == 0


def test_all_published_labels_agree(shared_data):
    """Guards: our evaluator agrees with all 2,000 d20s labels and the 30 of LRA's layout."""
    rows = listops_tsv.read(shared_data / "listops" / "test_d20s.tsv")
    assert len(rows) == 2000
    assert all(value(tree) == label for label, tree in rows)
    rows = listops_tsv.read(shared_data / "listops" / "lra_layout" / "basic_test.tsv")
    assert len(rows) == 30 and all(value(tree) == label for label, tree in rows)
    assert min(length(tree) for _, tree in rows) + 1 >= 500


def test_generated_rows_are_right_by_a_second_evaluator():
    """Guards: layout, bounds and answers of generated expressions."""
    params = ListOpsParams()
    part = generate(params, {"train": 300}, DRAWS)["train"]
    assert part.inputs.shape == (300, 1, 61)
    for row, target, difficulty in zip(part.inputs, part.targets, part.difficulty, strict=True):
        words = words_of(row[0].tolist())
        assert row[0, 0] == QUERY and 20 <= len(words) <= 60
        assert target[0, 0] == DIGIT0 + evaluate_words(words)
        assert (target[0, 1:] == STORED_IGNORE).all()
        tree = parse(row[0][1 : 1 + len(words)].tolist())
        assert (
            depth(tree) == difficulty <= 4 and linear(tree) == row[0][1 : 1 + len(words)].tolist()
        )
        assert "( " not in " ".join(words)


def test_no_class_is_above_its_share():
    """Guards: no answer makes up more than max_class_share of any split (section 8: .2)."""
    splits = generate(ListOpsParams(), {"train": 600, "test": 200}, DRAWS)
    for part in splits.values():
        counts = np.bincount(part.targets[:, 0, 0], minlength=11)[1:]
        assert counts.max() / len(part) <= 0.15 + 1e-9
        assert counts.min() > 0


def test_splits_share_no_expression_up_to_the_order_of_arguments():
    """Guards: no test expression is a training one with its arguments shuffled."""
    params = ListOpsParams(length_min=4, length_max=8, args_max=4)
    splits = generate(params, {"train": 400, "validation": 50, "test": 100}, DRAWS)

    def frozen(tree):
        return tree if isinstance(tree, int) else (tree[0], *sorted(map(str, map(frozen, tree[1]))))

    forms = {
        name: {
            frozen(parse([s for s in row[0].tolist() if s not in (0, QUERY)])) for row in p.inputs
        }
        for name, p in splits.items()
    }
    assert len(forms["train"]) == 400
    assert not forms["train"] & forms["test"] and not forms["train"] & forms["validation"]
    assert not forms["validation"] & forms["test"]


def test_shuffling_keeps_value_and_canonical_hash():
    """Guards: argument permutation is a permutation of positions that changes no answer."""
    part = generate(ListOpsParams(), {"train": 60}, DRAWS)["train"]
    dice = Dice(np.random.default_rng(0))
    changed = 0
    for row in part.inputs:
        symbols = [s for s in row[0].tolist() if s not in (0, QUERY)]
        order = shuffled_order(symbols, dice)
        new = [symbols[i] for i in order]
        assert sorted(order) == list(range(len(symbols)))
        assert value(parse(new)) == value(parse(symbols))
        assert canonical_hash(parse(new)) == canonical_hash(parse(symbols))
        changed += new != symbols
    assert changed > 50


def test_canonical_hash_tells_expressions_apart():
    """Guards: nesting, operators and digits all count."""
    trees = [
        (OP_SM, [1, 2, 3]),
        (OP_MED, [1, 2, 3]),
        (OP_SM, [1, (OP_SM, [2, 3])]),
        (OP_SM, [(OP_SM, [1, 2]), 3]),
        (OP_SM, [1, 2, 4]),
        (OP_SM, [1, 2, 3, 0]),
    ]
    assert len({canonical_hash(tree) for tree in trees}) == len(trees)
    assert canonical_hash((OP_SM, [3, 1, 2])) == canonical_hash(trees[0])


@pytest.mark.parametrize(
    "symbols", [[], [CLOSE], [OP_SM], [OP_SM, CLOSE], [2, 3], [OP_SM, 2, CLOSE, CLOSE], [QUERY]]
)
def test_broken_expressions_are_refused(symbols):
    """Guards: what is not exactly one expression is an error, never a guess."""
    with pytest.raises(ValueError):
        parse(symbols)


def test_bad_params_name_the_key():
    """Guards: impossible bounds are one line."""
    with pytest.raises(CogmentError, match="operators must be some of MIN, MAX, MED, SM"):
        parse_params(ListOpsParams, {"operators": ["AVG"]}, stage=2, task="listops")
    with pytest.raises(CogmentError, match="length_min <= length_max"):
        parse_params(ListOpsParams, {"length_min": 70}, stage=2, task="listops")


def test_trace_holds_the_running_value_under_every_symbol():
    """Guards: traced training rows say at each symbol what a reader would know there."""
    tree = parse([OP_MED, DIGIT0 + 3, OP_MIN, DIGIT0 + 5, DIGIT0 + 2, CLOSE, DIGIT0 + 9, CLOSE])
    # MED over 3, then 3 and MIN(5, 2) = 2 (int(2.5) = 2), then 3, 2 and 9
    assert trace(tree) == [3, 3, 2, 5, 2, 2, 3, 3]
    assert trace(tree)[-1] == value(tree)


def test_only_training_rows_are_traced():
    """Guards: validation and test rows ask for the answer alone."""
    parts = generate(
        ListOpsParams(trace=True, length_min=4, length_max=24),
        {"train": 40, "validation": 10, "test": 10},
        Draws(0, 2, "listops"),
    )
    asked = {name: (part.targets != STORED_IGNORE).sum((1, 2)) for name, part in parts.items()}
    assert (asked["train"] > 3).all()
    assert (asked["validation"] == 1).all() and (asked["test"] == 1).all()
