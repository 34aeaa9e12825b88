"""Two stages in miniature with every mechanism of the trainer on, and ways to interrupt them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cogment_pipe import publish, trainer
from cogment_pipe.config import load_config
from cogment_pipe.data.corpus import split_corpus
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.data.tokenizer import train_tokenizer
from cogment_pipe.slices import data_slice, stage_slice, tokenizer_slice
from cogment_pipe.snapshots import SnapshotStore
from cogment_pipe.stage_trainer import StageTrainer

STEPS = 10
EXCLUDED: dict[str, str] = {}
"""Published files, or parts of them, that may differ after a resume: none. Clocks are in logs/,
benchmarks/ and the lock's heartbeat alone."""

MODEL = {"d_model": 16, "ffn_hidden": 24, "head_hidden": 8, "memory_hidden": 8}
COMMON = {
    "max_steps": STEPS,
    "batch_size": 4,
    "accumulate": 2,
    "lanes": 2,
    "max_refinement_steps": 3,
    "update": "per_step",
    "grokfast": True,
    "replay": 0.3,
    "loss": {"deep": 1.0, "improvement": 1.0, "consistency": 0.5, "ponder": 1.0},
    "augmentation_rate": 0.9,
    "ema": 0.9,
    "eval_every": 5,
    "eval_items": 2,
    # the verdict of step 10 depends on when step 5 was the last progress
    "patience": 5,
    "min_delta": 1e6,
    "min_accuracy": 0.0,
    "max_ponder_cost": 100.0,
}
OWN = {
    "grid": {"sudoku": {"generator": "sudoku", "params": {"side": 4, "givens_min": 5}}},
    "text": {"recall": {"generator": "recall", "params": {"segments": 3, "values": 8}}},
}
REPLAYED = {"toy_maze": {"generator": "toy_maze"}}
# six items in batches of four: every second batch crosses the end of an epoch
ITEMS = {"train": 6, "validation": 4, "test": 4}


@dataclass
class Stage:
    """What `train_stage` is called with; each `run` has a folder of its own."""

    number: int
    slice: dict
    data: list[Path]

    def train(self, folder: Path, **options: object) -> int:
        """Start, go on with or re-emit the stage in `folder`; returns the exit code."""
        given = {"snapshot_every": 4, "log_every": 3, "device": "cpu", "source": "s"} | options
        return trainer.train_stage(
            stage=self.number,
            slice=self.slice,
            data=self.data,
            init=None,
            out=folder / "out",
            snapshots=folder / "snapshots",
            **given,
        )

    def variant(self, **change: object) -> Stage:
        """The same stage with some of its settings changed."""
        return Stage(self.number, self.slice | {"stage": self.slice["stage"] | change}, self.data)


def published(folder: Path) -> dict[str, bytes]:
    """All that a finished stage leaves to others, to the byte."""
    files = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    assert set(files) == {*publish.OUTPUTS, "manifest.json"}
    return {name: content for name, content in files.items() if name not in EXCLUDED}


def final_state(folder: Path) -> bytes:
    """The last snapshot: the whole run state, streams, detector and generators included."""
    finished = [
        path
        for path in (folder / "snapshots").glob("step-*.json")
        if json.loads(path.read_text())["finished"]
    ]
    assert len(finished) == 1
    return finished[0].with_suffix(".pt").read_bytes()


def prepare(kind: str, root: Path, project: Path) -> Stage:
    """Data and slice of the grid stage (2) or the text stage (4), both replaying stage 0."""
    number = {"grid": 2, "text": 4}[kind]
    config = load_config(project, root, {"scale": "tiny"})
    folders = []
    for k, tasks in ((0, REPLAYED), (number, OWN[kind])):
        data = json.loads(data_slice(config, k))
        data["stage"] |= {
            "tasks": {n: {**data["stage"]["tasks"][n], **t, **ITEMS} for n, t in tasks.items()},
            "augmentation_rate": COMMON["augmentation_rate"] if k else 0.0,
        }
        text = {}
        if kind == "text" and k:
            split_corpus(k, data, root / "corpus")
            train_tokenizer(json.loads(tokenizer_slice(config)), [root / "corpus"], root / "t.json")
            text = {"corpus": root / "corpus", "tokenizer": root / "t.json"}
        folders.append(root / "data" / f"stage{k}")
        prepare_stage(k, data, folders[-1], **text)
    slice = json.loads(stage_slice(config, number))
    slice["model"] |= MODEL
    memory = slice["stage"]["memory"] | {"consolidate_every": 2, "alpha": 0.15}
    loss = slice["stage"]["loss"] | COMMON["loss"]
    tasks = {n: slice["stage"]["tasks"][n] for n in OWN[kind]}
    slice["stage"] |= {**COMMON, "loss": loss, "tasks": tasks, "memory": memory}
    return Stage(number, slice, folders)


class Crash(BaseException):
    """Ends a run as a kill would: nothing in the trainer catches it."""


@dataclass
class Interruptions:
    """Ends runs after chosen steps, keeps copies of snapshots, and spoils gradients."""

    patch: pytest.MonkeyPatch
    stop_after: set[int] = field(default_factory=set)
    crash_after: set[int] = field(default_factory=set)
    poison: set[int] = field(default_factory=set)
    keep_in: Path | None = None
    stopped: list[int] = field(default_factory=list)

    def install(self) -> Interruptions:
        """Wrap the trainer's step and the store's save."""
        step, save = StageTrainer.train_step, SnapshotStore.save

        def train_step(engine: StageTrainer) -> dict[str, object]:
            number = engine.step_count + 1
            with pytest.MonkeyPatch.context() as patch:
                if number in self.poison:
                    patch.setattr(engine.optimizer, "scale", _poisoned(engine))
                record = step(engine)
            self._after(number)
            return record

        def kept(store: SnapshotStore, number: int, *given: object, **more: object) -> Path:
            path = save(store, number, *given, **more)
            if self.keep_in is not None and not more.get("finished"):
                copy_snapshots(store.folder, self.keep_in / str(number) / "snapshots")
            return path

        self.patch.setattr(StageTrainer, "train_step", train_step)
        self.patch.setattr(SnapshotStore, "save", kept)
        # would outlive the run: the test process is no trainer
        self.patch.setattr(trainer, "die_with_parent", lambda: None)
        # a killed process loses nothing for want of fsync
        self.patch.setattr(os, "fsync", lambda _descriptor: None)
        return self

    def _after(self, number: int) -> None:
        if number in self.crash_after:
            self.crash_after.discard(number)
            raise Crash
        if number in self.stop_after:
            self.stop_after.discard(number)
            self.stopped.append(number)
            os.kill(os.getpid(), signal.SIGTERM)


def copy_snapshots(source: Path, target: Path) -> None:
    """A snapshot folder as a killed run would leave it, without the lock of the living one."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"))


def _poisoned(engine: StageTrainer) -> Callable[[object], object]:
    """`JointOptimizer.scale` whose loss sends a NaN into the gradient of one parameter."""
    name, victim = min(engine.model.components()["core"])

    def scale(loss: object) -> object:
        return loss + (victim * float("nan")).sum() * (1.0 if name else 0.0)

    return scale
