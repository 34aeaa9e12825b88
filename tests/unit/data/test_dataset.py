"""Prepared stages on disk: bytes, batches, gold answers, damage."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.manifest import read_manifest, verify_outputs
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.data.storage import (
    canonical_json,
    read_array,
    read_json,
    sha256_file,
    write_array,
    write_atomic,
)
from cogment_pipe.errors import CogmentError

SIZES = {"train": 40, "validation": 8, "test": 16}


def stage_slice(**changes):
    tasks = {
        name: {"generator": name, "weight": 1.0, "batch_size": None, "params": {}, **SIZES}
        for name in ("sudoku", "maze", "listops")
    }
    tasks["maze"] |= {"weight": 2.0, "batch_size": 4, "params": {"side": 7}}
    stage = {
        "sequence_length": 128,
        "source": "builtin",
        "augmentation_rate": 0.5,
        "augmentation_types": ["symmetry", "shuffle_ops"],
        "augmentations_per_task": 300,
        "tasks": tasks,
        "corpora": {},
    }
    return {"seed": 0, "scale": "tiny", "stage": stage | changes, "corpora": {}}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    out = tmp_path_factory.mktemp("stage2")
    prepare_stage(2, stage_slice(), out)
    return out


def test_tasks_come_in_the_configured_order_with_their_settings(stage):
    """Guards: order, weight, batch size, metric and task id reach the trainer."""
    data = load_stage(stage, "train")
    assert list(data) == ["sudoku", "maze", "listops"]
    assert [d.weight for d in data.values()] == [1.0, 2.0, 1.0]
    assert [d.batch_size for d in data.values()] == [None, 4, None]
    assert [d.metric for d in data.values()] == ["grid_exact", "maze", "listops"]
    assert [d.task_id for d in data.values()] == [4, 5, 6]
    for split, n in SIZES.items():
        for task in load_stage(stage, split).values():
            assert len(task) == len(task.difficulty) == n and task.kind == "grid"


def test_rows_padded_on_the_right_have_sizes(stage):
    """Guards: `length_buckets` and micro-batches know how long ListOps rows are."""
    data = load_stage(stage, "train")
    assert data["sudoku"].sizes is None and data["maze"].sizes is None
    sizes, inputs = data["listops"].sizes, data["listops"].batch(np.arange(40)).inputs
    assert len(set(sizes.tolist())) > 5
    for row, size in zip(inputs[:, 0], sizes, strict=True):
        assert row[size - 1] != 0 and not row[size:].any()


def test_batch_is_a_pure_function_of_its_arguments(stage):
    """Guards: equal arguments give equal batches, whatever came before."""
    for task in load_stage(stage, "train").values():
        index = np.array([3, 1, 3])
        one = task.batch(index, rng=np.random.default_rng(7), augment=True)
        task.batch(np.arange(5), rng=np.random.default_rng(1), augment=True)
        two = task.batch(index, rng=np.random.default_rng(7), augment=True)
        assert np.array_equal(one.inputs, two.inputs) and np.array_equal(one.targets, two.targets)
        assert one.inputs.dtype == one.targets.dtype == np.int64
        assert one.inputs.shape == one.targets.shape == (3, *task.shape)
        one.inputs[:] = 0  # a batch is the trainer's own
        assert task.batch(index).inputs.any()


def test_answers_can_be_hidden_and_gold_has_them(stage):
    """Guards: evaluation batches carry no answer; gold is JSON-able and equals the targets."""
    for task in load_stage(stage, "test").values():
        shown, hidden = task.batch(np.arange(4)), task.batch(np.arange(4), answers=False)
        assert (hidden.targets == -100).all() and np.array_equal(hidden.inputs, shown.inputs)
        for i in range(4):
            gold = json.loads(json.dumps(task.gold(i)))
            assert gold["target"] == shown.targets[i].tolist()
            assert gold["input"] == shown.inputs[i].tolist()
        with pytest.raises(ValueError, match="rng"):
            task.batch(np.arange(2), augment=True)


def test_the_same_slice_gives_the_same_bytes_in_another_process(stage, tmp_path):
    """Guards: byte-identical data for the same seed; canonical manifest without a path."""
    code = (
        "import json, sys; from pathlib import Path;"
        "from cogment_pipe.data.prepare import prepare_stage;"
        "prepare_stage(2, json.loads(sys.argv[1]), Path(sys.argv[2]))"
    )
    out = tmp_path / "other"
    project = Path(__file__).resolve().parents[3]
    subprocess.run(
        [sys.executable, "-c", code, json.dumps(stage_slice()), str(out)], check=True, cwd=project
    )
    names = sorted(file.name for file in stage.iterdir())
    assert names == sorted(file.name for file in out.iterdir())
    for name in names:
        assert (stage / name).read_bytes() == (out / name).read_bytes(), name
    text = (stage / "manifest.json").read_text()
    assert text == canonical_json(json.loads(text)) and str(stage) not in text


def test_manifest_lists_every_file_with_its_hash_and_no_leak(stage):
    """Guards: sha256 of every output, counts of every split, leak counts all 0."""
    manifest = read_manifest(stage)
    files = {file.name for file in stage.iterdir()} - {"manifest.json"}
    assert set(manifest["outputs"]) == files
    assert all(sha256_file(stage / n) == digest for n, digest in manifest["outputs"].items())
    assert len(manifest["leaks"]) == 27 and set(manifest["leaks"].values()) == {0}
    assert manifest["tasks"]["maze"]["splits"]["test"]["items"] == 16
    assert "288 solution grids" in manifest["tasks"]["sudoku"]["split_note"]
    verify_outputs(stage)


def test_another_seed_gives_other_items(stage, tmp_path):
    """Guards: the seed matters."""
    prepare_stage(2, stage_slice() | {"seed": 1}, tmp_path)
    one, two = load_stage(stage, "train"), load_stage(tmp_path, "train")
    for name in one:
        assert not np.array_equal(
            one[name].batch(np.arange(20)).inputs, two[name].batch(np.arange(20)).inputs
        )


def test_damage_is_one_line_that_names_the_file(stage, tmp_path):
    """Guards: missing, cut and changed files are told apart and named."""
    for file in stage.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    target = tmp_path / "maze.train.inputs.npy"
    whole = target.read_bytes()
    target.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CogmentError, match=r"maze\.train\.inputs\.npy: changed since"):
        verify_outputs(tmp_path)
    target.write_bytes(whole[:100])
    with pytest.raises(CogmentError, match=r"maze\.train\.inputs\.npy: not a readable"):
        load_stage(tmp_path, "train")
    target.unlink()
    with pytest.raises(CogmentError, match=r"maze\.train\.inputs\.npy: missing"):
        load_stage(tmp_path, "train")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CogmentError, match=r"manifest\.json, line 1: not JSON"):
        load_stage(tmp_path, "train")
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(CogmentError, match=r"manifest\.json: no such file"):
        load_stage(tmp_path, "train")
    with pytest.raises(CogmentError, match="has no split 'dev'"):
        load_stage(stage, "dev")


def test_items_above_sequence_length_are_refused(tmp_path):
    """Guards: a stage never gets items longer than its sequence_length."""
    with pytest.raises(CogmentError, match=r"stages\.2\.tasks\.maze: items of 49 cells exceed"):
        prepare_stage(2, stage_slice(sequence_length=40), tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """Guards: writes are atomic; no half file, no temporary file is left."""
    path = tmp_path / "a.npy"
    write_array(path, np.arange(3))

    def fail(handle):
        handle.write(b"half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    assert read_array(path).tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]


def test_broken_json_names_its_line(tmp_path):
    """Guards: JSON errors name file and line; a byte order mark is read over."""
    file = tmp_path / "x.json"
    file.write_text('{\n"a": 1,\n}')
    with pytest.raises(CogmentError, match=r"x\.json, line 3: not JSON"):
        read_json(file)
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(file) == {"a": 1}
    file.write_bytes(b"\xff\xfe{")
    with pytest.raises(CogmentError, match=r"x\.json: not JSON"):
        read_json(file)
