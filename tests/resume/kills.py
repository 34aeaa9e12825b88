"""Kills a Snakemake call, or the trainer in it, at moments drawn from a keyed stream.

`python -m tests.resume.kills --kills 200` from the project folder runs all five stages of a
miniature once in peace and once under that many kills, and compares every byte.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from cogment_pipe.rng import stream
from tests.workflow.conftest import Run, copy_of_the_project

KINDS = ("trainer KILL", "trainer TERM", "trainer INT", "call KILL", "group KILL")
LONGEST_CALL = 1800.0  # ends a hang; a busy machine takes its time
TARGET = ("results/stage4/",)
SHORTEST = 16
"""Steps of a stage in the miniature; more where kills are many, so that each finds its place."""

MODEL = {"d_model": 16, "ffn_hidden": 24, "head_hidden": 8, "memory_hidden": 8}
KNOBS = ["runtime.snapshot_every=3", "runtime.log_every=1"]
"""Of the killed run alone: they must not change a bit."""


def settings(steps: int) -> list[str]:
    """Overrides of scale tiny: a smaller model, short stages, hardly any validation."""
    stage = {"max_steps": steps, "eval_every": steps // 2, "eval_items": 2, "patience": steps}
    return [
        *(f"model.{name}={value}" for name, value in MODEL.items()),
        *(f"stages.{k}.{name}={value}" for k in range(5) for name, value in stage.items()),
        "stages.1.tasks.arc=null",
    ]


@dataclass
class Killer:
    """Goes through `kills` kills spread over five stages of `steps` steps each.

    Every second kill comes when its stage reaches a drawn step; the others come at a drawn moment
    within `pace` seconds, wherever that may be: parsing, deleting outputs, importing torch,
    loading, training, validating, writing, publishing; but before their stage is nearly done.
    """

    run: Run
    words: tuple[str, ...]
    config: tuple[str, ...]
    kills: int
    steps: int
    pace: float
    rng: np.random.Generator
    done: Counter = field(default_factory=Counter)
    missed: int = 0
    calls: int = 0
    call: subprocess.Popen | None = None

    def carry_on(self) -> subprocess.CompletedProcess[str]:
        """The same command again and again, killed each time, and at last left alone."""
        per_stage = self.kills / 5
        for number in range(self.kills):
            stage = int(number / per_stage)
            share = (number - stage * per_stage + float(self.rng.random())) / per_stage
            step = 1 + int(0.8 * self.steps * share)
            wait = float(self.rng.random()) * (0.02 if number % 2 == 0 else self.pace)
            kind = KINDS[number % len(KINDS)]
            if self._kill_once(kind, stage, step, wait, at_step=number % 2 == 0):
                self.done[kind] += 1
            else:
                self.missed += 1
        self._end()
        return self.run.snakemake(*self.words, config=self.config)

    def _kill_once(self, kind: str, stage: int, step: int, wait: float, at_step: bool) -> bool:
        """Strike once, starting the call again where it ended; False where all was done before."""
        while True:
            if self.call is None or self.call.poll() is not None:
                if (self.run.out / "results/stage4/manifest.json").exists():
                    return False
                self._start()
            if at_step:
                self._until(stage, step, LONGEST_CALL)
                time.sleep(wait)
            else:
                self._until(stage, max(step, int(0.8 * self.steps)), wait)
            if self._strike(kind):
                return True
            at_step, wait = False, 0.02

    def _until(self, stage: int, step: int, seconds: float) -> None:
        """Wait for a step of a stage, the end of the call, or so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.call.poll() is None:
            if self._reached(stage, step):
                return
            time.sleep(0.01)

    def _start(self) -> None:
        self.calls += 1
        log = self.run.base / f"call{self.calls}.log"
        with log.open("w") as sink:
            self.call = subprocess.Popen(
                self.run.command(*self.words, config=self.config),
                cwd=self.run.base,
                env=self.run.environment(),
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def _reached(self, stage: int, step: int) -> bool:
        """Whether the stage has logged that many steps, or is over."""
        if (self.run.out / f"results/stage{stage}/manifest.json").exists():
            return True
        metrics = self.run.out / f"results/.snapshots/stage{stage}/metrics.jsonl"
        try:
            return metrics.read_bytes().count(b'"event": "train"') >= step
        except OSError:
            return False

    def _strike(self, kind: str) -> bool:
        """Send the signal; False where there was nobody to send it to."""
        target, name = kind.split()
        number = signal.Signals[f"SIG{name}"]
        if self.call.poll() is not None:
            return False
        if target == "trainer":
            return any(_send(process, number) for process in self._trainers())
        if target == "group":
            os.killpg(self.call.pid, number)
        else:
            self.call.send_signal(number)
        self.call.wait()
        return True

    def _trainers(self) -> list[psutil.Process]:
        try:
            children = psutil.Process(self.call.pid).children(recursive=True)
            return [p for p in children if p.cmdline()[1:4] == ["-m", "cogment_pipe", "train"]]
        except psutil.NoSuchProcess:
            return []

    def _end(self) -> None:
        """Let the last call that was only hurt (its trainer was killed) come to its own end."""
        if self.call is not None:
            self.call.wait(LONGEST_CALL)


def _send(process: psutil.Process, number: int) -> bool:
    try:
        process.send_signal(number)
        return True
    except psutil.NoSuchProcess:
        return False


def alive_in(folder: Path) -> list[str]:
    """Command lines of processes that work in a folder: orphans, when no call runs."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found


def killed_and_unbroken(project: Path, base: Path, kills: int, seed: int) -> tuple[Killer, Run]:
    """The miniature, once in peace and once under kills; AssertionError where a file differs."""
    steps = max(SHORTEST, kills // 2)
    plain = settings(steps)
    unbroken = copy_of_the_project(project, base / "unbroken")
    start = time.monotonic()
    done = unbroken.snakemake(*TARGET, config=(f"set={';'.join(plain)}",))
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(unbroken.hashes("results/stage*/checkpoint.pt")) == 5
    pace = (time.monotonic() - start) / 6

    broken = copy_of_the_project(unbroken.project, base / "broken")
    knobs = (f"set={';'.join(plain + KNOBS)}",)
    draws = stream(seed, 0, 0, 0, "kills")
    killer = Killer(broken, TARGET, knobs, kills, steps, pace, draws)
    done = killer.carry_on()
    assert done.returncode == 0, done.stderr[-4000:]
    for pattern in ("results/stage*/[!.]*", "results/data/**/[!.]*"):
        assert broken.hashes(pattern) == unbroken.hashes(pattern)
    assert alive_in(broken.out) == [], "a trainer outlived its call"
    assert broken.planned(*TARGET, config=knobs) == set()
    return killer, broken


def main() -> int:
    """The script's entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="draws other moments")
    options = parser.parse_args()
    project = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as base:
        killer, broken = killed_and_unbroken(project, Path(base), options.kills, options.seed)
        count = len(broken.hashes("results/stage*/[!.]*"))
    print(f"{sum(killer.done.values())} kills in {killer.calls} calls: {dict(killer.done)}")
    print(f"{killer.missed} came too late; all {count} files of the stages have the same bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
