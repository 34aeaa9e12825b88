"""Sudoku: unique solutions by a second algorithm, symmetry classes, splits."""

import shutil
import subprocess

import numpy as np
import pytest

from cogment_pipe.data.generators import Draws, parse_params
from cogment_pipe.data.generators.sudoku import SudokuParams, generate
from cogment_pipe.data.generators.sudoku_group import (
    class_hash,
    geometry,
    orbit_hash,
    random_moves,
    relabelled,
)
from cogment_pipe.data.generators.sudoku_small import all_4x4, allowed_moves, split_4x4
from cogment_pipe.data.generators.sudoku_solver import (
    BOX_SHAPE,
    candidates,
    count_is_one,
    plain_backtracks,
    random_solutions,
    solve,
)
from cogment_pipe.data.symbols import BLANK, DIGIT0
from cogment_pipe.errors import CogmentError

DRAWS = Draws(seed=5, stage=2, task="sudoku")


def count_by_exact_cover(puzzle, side, most=2):
    """Number of solutions (up to `most`) by Knuth's algorithm X on sets, sharing no code."""
    high, wide = BOX_SHAPE[side]
    options = {}
    for r in range(side):
        for c in range(side):
            box = r // high * (side // wide) + c // wide
            for d in range(1, side + 1):
                options[r, c, d] = [("c", r, c), ("r", r, d), ("k", c, d), ("b", box, d)]
    columns = {}
    for option, needs in options.items():
        for need in needs:
            columns.setdefault(need, set()).add(option)

    def select(option):
        removed = []
        for need in options[option]:
            for other in columns[need]:
                for elsewhere in options[other]:
                    if elsewhere != need:
                        columns[elsewhere].discard(other)
            removed.append(columns.pop(need))
        return removed

    def deselect(option, removed):
        for need in reversed(options[option]):
            columns[need] = removed.pop()
            for other in columns[need]:
                for elsewhere in options[other]:
                    if elsewhere != need:
                        columns[elsewhere].add(other)

    def search(left):
        if not columns:
            return 1
        need = min(columns, key=lambda k: len(columns[k]))
        found = 0
        for option in list(columns[need]):
            removed = select(option)
            found += search(left - found)
            deselect(option, removed)
            if found >= left:
                break
        return found

    for cell, digit in enumerate(puzzle):
        if digit:
            select((cell // side, cell % side, int(digit)))
    return search(most)


def puzzles_of(part):
    flat = part.inputs.reshape(len(part), -1).astype(int)
    return np.where(flat == BLANK, 0, flat - DIGIT0), part.targets.reshape(len(part), -1) - DIGIT0


@pytest.mark.parametrize(("side", "n"), [(4, 60), (6, 30), (9, 12)])
def test_every_puzzle_has_exactly_one_solution_by_exact_cover(side, n):
    """Guards: unique solutions, the stored answer among them, givens within their range."""
    params = SudokuParams(side=side)
    part = generate(params, {"train": n}, DRAWS)["train"]
    puzzles, answers = puzzles_of(part)
    low, high = params.givens
    for puzzle, answer in zip(puzzles, answers, strict=True):
        assert count_by_exact_cover(puzzle, side) == 1
        assert np.array_equal(puzzle[puzzle > 0], answer[puzzle > 0])
        assert low <= np.count_nonzero(puzzle) <= high
    assert count_is_one(puzzles.astype(np.uint8), side).all()
    assert np.array_equal(solve(candidates(puzzles, side), side).solution, answers)


@pytest.mark.skipif(shutil.which("qqwing") is None, reason="qqwing is not installed")
def test_qqwing_agrees_that_9x9_puzzles_are_unique():
    """Guards: an independent program counts one solution for every 9x9 puzzle."""
    part = generate(SudokuParams(side=9), {"train": 20}, DRAWS)["train"]
    text = "\n".join("".join(map(str, p)).replace("0", ".") for p in puzzles_of(part)[0])
    said = subprocess.run(
        ["qqwing", "--solve", "--csv", "--count-solutions"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    place = said[0].split(",").index("Solution Count")
    assert [row.split(",")[place] for row in said[1:]] == ["1"] * 20


def test_the_counter_sees_several_solutions():
    """Guards: the uniqueness tests can fail (an empty board and a two-solution one)."""
    assert count_by_exact_cover(np.zeros(16, int), 4) == 2
    assert not count_is_one(np.zeros((1, 16), np.uint8), 4)[0]
    impossible = np.zeros(16, dtype=np.uint8)
    impossible[[0, 1, 10, 14]] = 1, 2, 3, 4  # row 1 needs 3 or 4 below both of them
    assert count_by_exact_cover(impossible, 4) == 0
    assert not solve(candidates(impossible[None], 4), 4).found[0]


def test_the_288_solved_4x4_grids_and_their_two_classes():
    """Guards: 288 grids, 12 relabelling orbits of 24, classes of 96 and 192 (known counts)."""
    grids = all_4x4()
    assert len({g.tobytes() for g in grids}) == 288
    assert sorted(np.unique(orbit_hash(grids), return_counts=True)[1]) == [24] * 12
    assert sorted(np.unique(class_hash(grids), return_counts=True)[1]) == [96, 192]


@pytest.mark.parametrize("side", [4, 6, 9])
def test_class_hash_ignores_the_full_group(side):
    """Guards: equal class => equal hash, so a split by hash never parts a class."""
    rng = np.random.default_rng(0)
    grids = random_solutions(side, 20, rng)
    moved = np.take_along_axis(grids, random_moves(side, 20, rng), axis=1)
    names = np.argsort(rng.random((20, side)), axis=1).astype(np.uint8) + 1
    renamed = np.take_along_axis(names, moved.astype(int) - 1, axis=1)
    assert np.array_equal(class_hash(grids), class_hash(renamed))
    assert np.array_equal(relabelled(moved), relabelled(renamed))
    if side == 9:
        assert len(np.unique(class_hash(grids))) == 20


def test_moves_keep_solved_grids_solved_and_form_the_whole_group():
    """Guards: every move maps a solved grid to a solved grid; the groups have their known order."""
    assert len({tuple(m) for m in geometry(4).tolist()}) == len(geometry(4)) == 128
    assert len(geometry(6)) == 48 * 72
    grids = {g.tobytes() for g in all_4x4()}
    for cells in geometry(4):
        assert all_4x4()[3][cells].tobytes() in grids


@pytest.mark.parametrize("split", ["class", "orbit", "grid"])
def test_4x4_splits_are_disjoint_and_no_allowed_move_crosses_them(split):
    """Guards: augmented training grids can never be validation or test grids."""
    grids = all_4x4()
    groups, number = split_4x4(split)
    assert set(number.tolist()) == {0, 1, 2}
    for a in range(3):
        for b in range(a):
            assert not set(groups[number == a].tolist()) & set(groups[number == b].tolist())
    split_of_orbit = dict(zip(orbit_hash(grids).tolist(), number.tolist(), strict=True))
    moves = allowed_moves(split)
    assert np.array_equal(moves[0], np.arange(16))
    if split == "grid":
        assert len(moves) == 1
        return
    for cells in moves:
        for orbit, own in zip(orbit_hash(grids[:, cells]).tolist(), number.tolist(), strict=True):
            assert split_of_orbit[orbit] == own


def test_class_split_keeps_the_test_class_out_of_training():
    """Guards: 4x4 train and test puzzles come from different symmetry classes."""
    splits = generate(SudokuParams(), {"train": 80, "validation": 20, "test": 40}, DRAWS)
    classes = {s: set(class_hash(puzzles_of(p)[1]).tolist()) for s, p in splits.items()}
    assert classes["train"] == classes["validation"] != classes["test"]
    assert len(classes["train"]) == len(classes["test"]) == 1
    orbits = {s: set(orbit_hash(puzzles_of(p)[1]).tolist()) for s, p in splits.items()}
    assert not orbits["train"] & orbits["validation"]


def test_backtracks_by_hand():
    """Guards: the difficulty of small boards is the dead ends of a plain search."""
    solved = all_4x4()[0]
    assert plain_backtracks(solved.tolist(), 4) == 0
    one_blank = solved.copy()
    one_blank[5] = 0
    assert plain_backtracks(one_blank.tolist(), 4) == 0
    # Row 1 is 1 2 _ _: its third cell sees 3 and 4 in its column, so nothing fits.
    assert plain_backtracks([1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0], 4) == 1


def test_same_seed_same_bytes_and_splits_do_not_depend_on_one_another():
    """Guards: a split's bytes depend on the seed alone, not on what else was made."""
    both = generate(SudokuParams(), {"train": 30, "test": 20}, DRAWS)
    alone = generate(SudokuParams(), {"test": 20}, DRAWS)
    other = generate(SudokuParams(), {"test": 20}, Draws(6, 2, "sudoku"))
    assert both["test"].inputs.tobytes() == alone["test"].inputs.tobytes()
    assert other["test"].inputs.tobytes() != alone["test"].inputs.tobytes()


def test_impossible_numbers_are_one_line():
    """Guards: bad params and counts that cannot be met name stage, task and key."""
    with pytest.raises(CogmentError, match=r"stages\.2\.tasks\.sudoku\.params\.sied: unknown key"):
        parse_params(SudokuParams, {"sied": 4}, stage=2, task="sudoku")
    with pytest.raises(CogmentError, match="givens_min <= givens_max"):
        parse_params(SudokuParams, {"givens_min": 9, "givens_max": 5}, stage=2, task="sudoku")
    with pytest.raises(CogmentError, match=r"tasks\.sudoku\.train: 5000 items asked for"):
        generate(SudokuParams(givens_min=15, givens_max=15), {"train": 5000}, DRAWS)
