"""Stage 0: linear maps and sequences."""

import numpy as np
import pytest

from cogment_pipe.data.generators import Draws, parse_params
from cogment_pipe.data.generators.linear_map import LinearMapParams, matrix
from cogment_pipe.data.generators.linear_map import generate as linear_maps
from cogment_pipe.data.generators.sequence import SequenceParams
from cogment_pipe.data.generators.sequence import generate as sequences
from cogment_pipe.data.symbols import DIGIT0, EQUALS, QUERY, STORED_IGNORE
from cogment_pipe.errors import CogmentError

DRAWS = Draws(seed=0, stage=0, task="t")
COUNTS = {"train": 400, "validation": 40, "test": 80}


@pytest.mark.parametrize("modulus", [0, 5])
def test_linear_map_targets_are_a_times_x(modulus):
    """Guards: y = A x, over the integers or mod p, two entries a row; answer cells hold QUERY."""
    params = LinearMapParams(modulus=modulus)
    a = matrix(params, DRAWS)
    assert (np.count_nonzero(a, axis=1) == 2).all() and a.max() < max(modulus, 2)
    for part in linear_maps(params, COUNTS, DRAWS).values():
        x = part.inputs[:, 0, :6].astype(int) - DIGIT0
        assert (part.inputs[:, 0, 6] == EQUALS).all() and (part.inputs[:, 0, 7:] == QUERY).all()
        assert (part.targets[:, 0, :7] == STORED_IGNORE).all()
        y = part.targets[:, 0, 7:].astype(int) - DIGIT0
        for row in range(len(x)):
            for i in range(6):
                total = sum(a[i, j] * x[row, j] for j in range(6))
                assert y[row, i] == (total % modulus if modulus else total) <= 9


def test_linear_map_depends_on_the_seed():
    """Guards: another seed has another map."""
    assert not np.array_equal(
        matrix(LinearMapParams(), DRAWS), matrix(LinearMapParams(), Draws(1, 0, "t"))
    )


def fits(terms, total):
    """Every continuation of `terms` to `total` that one of the three rules allows."""
    n = len(terms)
    found = set()
    for start in range(10):
        for step in range(10):
            row = [(start + step * i) % 10 for i in range(total)]
            if row[:n] == terms:
                found.add(tuple(row))
    for period in (2, 3, 4):
        row = [terms[i % period] for i in range(total)]
        if row[:n] == terms:
            found.add(tuple(row))
    even, odd = (terms[2] - terms[0]) % 10, (terms[3] - terms[1]) % 10
    row = [(terms[i % 2] + (even, odd)[i % 2] * (i // 2)) % 10 for i in range(total)]
    if row[:n] == terms:
        found.add(tuple(row))
    return found


def test_sequences_have_exactly_one_continuation():
    """Guards: the stored answer follows from what is shown, and nothing else does."""
    for part in sequences(SequenceParams(), COUNTS, DRAWS).values():
        for row, target in zip(part.inputs[:, 0], part.targets[:, 0], strict=True):
            shown = (row[:8].astype(int) - DIGIT0).tolist()
            answer = (target[9:].astype(int) - DIGIT0).tolist()
            assert row[8] == EQUALS and (row[9:] == QUERY).all()
            assert fits(shown, 12) == {(*shown, *answer)}


@pytest.mark.parametrize(
    ("make", "params"), [(linear_maps, LinearMapParams()), (sequences, SequenceParams())]
)
def test_splits_share_no_question(make, params):
    """Guards: test items are unseen, and the same seed gives the same bytes."""
    splits = make(params, COUNTS, DRAWS)
    rows = {s: {r.tobytes() for r in p.inputs} for s, p in splits.items()}
    assert [len(rows[s]) for s in rows] == [400, 40, 80]
    assert not rows["train"] & (rows["test"] | rows["validation"])
    assert not rows["validation"] & rows["test"]
    again = make(params, {"test": 80}, DRAWS)["test"]
    assert again.inputs.tobytes() == splits["test"].inputs.tobytes()
    assert again.targets.tobytes() == splits["test"].targets.tobytes()


def test_bad_params_are_one_line():
    """Guards: impossible sizes name the key."""
    with pytest.raises(CogmentError, match=r"stages\.0\.tasks\.linear_map\.params.*nonzero must"):
        parse_params(LinearMapParams, {"nonzero": 7}, stage=0, task="linear_map")
    with pytest.raises(CogmentError, match=r"params\.shown"):
        parse_params(SequenceParams, {"shown": 2}, stage=0, task="sequence")
