"""Symmetric views: each is a symmetry, answers come back as they went, and the vote is a count."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import cogment_pipe
from cogment_pipe import cli
from cogment_pipe.data.own_puzzles import has_boxes
from cogment_pipe.errors import CogmentError
from cogment_pipe.inference import Refined
from cogment_pipe.views import Symmetries, built_in, read_symmetries, refine_views, vote
from tests.unit import own_models
from tests.unit.test_fit import words

SUDOKU = Symmetries(("permute_bands", "relabel_digits"), tuple(range(2, 11)))


@pytest.fixture(scope="module")
def solved() -> np.ndarray:
    """(1, 9, 9) a solved Sudoku in the symbols 2 to 10."""
    rows = [[(3 * (r % 3) + r // 3 + c) % 9 for c in range(9)] for r in range(9)]
    return np.array([rows]) + 2


def identity(grids: np.ndarray) -> Refined:
    """A model that says what it was shown, after every one of two steps."""
    cells = torch.from_numpy(grids.reshape(len(grids), -1))
    count = torch.arange(1, len(grids) + 1)
    trust = torch.full((len(grids),), 0.5)
    return Refined(cells, count, count, trust, torch.stack([cells] * 2), torch.stack([trust] * 2))


def test_every_view_is_a_symmetry_and_no_two_are_alike(solved):
    """A solved Sudoku stays one; the first view is the grid itself; the seed decides the rest."""
    views = SUDOKU.views((9, 9), 16, seed=3)
    shown = np.stack([view.apply(solved[0]) for view in views])
    assert np.array_equal(shown[0], solved[0])
    assert has_boxes(shown) and len(np.unique(shown, axis=0)) == 16
    again = [view.apply(solved[0]) for view in SUDOKU.views((9, 9), 16, seed=3)]
    assert np.array_equal(shown, np.stack(again))
    other = [view.apply(solved[0]) for view in SUDOKU.views((9, 9), 16, seed=4)]
    assert not np.array_equal(shown, np.stack(other))


def test_all_eight_images_of_a_square_are_found_and_no_ninth():
    """Views are different ones: eight turns and mirrors, an error that counts them beyond."""
    square = Symmetries(("dihedral",))
    assert len({view.cells.tobytes() for view in square.views((5, 5), 8, seed=0)}) == 8
    with pytest.raises(ValueError, match="views: these grids have 8, not 9"):
        square.views((5, 5), 9, seed=0)


@pytest.mark.parametrize("shape", [(4, 6), (5, 7)])
def test_grids_that_are_no_squares_have_none(shape):
    """One line that names the size."""
    with pytest.raises(ValueError, match=f"{shape[0]} x {shape[1]} have no symmetries"):
        Symmetries(("dihedral",)).views(shape, 2, seed=0)


def test_answers_come_back_as_they_went(solved):
    """Turned, renamed and back: a model that repeats its input repeats the grid, at every step."""
    grids = np.concatenate([solved, SUDOKU.views((9, 9), 2, seed=9)[1].apply(solved[0])[None]])
    found = refine_views(identity, grids, SUDOKU.views((9, 9), 8, seed=1))
    assert np.array_equal(found.prediction.view(2, 9, 9).numpy(), grids)
    assert np.array_equal(found.by_step.view(2, 2, 9, 9).numpy(), np.stack([grids] * 2))
    assert found.steps.tolist() == [1, 2]
    assert found.exact.tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("symbol", [-1, 64])
def test_a_symbol_that_there_is_not_is_refused(solved, symbol):
    """A negative one would be looked up from the table's end, unseen."""
    with pytest.raises(ValueError, match=r"symbols must lie in 0\.\.63"):
        refine_views(identity, np.full_like(solved, symbol), SUDOKU.views((9, 9), 2, seed=0))


def test_the_vote_is_a_sum_of_trust():
    """Two that agree beat one that is surer; of equals the first."""
    answers = torch.tensor([[[1, 1], [5, 5]], [[2, 2], [6, 6]], [[2, 2], [7, 7]]])
    trust = torch.tensor([[0.9, 0.3], [0.5, 0.3], [0.5, 0.2]])
    best, share = vote(answers, trust)
    assert best.tolist() == [[2, 2], [5, 5]]
    assert share.tolist() == pytest.approx([1.0 / 3, 0.1])


def test_the_vote_agrees_with_a_slow_count():
    """Random answers of few values, 5 views, 3 steps, 40 rows, against a dictionary."""
    draws = torch.Generator().manual_seed(0)
    answers = torch.randint(0, 2, (5, 3, 40, 2), generator=draws)
    trust = torch.rand(5, 3, 40, generator=draws)
    best, share = vote(answers, trust)
    for step in range(3):
        for row in range(40):
            sums: dict[tuple, float] = {}
            for answer, weight in zip(answers[:, step, row], trust[:, step, row], strict=True):
                key = tuple(answer.tolist())
                sums[key] = sums.get(key, 0.0) + float(weight)
            winner = max(sums, key=sums.get)
            assert tuple(best[step, row].tolist()) == winner
            assert float(share[step, row]) == pytest.approx(sums[winner] / 5)


def test_built_in_puzzles_have_those_of_their_rules(solved):
    """Sudokus keep their boxes, mazes turn, and ListOps has none."""
    views = built_in("sudoku", (9, 9)).views((9, 9), 4, seed=0)
    assert has_boxes(np.stack([view.apply(solved[0]) for view in views]))
    assert built_in("maze", (9, 9)).types == ("dihedral",)
    assert built_in("sudoku", (5, 5)) is None and built_in("listops", (1, 60)) is None


# -- fit and predict ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("views") / "sudoku.npz"
    own_models.write_sudokus(path)
    return path


def test_fit_counts_the_vote_beside_the_single_pass_and_trains_once(data, tmp_path, capsys):
    """A finished folder asked for views is tested again and not trained again."""
    out = tmp_path / "out"
    call = words(data, out, "--augment", "bands,relabel")
    assert cli.main(call) == 0
    alone = json.loads(capsys.readouterr().out)
    weights = (out / "model.safetensors").stat().st_mtime_ns
    assert cli.main([*call, "--views", "4"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert (out / "model.safetensors").stat().st_mtime_ns == weights
    assert both["exact"] == alone["exact"] and "voted" not in alone
    with np.load(data) as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    found = cogment_pipe.load(out, device="cpu").solve(x, views=4)
    right = found.by_step == y
    assert both["voted"]["views"] == 4
    wanted = list(right.all(axis=(2, 3)).mean(axis=1))
    assert both["voted"]["by_step"] == pytest.approx(wanted, rel=1e-5)
    assert np.array_equal(found.by_step[-1], found.grid)
    assert cli.main(call) == 0
    assert json.loads(capsys.readouterr().out) == both
    answers = tmp_path / "answers.npy"
    files = ["--data", str(data), "--out", str(answers)]
    asked = ["predict", "--model", str(out), *files, "--views", "4", "--device", "cpu"]
    assert cli.main(asked) == 0
    assert np.array_equal(np.load(answers), found.grid)


def test_an_answer_does_not_depend_on_its_batch(data, tmp_path, capsys):
    """One grid alone and among others: the same views, so the same answer."""
    out = tmp_path / "out"
    assert cli.main(words(data, out, "--augment", "relabel")) == 0
    solver = cogment_pipe.load(out, device="cpu")
    with np.load(data) as arrays:
        x = arrays["x_test"]
    assert np.array_equal(solver.solve(x[3], views=3).grid, solver.solve(x, views=3).grid[3])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--views", "2"), "--views: needs grids whose symmetries --augment names"),
        (("--augment", "dihedral", "--views", "9"), "--views: these grids have 8, not 9"),
    ],
)
def test_views_that_there_are_not_are_refused_before_training(
    data, tmp_path, capsys, more, message
):
    """One line, exit 2, nothing trained."""
    assert cli.main(words(data, tmp_path / "out", *more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_a_model_without_symmetries_says_so(data, tmp_path, capsys):
    """`fit` without --augment leaves none behind."""
    out = tmp_path / "out"
    assert cli.main(words(data, out)) == 0
    with np.load(data) as arrays:
        x = arrays["x_test"]
    with pytest.raises(ValueError, match="no symmetries are known of 'grids'"):
        cogment_pipe.load(out, device="cpu").solve(x, views=2)


def test_a_damaged_record_is_one_line(tmp_path):
    """fit.json that is no record: its name, and what it may be."""
    assert read_symmetries(tmp_path / "fit.json") is None
    (tmp_path / "fit.json").write_text('{"symmetries": {"types": 3}}')
    with pytest.raises(CogmentError, match=r"fit\.json: damaged"):
        read_symmetries(tmp_path / "fit.json")
