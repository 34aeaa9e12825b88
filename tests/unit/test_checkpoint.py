"""The checkpoint file: canonical bytes, safe and honest loading, exact flattening."""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cogment_pipe import checkpoint
from cogment_pipe.atomic import sha256_file
from cogment_pipe.errors import CogmentError

TENSORS = {
    "b/weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "a": torch.tensor([1.0, float("nan"), -0.0, float("inf")], dtype=torch.float64),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "mask": torch.tensor([True, False]),
    "none": torch.zeros(0, 3),
}
META = {"step": 3, "rate": 0.1 + 0.2, "name": "Zürich", "list": [1, None, True], "nested": {"a": 1}}


def test_round_trip_is_exact(tmp_path: Path) -> None:
    """Every dtype, NaN, signed zero, empty and scalar tensors come back with their bits."""
    path = tmp_path / "sub" / "x.pt"
    digest = checkpoint.save(path, TENSORS, META)
    assert digest == sha256_file(path)
    tensors, meta = checkpoint.load(path, sha256=digest)
    assert meta == META
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and tensors[name].shape == tensor.shape
        assert (
            tensors[name].numpy(force=True).tobytes() == tensor.numpy(force=True).tobytes()
            if (tensor.dtype != torch.bfloat16)
            else torch.equal(tensors[name], tensor)
        )


def test_bytes_depend_on_values_alone(tmp_path: Path) -> None:
    """Order, path, strides, shared storage, Parameter or Tensor, string identity: same bytes."""
    base = torch.arange(12, dtype=torch.float32)
    first = {"m": base.reshape(3, 4), "row": base[:1].reshape(1, 1).clone(), "v": base.clone()}
    big = torch.zeros(100)
    big[40:52] = base
    names = ["".join(["r", "ow"]), "".join(["m"]), "".join(["v"])]
    second = {
        names[0]: torch.empty_strided((1, 1), (9, 7)).fill_(0.0),
        names[1]: torch.nn.Parameter(base.reshape(3, 4).t().contiguous().t()),
        names[2]: big[40:52],
    }
    third = {"v": base, "m": base.view(3, 4), "row": base[:1].view(1, 1)}  # one storage
    hashes = {
        checkpoint.save(tmp_path / "first.pt", first, {"a": 1, "b": [2]}),
        checkpoint.save(tmp_path / "deep" / "other name.bin", second, {"b": (2,), "a": 1}),
        checkpoint.save(tmp_path / "third", third, OrderedDict(b=[2], a=1)),
    }
    assert len(hashes) == 1
    assert b"other name" not in (tmp_path / "deep" / "other name.bin").read_bytes()


def test_a_name_that_torch_uses_itself_does_not_change_bytes(tmp_path: Path) -> None:
    """A tensor called like a word of the format gives the same bytes wherever the name is from."""
    for word in ("cpu", "storage", "tensors", "meta"):
        fresh = "".join(list(word))
        a = checkpoint.save(tmp_path / "a", {word: torch.ones(1)}, {})
        b = checkpoint.save(tmp_path / "b", {fresh: torch.ones(1)}, {})
        assert a == b
        assert torch.equal(checkpoint.load(tmp_path / "a")[0][word], torch.ones(1))


def test_saved_tensors_are_copies(tmp_path: Path) -> None:
    """A small view of a large storage is saved small, and loads without the rest."""
    checkpoint.save(tmp_path / "x.pt", {"v": torch.zeros(1_000_000)[:3]}, {})
    assert (tmp_path / "x.pt").stat().st_size < 10_000


def test_any_flipped_byte_is_found_by_the_hash(tmp_path: Path) -> None:
    """A damaged file is named, with both hashes and what to do; never loaded."""
    path = tmp_path / "x.pt"
    digest = checkpoint.save(path, TENSORS, META)
    data = path.read_bytes()
    for position in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(CogmentError, match=rf"x\.pt is damaged: sha256 .*expected {digest}"):
            checkpoint.load(path, sha256=digest)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_one_clear_error(tmp_path: Path, share: float) -> None:
    """Without a known hash a truncated file is still an error of one line, with the way out."""
    path = tmp_path / "x.pt"
    checkpoint.save(path, TENSORS, META)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CogmentError, match="damaged or no checkpoint; put it back") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A missing file, text, a bare state_dict and another format are told apart from damage."""
    with pytest.raises(CogmentError, match="does not exist"):
        checkpoint.load(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CogmentError, match="no checkpoint"):
        checkpoint.load(tmp_path / "text.pt")
    torch.save({"weight": torch.ones(1)}, tmp_path / "bare.pt")
    with pytest.raises(CogmentError, match="no checkpoint"):
        checkpoint.load(tmp_path / "bare.pt")
    torch.save({"format": 99, "meta": "{}", "tensors": {}}, tmp_path / "new.pt")
    with pytest.raises(CogmentError, match="has format 99, this version reads 2"):
        checkpoint.load(tmp_path / "new.pt")
    with pytest.raises(CogmentError, match="cannot read"):
        checkpoint.load(tmp_path)


class _Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("touch executed",)


def test_loading_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that would run a command is refused as no checkpoint, and nothing runs."""
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 2, "meta": "{}", "tensors": _Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CogmentError, match="no checkpoint"):
        checkpoint.load(tmp_path / "evil.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(_Evil(), protocol=2))
    with pytest.raises(CogmentError, match="no checkpoint"):
        checkpoint.load(tmp_path / "raw.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("call", "number", "words"),
    [
        ("write", errno.ENOSPC, "No space left on device; free some space"),
        ("fsync", errno.EIO, "check the disk"),
        ("fsync", errno.EDQUOT, "free some space"),
        ("replace", errno.EACCES, "Permission denied; make its folder writable"),
        ("open", errno.EROFS, "Read-only file system; make its folder writable"),
    ],
)
def test_failed_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, words: str
) -> None:
    """Disk full, read-only or failing: one line that says so, the old file and no litter left."""
    path = tmp_path / "x.pt"
    digest = checkpoint.save(path, TENSORS, META)

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    if call == "write":
        monkeypatch.setattr("cogment_pipe.atomic.HashingFile._put", fail)
    elif call == "open":
        monkeypatch.setattr(Path, "open", fail)
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(CogmentError, match=words) as caught:
        checkpoint.save(path, {"other": torch.ones(1000)}, {})
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]
    assert checkpoint.load(path, sha256=digest)[1] == META


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_truly_full_device_is_one_clear_error(tmp_path: Path, size: int) -> None:
    """The kernel's own ENOSPC, in the middle of the archive or at its flush, is told as it is."""
    (tmp_path / "x.pt.tmp").symlink_to("/dev/full")
    with pytest.raises(CogmentError, match=r"x\.pt: No space left on device; free some space"):
        checkpoint.save(tmp_path / "x.pt", {"w": torch.ones(size)}, {})
    assert list(tmp_path.iterdir()) == []


def test_export_is_canonical_safetensors(tmp_path: Path) -> None:
    """Exported weights have equal bytes for equal values, and readers find config in the header."""
    from safetensors import safe_open

    meta = {"model": {"d_model": 8}, "stage": 2, "a": 1, "z": [1, 2], "k": "v"}
    shared = torch.arange(6.0)
    first = {"b": shared, "a": shared.view(2, 3)}
    second = {"a": torch.arange(6.0).reshape(3, 2).t().reshape(2, 3), "b": torch.arange(6.0)}
    second["a"].copy_(shared.view(2, 3))
    digest = checkpoint.export_weights(tmp_path / "m.safetensors", first, meta)
    for index in range(5):
        again = checkpoint.export_weights(tmp_path / f"{index}.safetensors", second, meta)
        assert again == digest == sha256_file(tmp_path / f"{index}.safetensors")
    with safe_open(tmp_path / "m.safetensors", "pt") as handle:
        assert json.loads(handle.metadata()["cogment"]) == {"format": 2, **meta}
        assert torch.equal(handle.get_tensor("a"), shared.view(2, 3))


@dataclass
class Carry:
    memory: torch.Tensor
    steps: int
    best: float | None


def test_flatten_and_back() -> None:
    """Nested state goes into one flat pair of dicts and comes back equal, empty parts included."""
    nested = {
        "core": {"exp_avg": {"layer.weight": torch.ones(2)}, "step": 4},
        "empty": {},
        "list": [1, "two", None],
        "carry": Carry(torch.zeros(3), 5, None),
        "nothing": None,
    }
    tensors, meta = checkpoint.flatten("optim", nested)
    assert sorted(tensors) == ["optim/carry/memory", "optim/core/exp_avg/layer.weight"]
    other, _ = checkpoint.flatten("optimistic", {"x": torch.ones(1)})
    back = checkpoint.unflatten("optim", {**tensors, **other}, meta)
    assert back["core"]["step"] == 4 and back["empty"] == {} and back["nothing"] is None
    assert back["list"] == [1, "two", None]
    assert back["carry"]["steps"] == 5 and back["carry"]["best"] is None
    assert torch.equal(back["core"]["exp_avg"]["layer.weight"], torch.ones(2))
    assert set(back) == set(nested)
    assert checkpoint.unflatten("one", *checkpoint.flatten("one", 3)) == 3
    assert checkpoint.unflatten("none", *checkpoint.flatten("none", {})) == {}
    with pytest.raises(KeyError, match="'filter'"):
        checkpoint.unflatten("filter", tensors, meta)


_keys = st.text(st.characters(exclude_characters="/", codec="utf-8"), min_size=1, max_size=5)
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
_nested = st.recursive(_leaves, lambda inner: st.dictionaries(_keys, inner, max_size=4))


@given(_nested)
def test_any_nested_state_survives_the_file_format(nested: object) -> None:
    """Flatten, JSON, unflatten is the identity for every nested dict of plain values."""
    tensors, meta = checkpoint.flatten("p", nested)
    assert checkpoint.unflatten("p", tensors, json.loads(json.dumps(meta))) == nested


@pytest.mark.parametrize(
    "bad",
    [
        {"a/b": 1},
        {3: 1},
        {"": 1},
        {"x": np.zeros(2)},
        {"x": [torch.ones(1)]},
        {"x": float("nan")},
        {"x": object()},
        {"x": {1, 2}},
    ],
)
def test_what_cannot_be_saved_exactly_is_refused(bad: dict) -> None:
    """Keys and leaves that would come back different, or not at all, are errors at once."""
    with pytest.raises(ValueError, match=r"cannot be saved|must be a string"):
        checkpoint.flatten("p", bad)
    sparse = torch.eye(2).to_sparse()
    with pytest.raises(ValueError, match="'s' is not dense"):
        checkpoint.save(Path("never.pt"), {"s": sparse}, {})
