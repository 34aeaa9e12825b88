"""The recipe of `fit`: which mixer a puzzle gets, and how much refinement."""

from __future__ import annotations

import numpy as np
import pytest

from cogment_pipe.data.generators import GridSplit
from cogment_pipe.data.own_puzzles import Puzzles
from cogment_pipe.fit_recipe import Wish, choose_mixer, grid_slice

ANSWERS = {
    "latin": np.array([[2, 3], [3, 2]], np.uint8),
    "free": np.array([[2, 2], [3, 2]], np.uint8),
}


def puzzles(answer: str, kind: str, tiles: int = 1) -> Puzzles:
    """One item, its answer repeated `tiles` times along rows and columns."""
    targets = np.tile(ANSWERS[answer], (tiles, tiles))[None]
    one = np.zeros(1, np.uint64)
    split = GridSplit(np.ones_like(targets), targets, np.zeros(1, np.float32), one, one)
    return Puzzles({"train": split, "test": split}, kind, [], {})


@pytest.mark.parametrize(
    ("answer", "kind", "mixer"),
    [
        ("latin", "sudoku", "token_mlp"),
        ("free", "maze", "convolution"),
        ("free", "values", "attention"),
    ],
)
def test_each_kind_of_puzzle_has_its_mixer(answer, kind, mixer):
    """And a word of why, which the command line shows; what is asked for wins."""
    found, why = choose_mixer(puzzles(answer, kind), "auto")
    assert found == mixer and why
    assert choose_mixer(puzzles(answer, kind), "attention") == ("attention", "asked for")
    model = grid_slice(puzzles(answer, kind), Wish(0, 1), 10).model
    assert (model.mixer, model.conv) == (mixer, mixer != "token_mlp")


@pytest.mark.parametrize(("kind", "norm"), [("maze", 0.1), ("values", 1.0)])
def test_mazes_have_a_lower_clip_norm_unless_one_is_asked_for(kind, norm):
    """The recipe's own norm is a default like any other: `--set` wins."""
    found = grid_slice(puzzles("free", kind), Wish(0, 1), 10)
    assert found.optimizer.clip_norm == norm
    asked = Wish(0, 1, changes=("optimizer.clip_norm=0.5",))
    assert grid_slice(puzzles("free", kind), asked, 10).optimizer.clip_norm == 0.5


@pytest.mark.parametrize(("side", "steps"), [(6, 8), (12, 16), (18, 24)])
def test_a_larger_maze_is_refined_longer(side, steps):
    """A path as long as the maze must be walked: four steps for every three cells of a side."""
    slice = grid_slice(puzzles("free", "maze", side // 2), Wish(0, 1), 10)
    assert slice.stage.max_refinement_steps == steps
    asked = Wish(0, 1, changes=("max_refinement_steps=5",))
    assert grid_slice(puzzles("free", "maze"), asked, 10).stage.max_refinement_steps == 5
