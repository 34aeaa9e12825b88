"""Twins: which rows get one, and which predictions of both must agree."""

from __future__ import annotations

import numpy as np
import pytest

from cogment_pipe.data.arc_augment import make
from cogment_pipe.data.augment import Augmentation, image_cells
from cogment_pipe.data.batch import GridBatch, TextBatch
from cogment_pipe.data.symbols import OUT
from cogment_pipe.data.twins import align, joined, take, twin_batch


def identity(side: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(side * side), np.arange(64)


class Grids:
    """Nine cells; odd items are turned and their symbols 1 and 2 change places."""

    name = "grids"

    def __init__(self) -> None:
        cells, symbols = image_cells(3)[1], np.arange(64)
        symbols[[1, 2]] = [2, 1]
        self.change = Augmentation(cells, symbols)
        self.inputs = np.random.default_rng(0).integers(1, 6, (6, 3, 3))

    def batch(self, index, *, rng=None, augment=False, answers=True) -> GridBatch:
        inputs = self.inputs[index]
        targets = np.where(inputs == 5, -100, inputs)
        rows = None
        if augment:
            rows = [self.change if i % 2 else None for i in index]
            new = [(c.apply(g) if c else g) for c, g in zip(rows, inputs, strict=True)]
            inputs = np.stack(new)
            targets = np.where(inputs == 5, -100, inputs)
        return GridBatch("grids", 14, inputs, targets, np.asarray(index), augmented=rows)


def texts(answers: list[list[int]], prompt: int, width: int, segments: int = 0) -> TextBatch:
    tokens = np.zeros((len(answers), width), np.int64)
    targets = np.full_like(tokens, -100)
    for row, answer in enumerate(answers):
        tokens[row, :prompt] = 9
        tokens[row, prompt : prompt + len(answer)] = answer
        targets[row, prompt - 1 : prompt - 1 + len(answer)] = answer
    earlier = np.full((len(answers), segments, 4), 8) if segments else None
    length = np.array([prompt + len(a) for a in answers])
    n = len(answers)
    return TextBatch("t", 7, earlier, tokens, np.full(n, prompt), length, targets, np.arange(n))


class Texts:
    """Items 0 and 2 have a variant with a longer prompt; that of item 2 has another answer."""

    def batch(self, index, *, rng=None, augment=False, answers=True) -> TextBatch:
        plain = texts([[5, 6], [7], [5, 6]], 2, 6)
        if not augment:
            return plain
        other = joined(plain, texts([[5, 6], [5, 4]], 4, 8))
        return take(other, np.array([3, 1, 4]))


def test_only_changed_rows_have_a_twin():
    """Rows that the augmentation leaves alone are not computed twice."""
    found = twin_batch(Grids(), np.array([0, 1, 2, 3]), np.random.default_rng(0))
    assert found.source.tolist() == [1, 3]
    assert len(found.batch) == 6 and found.batch.index.tolist() == [0, 1, 2, 3, 1, 3]
    assert found.batch.augmented is None


def test_cells_and_symbols_are_aligned():
    """Aligned pairs have one label once the twin's is renamed back, and none is missing."""
    found = twin_batch(Grids(), np.array([0, 1, 2, 3]), np.random.default_rng(0))
    targets = found.batch.targets.reshape(6, -1)
    aligned = align(targets, found.source, found.changes, 64)
    labels = targets[targets != -100]
    columns = aligned.symbols[np.arange(len(aligned.original)), labels[aligned.original]]
    assert (columns == labels[aligned.augmented]).all()
    assert len(aligned.original) == (targets[4:] != -100).sum()
    assert len(set(aligned.augmented.tolist())) == len(aligned.augmented)
    rows = np.nonzero(targets != -100)[0]
    assert (rows[aligned.original] == found.source[rows[aligned.augmented] - 4]).all()


def test_scores_map_back_as_the_augmentation_inverts_them():
    """The alignment agrees with Augmentation.invert_scores, cell by cell."""
    data = Grids()
    scores = np.random.default_rng(1).random((9, 64))
    back = data.change.invert_scores(scores)
    targets = np.full((2, 9), 3)
    aligned = align(targets, np.array([0]), [data.change], 64)
    for old, new, columns in zip(
        aligned.original, aligned.augmented - 9, aligned.symbols, strict=True
    ):
        assert np.array_equal(back[old], scores[new][columns])


def test_arc_grids_align_inside_the_grid_alone():
    """A 2 x 3 grid on a 5 x 5 canvas, turned, recoloured and shifted: six pairs, no OUT cell."""
    row = np.array([1, *np.roll(np.arange(10), 3), 1, 2])
    change = make(row, 5, (2, 3))
    canvas = np.full((5, 5), OUT)
    canvas[:2, :3] = np.arange(1, 7).reshape(2, 3)
    targets = np.stack([canvas.ravel(), change.apply(canvas).ravel()])
    aligned = align(targets, np.array([0]), [change], 64)
    assert sorted(aligned.original.tolist()) == [0, 1, 2, 5, 6, 7]
    labels = targets.ravel()
    assert (change.symbols[labels[aligned.original]] == labels[aligned.augmented]).all()


def test_text_aligns_equal_answers_by_offset_and_no_others():
    """Item 0's variant has the same answer two places later; item 2's has another: no term."""
    found = twin_batch(Texts(), np.array([0, 1, 2]), np.random.default_rng(0))
    assert found.source.tolist() == [0, 2]
    aligned = align(found.batch.targets, found.source, found.changes, 64)
    assert aligned.original.tolist() == [0, 1]
    assert aligned.augmented.tolist() == [5, 6]
    assert aligned.symbols is None


def test_joined_pads_and_fills_missing_segments():
    """Different widths, and segments in one of the two only."""
    both = joined(texts([[5]], 2, 4), texts([[6, 7]], 3, 8, segments=2))
    assert both.tokens.shape == (2, 8) and both.segments.shape == (2, 2, 4)
    assert not both.segments[0].any() and both.targets[0, 4:].tolist() == [-100] * 4
    assert both.length.tolist() == [3, 5]


@pytest.mark.parametrize("n", [3, 64, 80])
def test_symbol_map_covers_any_alphabet(n):
    """Symbols past the table keep their place."""
    symbols = np.arange(64)
    symbols[[1, 2]] = [2, 1]
    table = Augmentation(identity()[0], symbols).symbol_map(n)
    assert len(table) == n and table[:3].tolist() == [0, 2, 1]
    assert (table[3:] == np.arange(3, n)).all()
