"""Users' puzzles: read as documented, told apart by their answers, never leaking into training."""

from __future__ import annotations

import numpy as np
import pytest

from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.generators import Draws
from cogment_pipe.data.generators.maze import MazeParams
from cogment_pipe.data.generators.maze import generate as make_mazes
from cogment_pipe.data.generators.sudoku import SudokuParams
from cogment_pipe.data.generators.sudoku import generate as make_sudokus
from cogment_pipe.data.own_puzzles import (
    TASK,
    check_augmentation,
    has_boxes,
    is_latin,
    read_puzzles,
    write_puzzles,
)
from cogment_pipe.data.puzzle_text import BUILT_IN, OWN
from cogment_pipe.errors import CogmentError
from cogment_pipe.fit_recipe import AUGMENTATIONS

COUNTS = {"train": 60, "validation": 1, "test": 12}


def own(grids: np.ndarray, kind: str) -> np.ndarray:
    """Built-in symbols as a user would write them."""
    table = np.arange(256)
    for character, symbol in OWN[kind].items():
        table[BUILT_IN[kind][character]] = symbol
    return table[grids]


def save(path, splits, kind, flat=False):
    arrays = {}
    for split in ("train", "test"):
        for name, grids in (("x", splits[split].inputs), ("y", splits[split].targets)):
            made = own(grids, kind)
            arrays[f"{name}_{split}"] = made.reshape(len(made), -1) if flat else made
    np.savez(path, **arrays)
    return arrays


@pytest.fixture(scope="module")
def sudokus():
    return make_sudokus(SudokuParams(side=4), COUNTS, Draws(0, 0, "own"))


@pytest.fixture(scope="module")
def mazes():
    return make_mazes(MazeParams(side=7), COUNTS, Draws(0, 0, "own"))


@pytest.mark.parametrize("flat", [False, True], ids=["N H W", "N L"])
def test_sudokus_of_an_npz(tmp_path, sudokus, flat):
    """Kind, size and alphabet are found; the test items are the file's, in its order."""
    arrays = save(tmp_path / "s.npz", sudokus, "sudoku", flat)
    found = read_puzzles(tmp_path / "s.npz", None, 0)
    assert (found.kind, found.shape, found.symbols) == ("sudoku", (4, 4), 6)
    assert found.latin and found.boxes
    assert np.array_equal(found.splits["test"].inputs.ravel(), arrays["x_test"].ravel())
    assert np.array_equal(found.splits["test"].targets.ravel(), arrays["y_test"].ravel())
    assert len(found.splits["train"]) + len(found.splits["validation"]) == 60


def test_mazes_of_an_npz(tmp_path, mazes):
    """Five symbols; the answers are no Latin squares."""
    save(tmp_path / "m.npz", mazes, "maze")
    found = read_puzzles(tmp_path / "m.npz", None, 0)
    assert (found.kind, found.shape, found.symbols) == ("maze", (7, 7), 6)
    assert not found.latin
    check_augmentation(found, ("dihedral",))
    with pytest.raises(CogmentError, match="no Latin squares"):
        check_augmentation(found, ("relabel",))


def test_a_training_item_that_is_tested_is_dropped(tmp_path, sudokus):
    """Items equal to a test item leave training and validation, counted; the test keeps all."""
    arrays = save(tmp_path / "s.npz", sudokus, "sudoku")
    for name in ("x", "y"):
        arrays[f"{name}_train"][:5] = arrays[f"{name}_test"][:5]
        arrays[f"{name}_test"][-1] = arrays[f"{name}_test"][0]
    np.savez(tmp_path / "leak.npz", **arrays)
    found = read_puzzles(tmp_path / "leak.npz", None, 0)
    held = {row.tobytes() for row in found.splits["test"].inputs}
    for split in ("train", "validation"):
        assert not held & {row.tobytes() for row in found.splits[split].inputs}
    assert len(found.splits["train"]) + len(found.splits["validation"]) == 55
    assert len(found.splits["test"]) == 12 and sum(found.dropped.values()) >= 5
    write_puzzles(found, {}, tmp_path / "stage0")
    assert len(load_stage(tmp_path / "stage0", "test")[TASK]) == 11  # the repeated one, once


def test_sudoku_extremes_layout(tmp_path, sudokus):
    """Dots or noughts for blanks, further columns, one file divided into three splits."""
    rows = ["source,question,answer,rating"]
    for number, (x, y) in enumerate(
        zip(sudokus["train"].inputs, sudokus["train"].targets, strict=True)
    ):
        blank = ".0"[number % 2]
        question = "".join(blank if s == 11 else str(s - 1) for s in x.ravel())
        rows.append(f"a,{question},{''.join(str(s - 1) for s in y.ravel())},{number}")
    (tmp_path / "puzzles.csv").write_text("\n".join(rows))
    found = read_puzzles(tmp_path / "puzzles.csv", None, 0)
    assert (found.kind, found.shape) == ("sudoku", (4, 4))
    assert sum(map(len, found.splits.values())) == 60 and all(map(len, found.splits.values()))
    for part in found.splits.values():
        assert part.inputs.min() == 1 and part.targets.min() == 2 and part.targets.max() == 5


def test_maze_hards_layout(shared_data):
    """Blanks are cells, and mazes in one line are squares."""
    found = read_puzzles(shared_data / "maze_hard_layout" / "test.csv", None, 0)
    assert (found.kind, found.symbols) == ("maze", 6) and found.shape[0] == found.shape[1]


def test_real_sudoku_extreme(shared_data):
    """The upstream layout, 9x9."""
    found = read_puzzles(shared_data / "sudoku" / "sudoku_extreme_layout" / "test.csv", None, 0)
    assert (found.kind, found.shape, found.boxes) == ("sudoku", (9, 9), True)


def test_a_folder_of_two_files(tmp_path):
    """train.csv and test.csv are those splits; numbers set apart by blanks stay as they are."""
    for name, first in (("train", 0), ("test", 50)):
        rows = [
            f"{i % 7} {i % 60} {i // 60} 4,1 {i % 9} 2 {i % 5 + 1}"
            for i in range(first, first + 40)
        ]
        (tmp_path / f"{name}.csv").write_text("question,answer\n" + "\n".join(rows))
    found = read_puzzles(tmp_path, (1, 4), 0)
    assert (found.kind, found.shape) == ("values", (1, 4)) and len(found.splits["test"]) == 40
    with pytest.raises(CogmentError, match="no square symmetries"):
        check_augmentation(found, ("dihedral",))


def test_latin_squares_and_boxes_are_told_apart():
    """Rows and columns hold each symbol once; a cyclic square has no Sudoku boxes."""
    cyclic = (np.arange(4)[:, None] + np.arange(4)) % 4 + 2
    assert is_latin(cyclic[None]) and not has_boxes(cyclic[None])
    assert has_boxes(cyclic[[0, 2, 1, 3]][None])
    broken = cyclic.copy()
    broken[0, 0] = 3
    assert not is_latin(np.stack([cyclic, broken]))
    assert not is_latin(cyclic[None, :2])


@pytest.mark.parametrize(
    "types", [("relabel",), ("bands",), ("dihedral", "relabel"), ("bands", "relabel")]
)
def test_augmented_answers_still_solve_their_questions(tmp_path, sudokus, types):
    """Every symmetry on demand keeps a Sudoku a Sudoku, with its givens in the answer."""
    save(tmp_path / "s.npz", sudokus, "sudoku")
    found = read_puzzles(tmp_path / "s.npz", None, 0)
    check_augmentation(found, types)
    names = [AUGMENTATIONS[name] for name in types]
    stage = {"augmentation_rate": 1.0, "augmentation_types": names}
    write_puzzles(found, stage, tmp_path / "stage0")
    task = load_stage(tmp_path / "stage0", "train")[TASK]
    plain = task.batch(np.arange(40))
    batch = task.batch(np.arange(40), rng=np.random.default_rng(0), augment=True)
    assert has_boxes(batch.targets) and not np.array_equal(plain.targets, batch.targets)
    given = batch.inputs > 1
    assert np.array_equal(batch.inputs[given], batch.targets[given])
    assert np.array_equal(given.sum(axis=(1, 2)), (plain.inputs > 1).sum(axis=(1, 2)))
    if types == ("relabel",):
        assert np.array_equal(given, plain.inputs > 1)


def test_mazes_are_turned_with_their_paths(tmp_path, mazes):
    """dihedral: question and answer are moved alike, walls stay walls."""
    save(tmp_path / "m.npz", mazes, "maze")
    found = read_puzzles(tmp_path / "m.npz", None, 0)
    stage = {"augmentation_rate": 1.0, "augmentation_types": ["dihedral"]}
    write_puzzles(found, stage, tmp_path / "stage0")
    task = load_stage(tmp_path / "stage0", "train")[TASK]
    batch = task.batch(np.arange(30), rng=np.random.default_rng(0), augment=True)
    assert not np.array_equal(batch.inputs, task.batch(np.arange(30)).inputs)
    changed = batch.inputs != batch.targets
    assert (batch.inputs[changed] == 2).all() and (batch.targets[changed] == 5).all()


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("none.npz", None, "no such file"),
        ("x.txt", "hello", "not .npz, .csv or .jsonl"),
        ("x.npz", "hello", "not a readable .npz"),
        ("x.csv", "question,answer\n", "no puzzle"),
        ("x.csv", "question,reply\n12,34\n", "no column 'answer'"),
        ("x.csv", "question,answer\n1.3,123\n", "16, 36 or 81"),
        ("x.csv", "question,answer\n12 3,1\n", "all must be equal"),
        ("x.csv", "question,answer\nS G,SoG\n", "square number"),
        ("x.csv", "question,answer\nS  G,SXoG\n", "'X' is none of"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, text, part):
    """CogmentError that names the file."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(CogmentError, match=part) as caught:
        read_puzzles(tmp_path / name, None, 0)
    assert name in str(caught.value) and "\n" not in str(caught.value)
