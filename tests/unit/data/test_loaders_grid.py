"""Readers of grid files: published layouts, users' own grids, damaged files."""

import random
import string

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cogment_pipe.data.check import check_path
from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.generators import Draws, join
from cogment_pipe.data.generators.sudoku import SudokuParams, generate
from cogment_pipe.data.loaders import listops_tsv, maze_csv, own_grids, sudoku_csv
from cogment_pipe.data.loaders.grid_files import assign
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.data.symbols import BLANK, DIGIT0, GOAL, START
from cogment_pipe.errors import CogmentError

DRAWS = Draws(0, 2, "t")
NO_LIMIT = {"train": None, "validation": None, "test": None}
SUDOKU = "source,question,answer,rating\r\n"
GOOD = SUDOKU + "x,12343412..4343.1,1234341221434321,3\r\n"
MAZE = "source,question,answer,rating\n"


def stage_slice(name, task, corpora, sequence_length=1024):
    stage = {
        "sequence_length": sequence_length,
        "source": "corpora" if corpora else "builtin",
        "tasks": {} if corpora else {name: task},
        "corpora": {name: task} if corpora else {},
    }
    return {"seed": 0, "scale": "small", "stage": stage, "corpora": corpora}


def test_published_layouts_prepare_with_their_counts(shared_data, tmp_path):
    """Guards: Sudoku-Extreme, Maze-Hard and both ListOps layouts load whole, split by group."""
    for name, folder, count in (
        ("sudoku_extreme", "sudoku/sudoku_extreme_layout", 600),
        ("maze_hard", "maze_hard_layout", 40),
        ("listops", "listops/test_d20s.tsv", 1994),
    ):
        out = tmp_path / name
        corpora = {name: {"path": str(shared_data / folder), "revision": "r1"}}
        prepare_stage(2, stage_slice(name, {"corpus": name}, corpora), out)
        splits = {s: load_stage(out, s)[name] for s in ("train", "validation", "test")}
        assert sum(map(len, splits.values())) == count
        text = (out / "manifest.json").read_text()
        assert str(shared_data) not in text and '"revision": "r1"' in text
    short = {"listops": {"path": str(shared_data / "listops" / "test_d20s.tsv")}}
    prepare_stage(2, stage_slice("listops", {"corpus": "listops", "train": 100}, short, 61), out)
    assert load_stage(out, "train")["listops"].shape[1] <= 61
    assert len(load_stage(out, "train")["listops"]) == 100


def test_sudoku_rows_by_hand(tmp_path):
    """Guards: symbols of questions and answers, rating as difficulty, CRLF and BOM read over."""
    file = tmp_path / "test.csv"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    part = sudoku_csv.read(file)
    assert part.inputs[0, 0].tolist() == [DIGIT0 + d for d in (1, 2, 3, 4)]
    assert part.inputs[0, 2].tolist() == [BLANK, BLANK, DIGIT0 + 4, DIGIT0 + 3]
    assert part.targets[0, 2].tolist() == [DIGIT0 + d for d in (2, 1, 4, 3)]
    assert part.difficulty.tolist() == [3.0]


def test_maze_rows_by_hand(tmp_path):
    """Guards: leading blanks are cells and survive."""
    file = tmp_path / "test.csv"
    file.write_text(MAZE + "x,  S ##  G,S   ##  G,2\n")
    with pytest.raises(CogmentError, match="line 2: the answer is not the question with a path"):
        maze_csv.read(file)
    file.write_text(MAZE + "x,  S##   G,  S##o  G,2\n")
    part = maze_csv.read(file)
    assert part.inputs[0, 0, 2] == START and part.inputs[0, 2, 2] == GOAL
    assert part.difficulty.tolist() == [2.0]


@pytest.mark.parametrize(
    ("reader", "text", "message"),
    [
        (sudoku_csv.read, "", "empty; needs the columns"),
        (sudoku_csv.read, "a,b\n1,2\n", "line 1: no column 'question'"),
        (sudoku_csv.read, SUDOKU, "no puzzle"),
        (sudoku_csv.read, SUDOKU + "x,12\n", "line 2: 2 values, not 4"),
        (sudoku_csv.read, SUDOKU + "x,123,123,1\n", "line 2: question and answer must both"),
        (sudoku_csv.read, GOOD.replace("12343412.", "1234341x."), "line 2, question: only digits"),
        (sudoku_csv.read, GOOD.replace(",12343412", ",92343412"), "only digits up to 4"),
        (sudoku_csv.read, GOOD.replace(",3\r", ",nan\r"), "rating 'nan' is not a number"),
        (sudoku_csv.read, GOOD.replace("4321,3", "4312,3"), "does not solve the question"),
        (maze_csv.read, MAZE + "x,S  ,S  ,1\n", "line 2: 3 cells are not a square"),
        (maze_csv.read, MAZE + "x,S?#G,SoG#,1\n", "line 2: '\\?' is none of"),
        (maze_csv.read, MAZE + "x,S##G,S##G,1\n", "no way from S to G"),
        (maze_csv.read, MAZE + "x,S  G,S  G,1\n", "not a shortest one"),
        (maze_csv.read, MAZE + "x,SS #,SS #,1\n", "not one S and one G"),
        (listops_tsv.read, "", "no expression"),
        (listops_tsv.read, "3 [MAX 3 ]\n", "line 1: needs two columns"),
        (listops_tsv.read, "3\t[MAX 3 ]\n4\t[MAX 3 ]\n", "line 2: label '4', but the value is 3"),
        (listops_tsv.read, "3\t[AVG 3 ]\n", "'\\[AVG' is not a ListOps token"),
        (listops_tsv.read, "3\t[MAX 3\n", "line 1: the expression is not closed"),
        (listops_tsv.read, "Source\tTarget\n[MAX 3 ]\t3\n[MIN 2 X\tx\n", "line 3: label 'x'"),
    ],
)
def test_damaged_files_are_one_line_with_the_line_number(tmp_path, reader, text, message):
    """Guards: every kind of damage names the file, and the line where there is one."""
    file = tmp_path / "data.csv"
    file.write_bytes(text.encode())
    with pytest.raises(CogmentError, match=message) as caught:
        reader(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


def write_npz(path, x, y, **more):
    arrays = {"x_train": x, "y_train": y, "x_test": x[:2] + 1, "y_test": y[:2]} | more
    np.savez(path, **arrays)


def test_own_grids_from_npz_reach_a_batch(tmp_path):
    """Guards: own values are symbols as they are; -1 is not scored; train carves validation."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 60, size=(80, 3, 5))
    y = x.copy()
    y[:, 0, 0] = -1
    write_npz(tmp_path / "own.npz", x, y)
    task = {"generator": "grids", "params": {"path": str(tmp_path / "own.npz")}}
    prepare_stage(2, stage_slice("mine", task, {}), tmp_path / "out")
    data = load_stage(tmp_path / "out", "train")["mine"]
    assert data.shape == (3, 5) and data.task_id == 14
    batch = data.batch(np.arange(len(data)))
    assert (batch.targets[:, 0, 0] == -100).all()
    assert np.array_equal(batch.targets[:, 1:], batch.inputs[:, 1:])
    known = {row.tobytes() for row in x}
    assert all(row.tobytes() in known for row in batch.inputs)
    assert len(load_stage(tmp_path / "out", "test")["mine"]) == 2
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()
    corpora = {"mine": {"path": str(tmp_path / "own.npz"), "kind": "grids"}}
    prepare_stage(2, stage_slice("mine", {"corpus": "mine"}, corpora), tmp_path / "out2")
    assert len(load_stage(tmp_path / "out2", "train")["mine"]) == len(data)


def test_own_grids_from_csv_with_offset(tmp_path):
    """Guards: one digit a cell or numbers set apart by blanks; offset keeps 0 from padding."""
    file = tmp_path / "mine.csv"
    rows = "".join(f"{i:02d}0{i % 10},{i:02d}1{i % 10}\n" for i in range(60))
    file.write_text("question,answer\n" + rows)
    params = own_grids.OwnGridParams(height=2, width=2, offset=1)
    loaded = own_grids.load({"path": file}, NO_LIMIT, DRAWS, params)
    part = loaded.splits["train"]
    assert part.inputs.shape[1:] == (2, 2) and part.inputs.min() == 1
    assert (part.targets[:, 1, 0] == 2).all() and (part.inputs[:, 1, 0] == 1).all()
    file.write_text("question,answer\n12 3,12 40\n")
    assert own_grids.read_csv(file, own_grids.OwnGridParams()).targets.tolist() == [[[12, 40]]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_test": np.ones((2, 3))}, "questions are float64, not whole numbers"),
        ({"x_test": np.full((2, 3), 64)}, r"must lie in 0\.\.63, not 64\.\.64"),
        ({"y_test": np.full((2, 3), -2)}, r"answers must lie in -1\.\.63"),
        ({"y_test": np.full((2, 3), -1)}, "item 1 has no answer cell"),
        ({"y_test": np.ones((1, 3), int)}, "must be equal"),
        ({"x_test": np.ones((0, 3), int), "y_test": np.ones((0, 3), int)}, "must be equal"),
    ],
)
def test_bad_arrays_are_one_line(tmp_path, change, message):
    """Guards: wrong types, values and shapes in an .npz name the file and the part."""
    x = np.arange(12).reshape(4, 3)
    write_npz(tmp_path / "own.npz", x, x + 1, **change)
    with pytest.raises(CogmentError, match=message):
        own_grids.read_npz(tmp_path / "own.npz", own_grids.OwnGridParams())


def test_missing_things_say_what_to_do(tmp_path):
    """Guards: absent files, arrays and paths are one line that says how to mend it."""
    with pytest.raises(CogmentError, match=r"params\.path: missing; name the \.npz"):
        prepare_stage(2, stage_slice("mine", {"generator": "grids"}, {}), tmp_path / "out")
    with pytest.raises(CogmentError, match="write x_train"):
        own_grids.load({"path": tmp_path / "no.npz"}, NO_LIMIT, DRAWS, own_grids.OwnGridParams())
    np.savez(tmp_path / "a.npz", x_train=np.ones(3, int))
    with pytest.raises(CogmentError, match="no array 'y_train'"):
        own_grids.read_npz(tmp_path / "a.npz", own_grids.OwnGridParams())
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:40])
    with pytest.raises(CogmentError, match=r"b\.npz: not a readable \.npz"):
        own_grids.read_npz(tmp_path / "b.npz", own_grids.OwnGridParams())
    with pytest.raises(CogmentError, match="no path is configured"):
        prepare_stage(2, stage_slice("s", {"corpus": "maze_hard"}, {"x": {}}), tmp_path / "out")
    with pytest.raises(CogmentError, match=r"corpora\.maze_hard: no \.csv file at .*huggingface"):
        maze_csv.load({"path": tmp_path / "nowhere"}, NO_LIMIT, DRAWS)


def test_a_held_out_group_leaves_training(tmp_path):
    """Guards: a training puzzle that is a symmetry of a test puzzle is dropped and counted."""
    made = generate(SudokuParams(side=9), {"train": 40, "test": 1}, DRAWS)
    question = made["test"].inputs[0].T
    answer = made["test"].targets[0].T
    parts = {
        "test": made["test"],
        "train": sudoku_csv.read(_csv(tmp_path / "t.csv", question, answer)),
    }
    assert parts["train"].group[0] == parts["test"].group[0]
    assert parts["train"].item[0] != parts["test"].item[0]
    parts["train"] = join([parts["train"], made["train"]])
    splits, dropped = assign(parts, NO_LIMIT, DRAWS)
    assert dropped == {"train: group is held out": 1} or dropped == {
        "validation: group is held out": 1
    }
    assert len(splits["train"]) + len(splits["validation"]) == 40
    assert not (splits["train"].inputs == question).all(axis=(1, 2)).any()


def _csv(file, question, answer):
    texts = [
        "".join("." if s == BLANK else str(s - DIGIT0) for s in grid.ravel().tolist())
        for grid in (question, answer)
    ]
    file.write_text(f"{SUDOKU}x,{texts[0]},{texts[1]},0\n")
    return file


READERS = (sudoku_csv.read, maze_csv.read, listops_tsv.read)
SEEDS = (
    GOOD,
    MAZE + "x,S  G,So G,1\n",
    "7\t( ( [SM 4 ) 3 ) ]\n5\t[MED 5 4 6 ]\n",
    "Source\tTarget\n[MIN 2 3 ]\t2\n",
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10**9))
def test_no_damage_ends_in_a_traceback(tmp_path, seed):
    """Guards: 200 random cuts, insertions and swaps are read or are a one-line error."""
    rng = random.Random(seed)
    data = bytearray(rng.choice(SEEDS).encode())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(5)
        if what == 0:
            del data[at:]
        elif what == 1:
            data[at:at] = rng.choice([b"\x00", b"\xff\xfe", b'"', b"\t", b",", b"\r\n", b"\n\n"])
        elif what == 2 and at < len(data):
            data[at] = ord(rng.choice(string.printable))
        elif what == 3:
            data[at:at] = b"9" * rng.choice([1, 5000])
        else:
            data[:0] = b"\xef\xbb\xbf"
    file = tmp_path / "fuzz.csv"
    file.write_bytes(bytes(data))
    for reader in READERS:
        try:
            reader(file)
        except CogmentError as error:
            assert "\n" not in str(error) and "fuzz.csv" in str(error)


def test_check_describes_files_and_prepared_folders(tmp_path):
    """Guards: `data check` says what a path is, how many items it has and what would go."""
    (tmp_path / "train.csv").write_text(GOOD + GOOD.splitlines()[1] + "\n")
    told = check_path(tmp_path / "train.csv")
    assert "Sudoku" in told and "2 items of 4 x 4" in told and "1 repeated would be dropped" in told
    (tmp_path / "a.tsv").write_text("3\t[MAX 3 1 ]\n3\t[MAX 1 3 ]\n")
    assert "2 expressions of 4 to 4 symbols; 1 repeated ones would" in check_path(
        tmp_path / "a.tsv"
    )
    x = np.arange(12).reshape(4, 3)
    write_npz(tmp_path / "own.npz", x, x + 1)
    assert "train: 4 items of 1 x 3" in check_path(tmp_path / "own.npz")
    with pytest.raises(CogmentError, match="no such file"):
        check_path(tmp_path / "nothing")
    told = check_path(tmp_path)  # three layouts in one folder: what is not read is said
    assert "not read with these: own.npz (own grids) and 1 more" in told
    (tmp_path / "x.bin").write_text("?")
    with pytest.raises(CogmentError, match="not data that is known"):
        check_path(tmp_path / "x.bin")
