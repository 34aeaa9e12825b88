"""Leak checks and the hashes they stand on."""

import numpy as np
import pytest

from cogment_pipe.data.generators import (
    SPLITS,
    Draws,
    GridSplit,
    collect,
    dihedral_hash,
    hash_rows,
    split_of,
)
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.data.splits import refuse_leaks, task_leaks
from cogment_pipe.data.storage import write_array
from cogment_pipe.errors import CogmentError


def write_hashes(out, groups, items):
    for split in SPLITS:
        write_array(out / f"t.{split}.group.npy", np.array(groups[split], dtype=np.uint64))
        write_array(out / f"t.{split}.item.npy", np.array(items[split], dtype=np.uint64))


def test_a_planted_leak_is_found_and_refused(tmp_path):
    """Guards: a group shared by train and test, and a repeated item, are counted and refused."""
    groups = {"train": [1, 2, 3], "validation": [4], "test": [3, 5]}
    items = {"train": [10, 11, 11], "validation": [12], "test": [13, 14]}
    write_hashes(tmp_path, groups, items)
    leaks = task_leaks(tmp_path, "t")
    assert leaks.pop("t: groups in train and test") == 1
    assert leaks.pop("t: repeated in train") == 1
    assert set(leaks.values()) == {0} and len(leaks) == 7
    with pytest.raises(CogmentError, match="stage 2: leak between splits: 1 x t: groups in train"):
        refuse_leaks(2, task_leaks(tmp_path, "t"))
    refuse_leaks(2, leaks)


def test_preparing_a_leaking_stage_fails(tmp_path, monkeypatch):
    """Guards: prepare writes no manifest when two splits share a group."""
    from cogment_pipe.data.generators import linear_map

    whole = linear_map.generate

    def leaking(params, counts, draws):
        splits = whole(params, counts, draws)
        splits["test"] = splits["train"].take(np.arange(5))
        return splits

    monkeypatch.setattr(linear_map, "generate", leaking)
    task = {"generator": "linear_map", "train": 20, "validation": 5, "test": 5, "params": {}}
    part = {
        "seed": 0,
        "stage": {"sequence_length": 64, "tasks": {"linear_map": task}, "source": "builtin"},
    }
    with pytest.raises(CogmentError, match="leak between splits: 5 x linear_map: groups in train"):
        prepare_stage(0, part, tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_split_shares_and_independence_of_order():
    """Guards: a group's split depends on its hash alone and follows the shares."""
    hashes = hash_rows(np.arange(20000)[:, None])
    number = split_of(hashes)
    assert np.array_equal(number[::-1], split_of(hashes[::-1]))
    shares = np.bincount(number) / len(number)
    assert np.abs(shares - [0.7, 0.1, 0.2]).max() < 0.02


def test_hashes_see_every_cell_and_its_place():
    """Guards: hash_rows tells rows apart by any one cell and by order; images share a hash."""
    rows = np.array([[1, 2, 3], [1, 3, 2], [1, 2, 4], [0, 2, 3], [1, 2, 3]])
    hashes = hash_rows(rows)
    assert len(np.unique(hashes)) == 4 and hashes[0] == hashes[4]
    grid = np.arange(9).reshape(1, 3, 3)
    assert dihedral_hash(grid) == dihedral_hash(np.rot90(grid, axes=(1, 2)))


def block(size):
    def make(rng, split):
        item = rng.integers(1 << 40, size=size).astype(np.uint64)
        cells = (item % np.uint64(50)).astype(np.uint8).reshape(-1, 1, 1)
        return GridSplit(cells, cells, np.zeros(size), item, item)

    return make


def test_collect_is_made_of_keyed_blocks():
    """Guards: block b of a split is the same wherever it is made; items are distinct."""
    draws = Draws(0, 0, "t")
    part = collect(draws, "train", 150, block(64))
    made = [block(64)(draws.stream("train", b), "train").item for b in (2, 0, 1)]
    first = np.concatenate([made[1], made[2], made[0]])[:150]
    assert sorted(part.item.tolist()) == sorted(first.tolist())


def test_collect_keeps_classes_below_their_cap():
    """Guards: no class is kept more often than its cap."""
    part = collect(
        Draws(0, 0, "t"), "test", 100, block(64), caps=lambda p: p.inputs[:, 0, 0] % 5, cap=21
    )
    assert np.bincount(part.inputs[:, 0, 0] % 5).max() <= 21


def test_collect_says_when_there_is_not_enough():
    """Guards: asking for more items than exist ends with one line, not an endless loop."""

    def same(rng, split):
        one = np.ones(4, dtype=np.uint64)
        cells = np.ones((4, 1, 1), dtype=np.uint8)
        return GridSplit(cells, cells, np.zeros(4), one, one)

    with pytest.raises(
        CogmentError, match=r"stages\.0\.tasks\.t\.train: 2 items asked for, but on"
    ):
        collect(Draws(0, 0, "t"), "train", 2, same)
