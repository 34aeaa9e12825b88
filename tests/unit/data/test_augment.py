"""Augmentations: label-preserving, invertible, forming the groups they claim."""

from typing import get_args

import numpy as np
import pytest

from cogment_pipe.data import corpus, task_kinds
from cogment_pipe.data.arc_augment import draw_rows
from cogment_pipe.data.augment import (
    Augmentation,
    Augmenter,
    apply_all,
    image_cells,
    make_augmenter,
)
from cogment_pipe.data.generators import Draws
from cogment_pipe.data.generators.listops import ListOpsParams
from cogment_pipe.data.generators.listops import generate as make_listops
from cogment_pipe.data.generators.listops_tree import parse, value
from cogment_pipe.data.generators.maze import MazeParams, draw_path
from cogment_pipe.data.generators.maze import generate as make_mazes
from cogment_pipe.data.generators.sudoku import SudokuParams
from cogment_pipe.data.generators.sudoku import generate as make_sudoku
from cogment_pipe.data.generators.sudoku_small import all_4x4, split_4x4
from cogment_pipe.data.generators.sudoku_solver import candidates, solve
from cogment_pipe.data.symbols import BLANK, DIGIT0, IGNORE, QUERY, STORED_IGNORE
from cogment_pipe.task_config import AugmentationType, Generator

DRAWS = Draws(seed=0, stage=2, task="t")
TYPES = ("symmetry", "shuffle_ops")


def augmented(spec, part, rate=1.0, seed=0, types=TYPES):
    augmenter = make_augmenter(spec, part.inputs.shape[1:], rate, types)
    inputs, targets = part.inputs.astype(np.int64), part.targets.astype(np.int64)
    targets[targets == STORED_IGNORE] = IGNORE
    rows = augmenter(np.random.default_rng(seed), inputs)
    return rows, apply_all(rows, inputs), apply_all(rows, targets)


def check_round_trip(part, rows, inputs, targets):
    for i, row in enumerate(rows):
        assert np.array_equal(row.apply(part.inputs[i].astype(int)), inputs[i])
        assert np.array_equal(row.invert(inputs[i]), part.inputs[i])
        assert np.array_equal(row.invert(targets[i]), part.targets[i])


def test_dihedral_images_form_the_group_of_the_square():
    """Guards: 8 distinct elements, closed under composition, rotations of order 4."""
    images = image_cells(5)
    elements = {tuple(cells) for cells in images.tolist()}
    assert len(elements) == 8
    for a in images:
        for b in images:
            assert tuple(a[b].tolist()) in elements
        assert np.array_equal(np.sort(a), np.arange(25))
    quarter = images[1]
    assert np.array_equal(quarter[quarter], images[2])
    assert np.array_equal(quarter[quarter][quarter[quarter]], np.arange(25))
    for mirror in images[4:]:
        assert np.array_equal(mirror[mirror], np.arange(25))


@pytest.mark.parametrize(("kind", "number"), [("rotate_90", 1), ("flip_h", 4), ("flip_v", 6)])
def test_named_types_are_what_they_say(kind, number):
    """Guards: rotate_90 is numpy's quarter turn, flip_h mirrors left-right, flip_v up-down."""
    grid = np.arange(16).reshape(4, 4)
    expected = {1: np.rot90(grid), 4: grid[:, ::-1], 6: grid[::-1]}[number]
    draw = make_augmenter({"kind": "dihedral"}, (4, 4), 1.0, (kind,))
    rows = draw(np.random.default_rng(0), grid[None])
    assert np.array_equal(rows[0].apply(grid), expected)


@pytest.mark.parametrize("side", [4, 6, 9])
def test_sudoku_symmetries_give_puzzles_with_the_answer_moved_along(side):
    """Guards: an augmented puzzle is solved by its augmented answer; inverses are exact."""
    part = make_sudoku(SudokuParams(side=side), {"train": 30}, DRAWS)["train"]
    rows, inputs, targets = augmented({"kind": "sudoku", "split": "class"}, part)
    check_round_trip(part, rows, inputs, targets)
    puzzles = np.where(inputs == BLANK, 0, inputs - DIGIT0).reshape(30, -1)
    found = solve(candidates(puzzles, side), side).solution
    assert np.array_equal(found, (targets - DIGIT0).reshape(30, -1))
    assert (inputs != part.inputs).any(axis=(1, 2)).mean() > 0.9


def test_augmented_4x4_training_grids_stay_training_grids():
    """Guards: no augmentation of a training puzzle makes a validation or a test solution."""
    part = make_sudoku(SudokuParams(), {"train": 300}, DRAWS)["train"]
    number = dict(
        zip([g.tobytes() for g in all_4x4()], split_4x4("class")[1].tolist(), strict=True)
    )
    for seed in range(5):
        _, _, targets = augmented({"kind": "sudoku", "split": "class"}, part, seed=seed)
        solutions = (targets - DIGIT0).astype(np.uint8).reshape(300, 16)
        assert {number[s.tobytes()] for s in solutions} == {0}


def test_digits_alone_can_be_relabelled():
    """Guards: `relabel_digits` moves no cell, `permute_bands` renames no digit."""
    part = make_sudoku(SudokuParams(), {"train": 20}, DRAWS)["train"]
    spec = {"kind": "sudoku", "split": "class"}
    rows, inputs, _ = augmented(spec, part, types=("relabel_digits",))
    assert np.array_equal(inputs == BLANK, part.inputs == BLANK)
    assert any((row.symbols != np.arange(64)).any() for row in rows)
    rows, _, _ = augmented(spec, part, types=("permute_bands",))
    assert all((row.symbols == np.arange(64)).all() for row in rows)
    assert make_augmenter({"kind": "sudoku", "split": "grid"}, (4, 4), 1.0, TYPES) is None


def test_maze_images_keep_the_shortest_path():
    """Guards: the image of the path is the path of the image (perfect mazes)."""
    part = make_mazes(MazeParams(side=7), {"train": 40}, DRAWS)["train"]
    rows, inputs, targets = augmented({"kind": "dihedral"}, part)
    check_round_trip(part, rows, inputs, targets)
    for grid, target in zip(inputs, targets, strict=True):
        assert np.array_equal(draw_path(grid), target)
    assert len({tuple(row.cells.tolist()) for row in rows}) == 8


def test_listops_shuffles_keep_the_answer():
    """Guards: shuffled arguments leave value, QUERY cell and padding where they are."""
    part = make_listops(ListOpsParams(), {"train": 40}, DRAWS)["train"]
    rows, inputs, targets = augmented({"kind": "listops"}, part)
    for i, row in enumerate(rows):
        assert np.array_equal(row.invert(inputs[i]), part.inputs[i])
    assert np.array_equal(targets == IGNORE, part.targets == STORED_IGNORE)
    assert np.array_equal(targets[:, 0, 0], part.targets[:, 0, 0])
    assert np.array_equal(inputs == 0, part.inputs == 0) and (inputs[:, 0, 0] == QUERY).all()
    for row, target in zip(inputs[:, 0], targets[:, 0, 0], strict=True):
        assert DIGIT0 + value(parse([s for s in row.tolist() if s not in (0, QUERY)])) == target


def test_rate_and_types_are_obeyed():
    """Guards: about `rate` of the rows change; rate 0 or no fitting type means no augmenter."""
    augmenter = make_augmenter({"kind": "dihedral"}, (5, 5), 0.3, ("rotate_90",))
    rows = augmenter(np.random.default_rng(0), np.zeros((4000, 5, 5), dtype=np.int64))
    share = sum(row is not None for row in rows) / 4000
    assert abs(share - 0.3) < 0.04
    assert make_augmenter({"kind": "dihedral"}, (5, 5), 0.0, TYPES) is None
    assert make_augmenter({"kind": "dihedral"}, (5, 5), 0.5, ("shuffle_ops",)) is None
    assert make_augmenter({"kind": "listops"}, (1, 9), 0.5, ("symmetry",)) is None
    assert make_augmenter(None, (5, 5), 0.5, TYPES) is None


def test_every_type_that_a_config_may_name_does_something():
    """Guards: no accepted name is ignored; the names of generators are those of the data."""
    kinds = ({"kind": "dihedral"}, {"kind": "sudoku", "split": "class"}, {"kind": "listops"})
    text = {"vary_numbers"} | {"rename_entities", "shuffle_passages", "shuffle_distractors"}
    made = set()
    for name in ("word_problem", "two_hop", "recall", "needle", "passage_retrieval"):
        task = {"generator": name, "train": 20, "validation": 1, "test": 1}
        made |= {row["type"] for row in corpus.generate(name, task, 0, 3).variants}
    assert made == text
    for name in get_args(AugmentationType):
        grid = any(make_augmenter(spec, (9, 9), 1.0, (name,)) for spec in kinds)
        rows = draw_rows(np.random.default_rng(0), 50, (name,), (2, 2))
        assert (name in made) != (grid or len(np.unique(rows, axis=0)) > 1), name
    grids = {*task_kinds.GENERATORS, *task_kinds.ARC, "grids"}
    assert set(get_args(Generator)) == grids | set(task_kinds.TEXT)


def test_scores_map_back_like_symbols():
    """Guards: inverting scores and taking the best symbol is inverting the best symbols."""
    rng = np.random.default_rng(0)
    cells, symbols = rng.permutation(12), np.arange(64)
    symbols[1:11] = rng.permutation(10) + 1
    row = Augmentation(cells, symbols)
    scores = rng.random((12, 30))
    best = scores.argmax(axis=1).reshape(3, 4)
    assert np.array_equal(row.invert_scores(scores).argmax(axis=1).reshape(3, 4), row.invert(best))


def test_unlabelled_cells_stay_unlabelled():
    """Guards: -100 is moved with its cell and never renamed."""
    symbols = np.arange(64)[::-1].copy()
    rows = [Augmentation(np.array([1, 0]), symbols), None]
    grids = np.array([[[-100, 5]], [[-100, 5]]])
    assert apply_all(rows, grids).tolist() == [[[58, -100]], [[-100, 5]]]
    assert isinstance(make_augmenter({"kind": "dihedral"}, (2, 2), 1.0, TYPES), Augmenter)
