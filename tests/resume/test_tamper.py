"""Every saved entry matters: a run that goes on from a changed snapshot ends differently, or fails.

What may change without a trace in the published files is in `REDUNDANT`, with its reason, and is
proved to leave none.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from cogment_pipe import checkpoint
from cogment_pipe.atomic import write_json
from cogment_pipe.determinism import capture_rng, seed_global
from cogment_pipe.errors import CogmentError
from tests.resume.stages import STEPS, Interruptions, Stage, copy_snapshots, prepare, published

KEYED = "every draw is keyed by seed, stage, step and purpose; kept for a library that draws freely"
REDUNDANT = {
    "rng/numpy": KEYED,
    "rng/python": KEYED,
    "rng/torch": KEYED,
    "run/streams/*/updates": "a count that nothing reads",
    "run/optimizer/scaler": "empty but under fp16",
    "run/optimizer/filter/seen": "counts of the windowed average, empty for the exponential one",
    "run/train_accuracy": "read by grokking detection, through the detector's curve",
}
AMID, LAST = 6, STEPS
"""Amid a batch of both tasks, with another batch and a validation to come; and the last step, where
the verdict is still open."""

GROUPS = (
    (r"(rng/\w+).*", r"\1"),
    (r"run/model/memory\.bank", "run/model/memory.bank"),
    (r"run/model/.*", "run/model/*"),
    (r"(run/optimizer/moments/\w+/\w+)/.*", r"\1"),
    (r"run/optimizer/filter/(\w+).*", r"run/optimizer/filter/\1"),
    (r"run/optimizer/scaler.*", "run/optimizer/scaler"),
    (r"run/average/average/.*", "run/average/average"),
    (r"run/streams/[^/]+/chunks/\d+/(.*)", r"run/streams/*/chunks/*/\1"),
    (r"run/streams/[^/]+/(\w+)", r"run/streams/*/\1"),
    (r"run/detector/last/\w+", "run/detector/last"),
)


def group_of(name: str) -> str:
    """Entries that are one thing: a parameter tree, a moment of a component, a counter."""
    for pattern, group in GROUPS:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, group, name)
    return name


def other(name: str, value: object) -> object:
    """A value that differs from `value` and is of its kind."""
    if name.startswith("rng/"):
        return generators()[name]
    if isinstance(value, torch.Tensor):
        return torch.flip(value.flatten(), (0,)).reshape(value.shape) + 1
    if name == "run/detector/curve":
        return [[1.0, 1.0, 0.0], [3.0, 1.0, 1.0]]  # a run that grokked at step 3
    if name == "run/detector/progress_step":
        return value + 1
    if isinstance(value, float):
        return value + 1e8
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict | list) and not value:
        return value  # nothing in it to change
    raise AssertionError(f"{name}: do not know how to change {value!r}")


def generators() -> dict[str, object]:
    """States of the global generators under another seed: valid, and other ones."""
    seed_global(2**90 + 12345)
    tensors, meta = checkpoint.flatten("rng", capture_rng())
    return {**meta, **tensors}


def tampered(source: Path, folder: Path, group: str, how: str) -> None:
    """A copy of a snapshot with the entries of one group changed or dropped, and a good seal."""
    copy_snapshots(source, folder / "snapshots")
    newest = max(folder.glob("snapshots/step-*.json"))
    tensors, meta = checkpoint.load(newest.with_suffix(".pt"))
    for entries in (tensors, meta):
        for name in [n for n in entries if group_of(n) == group]:
            if how == "drop":
                del entries[name]
            else:
                entries[name] = other(name, entries[name])
    digest = checkpoint.save(newest.with_suffix(".pt"), tensors, meta)
    info = json.loads(newest.read_text())
    size = newest.with_suffix(".pt").stat().st_size
    write_json(newest, info | {"sha256": digest, "bytes": size})


def outcome(stage: Stage, folder: Path) -> dict[str, bytes] | str:
    """The published files, or how the run failed."""
    try:
        assert stage.train(folder) == 0
    except (CogmentError, KeyError, ValueError, RuntimeError, TypeError, IndexError) as error:
        return f"{type(error).__name__}: {error}"
    return published(folder)


@pytest.fixture(scope="module")
def stage(project, tmp_path_factory) -> Stage:
    """The text stage: memory writes, consolidation and replayed grids."""
    return prepare("text", tmp_path_factory.mktemp("text"), project)


@pytest.fixture(scope="module")
def unbroken(stage, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.MonkeyPatch.context() as patch:
        keeping = Interruptions(patch, keep_in=folder / "kept").install()
        assert stage.train(folder, snapshot_every=1, log_every=1) == 0
        keeping.keep_in = None
        yield folder
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


def groups(unbroken: Path, step: int) -> dict[str, list[str]]:
    newest = max((unbroken / "kept" / str(step)).glob("snapshots/step-*.pt"))
    found = defaultdict(list)
    tensors, meta = checkpoint.load(newest)
    for name in sorted([*tensors, *meta]):
        found[group_of(name)].append(name)
    return found


def test_the_snapshot_holds_what_the_engine_is_made_of(unbroken):
    """All kinds of state are there amid a batch, so that the next test changes each of them."""
    found = groups(unbroken, AMID)
    expected = {"metrics_bytes", "run/step", "run/train_accuracy", "run/model/*"}
    expected |= {"run/model/memory.bank", "run/average/average", "run/average/updates"}
    expected |= {f"run/streams/*/{name}" for name in ("number", "phase", "depth", "updates")}
    expected |= {f"run/streams/*/chunks/*/carry/{name}" for name in "yz"}
    history = ("count", "logits", "mixed", "right", "spent", "steps", "y")
    expected |= {f"run/streams/*/chunks/*/history/{name}" for name in history}
    for component in ("core", "memory", "halting", "other"):
        for moment in ("exp_avg", "exp_avg_sq", "step"):
            expected.add(f"run/optimizer/moments/{component}/{moment}")
    detector = ("best_accuracy", "best_loss", "best_step", "curve", "last", "progress_step")
    expected |= {f"run/detector/{name}" for name in detector}
    counters = ("applied", "nonfinite", "nonfinite_in_row", "filter/average")
    expected |= {f"run/optimizer/{name}" for name in counters}
    assert set(found) == expected | set(REDUNDANT)


def test_a_changed_entry_changes_the_result(stage, unbroken, tmp_path):
    """One group after the other: other published files, or a failure; else it is redundant."""
    expected, silent = published(unbroken), set()
    for number, group in enumerate(groups(unbroken, AMID)):
        same = []
        for step in (LAST, AMID):
            folder = tmp_path / f"{number}-{step}"
            tampered(unbroken / "kept" / str(step) / "snapshots", folder, group, "change")
            same.append(outcome(stage, folder) == expected)
            if not same[-1]:
                break
        if all(same):
            silent.add(group)
    assert silent == set(REDUNDANT)


def test_a_missing_entry_fails_or_changes_the_result(stage, unbroken, tmp_path):
    """Dropped groups are not taken for defaults."""
    expected, silent = published(unbroken), set()
    for number, group in enumerate(groups(unbroken, AMID)):
        same = []
        for step in (LAST, AMID):
            folder = tmp_path / f"{number}-{step}"
            tampered(unbroken / "kept" / str(step) / "snapshots", folder, group, "drop")
            same.append(outcome(stage, folder) == expected)
            if not same[-1]:
                break
        if all(same):
            silent.add(group)
    assert silent <= set(REDUNDANT)
