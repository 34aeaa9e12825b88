"""ARC-like tasks say what is wanted. Run: pytest tests/unit/data/test_arc_like.py"""

import numpy as np
import pytest

from cogment_pipe.data.arc_prepare import builtin_pairs
from cogment_pipe.data.generators import Draws
from cogment_pipe.data.generators.arc_like import ArcLikeParams, generate
from cogment_pipe.data.generators.arc_rules import FAMILIES
from cogment_pipe.data.loaders.arc import load_builtin
from tests.unit.data.arc_like_oracle import FAMILIES as ORACLE
from tests.unit.data.arc_like_oracle import answers, key

PER_FAMILY = 8


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_demonstrations_allow_one_answer_and_it_is_the_stored_one(family):
    """Guards: all rules of all families that explain the demonstrations give the same answer."""
    params = ArcLikeParams(families=[family])
    for record in generate(params, 8, {"test": PER_FAMILY}, Draws(7, 1, "arc_like"))["test"]:
        given, wanted = record.test[0]
        found = answers(record.train, given)
        assert found[family] == {key(wanted)}, record.id
        assert set().union(*found.values()) == {key(wanted)}, record.id
        assert wanted.any() and not np.array_equal(given, wanted)


def test_the_solver_sees_what_is_ambiguous():
    """Guards: the test above can fail; too little shown leaves several answers."""
    one = np.array([[0, 3, 0], [3, 3, 0], [0, 0, 0]])
    found = answers([(one, np.where(one == 3, 5, one))], np.array([[3, 7]]))
    assert found == {"recolour": {key(np.array([[5, 7]]))}}
    twins = np.array([[0, 4, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    moved = np.roll(twins, 2, axis=0)  # two steps down are two steps up here
    query = np.array([[4], [0], [0], [0], [0]])
    assert len(answers([(twins, moved)], query)["shift"]) == 2
    assert set(ORACLE) == set(FAMILIES)


def test_families_come_about_equally_often():
    """Guards: none of the 16 families makes up more than an eighth of the tasks."""
    made = generate(ArcLikeParams(), 8, {"train": 320}, Draws(1, 1, "arc_like"))["train"]
    counts = [sum(r.id.startswith(f"{family}-") for r in made) for family in FAMILIES]
    assert sum(counts) == 320 and min(counts) > 0 and max(counts) <= 40


def test_no_pair_of_a_real_task_is_made():
    """Promise: what a real task shows or asks is never generated, in whatever split it would be."""
    params, draws = ArcLikeParams(families=["border"]), Draws(1, 1, "arc_like")
    plain = generate(params, 6, {"test": 10}, draws)["test"]
    taken = {int(mark) for record in plain[:5] for mark in record.pair_hashes}
    other = generate(params, 6, {"test": 10}, draws, taken)["test"]
    assert not taken & {int(mark) for record in other for mark in record.pair_hashes}
    real = {"arc": {"generator": "arc", "params": {"side": 10}}, "x": {"generator": "arc_like"}}
    known = builtin_pairs(real)
    first = load_builtin("arc1-evaluation")[0][0]
    assert len(known) > 2000 and int(first.pair_hashes[0]) in known
    assert builtin_pairs({"x": {"generator": "arc_like", "params": {}}}) == set()
