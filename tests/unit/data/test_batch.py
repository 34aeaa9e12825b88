"""The batch records."""

import numpy as np

from cogment_pipe.data.batch import TASK_IDS, GridBatch, TextBatch, row_lengths


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


def test_trimmed_rows_of_a_grid_end_with_the_longest():
    """Guards: padding that all rows share is cut, nothing else; grids of two dimensions stay."""
    inputs = np.array([[[5, 0, 6, 0, 0, 0]], [[7, 8, 0, 0, 0, 0]]])
    targets = np.where(inputs > 0, inputs, -100)
    assert row_lengths(inputs[:, 0]).tolist() == [3, 2]
    assert row_lengths(np.zeros((2, 4), dtype=np.int64)).tolist() == [0, 0]
    cut = GridBatch("listops", 6, inputs, targets, np.arange(2)).trimmed()
    assert cut.inputs.tolist() == [[[5, 0, 6]], [[7, 8, 0]]]
    assert cut.targets.tolist() == [[[5, -100, 6]], [[7, 8, -100]]]
    square = GridBatch("maze", 5, np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), np.arange(1))
    assert square.trimmed() is square


def test_trimmed_text_keeps_a_multiple_of_eight():
    """Guards: tokens, targets and segments lose the padding that all rows share."""
    tokens = np.zeros((2, 32), dtype=np.int64)
    tokens[0, :9], tokens[1, :4] = 3, 4
    segments = np.zeros((2, 1, 24), dtype=np.int64)
    segments[1, 0, :2] = 5
    length = np.array([9, 4])
    batch = TextBatch("qa", 15, segments, tokens, length - 1, length, tokens - 100, np.arange(2))
    cut = batch.trimmed()
    assert cut.tokens.tolist() == tokens[:, :16].tolist()
    assert cut.targets.tolist() == (tokens - 100)[:, :16].tolist()
    assert cut.segments.tolist() == segments[:, :, :8].tolist()
    plain = TextBatch("qa", 15, None, tokens, length - 1, length, tokens, np.arange(2))
    assert plain.trimmed().segments is None
