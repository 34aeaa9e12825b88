"""The batch records."""

import numpy as np

from cogment_pipe.data.batch import TASK_IDS, GridBatch, TextBatch


def test_task_ids_fit_the_model_and_share_only_real_and_generated_twins():
    """Guards: at most 16 kinds of task; a number is shared only by variants of one task."""
    assert set(TASK_IDS.values()) == set(range(16))
    shared = {i: {n for n, k in TASK_IDS.items() if k == i} for i in range(16)}
    assert {frozenset(names) for names in shared.values() if len(names) > 1} == {
        frozenset({"arc", "arc_like"}),
        frozenset({"word_problem", "gsm8k"}),
        frozenset({"two_hop", "hotpotqa"}),
        frozenset({"long_qa", "longbench", "scrolls"}),
    }


def test_length_is_the_number_of_rows():
    """Guards: len(batch) is its number of rows for grids and text."""
    cells = np.zeros((3, 2, 2), dtype=np.int64)
    rows = np.arange(3)
    assert len(GridBatch("maze", 5, cells, cells, rows)) == 3
    assert len(TextBatch("qa", 15, None, cells[:, 0], rows, rows, cells[:, 0], rows)) == 3
