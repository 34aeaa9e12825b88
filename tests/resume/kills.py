"""Kills a Snakemake call, or the trainer in it, at moments drawn from a keyed stream."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from tests.workflow.conftest import Run

KINDS = ("trainer KILL", "trainer TERM", "trainer INT", "call KILL", "group KILL")
LONGEST_CALL = 300.0


@dataclass
class Killer:
    """Goes through `kills` kills spread over five stages of `steps` steps each.

    Every second kill comes when its stage reaches a drawn step, plus a drawn fraction of a second;
    the others come at a drawn moment after the call has started, wherever that may be: parsing,
    deleting outputs, importing torch, loading, training, validating, writing, publishing.
    """

    run: Run
    words: tuple[str, ...]
    config: tuple[str, ...]
    kills: int
    steps: int
    rng: np.random.Generator
    done: Counter = field(default_factory=Counter)
    calls: int = 0
    call: subprocess.Popen | None = None

    def carry_on(self) -> subprocess.CompletedProcess[str]:
        """The same command again and again, killed each time, and at last left alone."""
        per_stage = self.kills / 5
        for number in range(self.kills):
            kind = KINDS[number % len(KINDS)]
            stage = int(number / per_stage)
            share = (number - stage * per_stage + float(self.rng.random())) / per_stage
            step = 1 + int(0.8 * self.steps * share)
            self._kill_once(kind, stage, step, at_step=number % 2 == 0)
        self._end()
        return self.run.snakemake(*self.words, config=self.config)

    def _kill_once(self, kind: str, stage: int, step: int, at_step: bool) -> None:
        """Strike once; where the call ended by itself meanwhile, start it again first."""
        wait = float(self.rng.random()) * (0.4 if at_step else 8.0)
        while True:
            if self.call is None or self.call.poll() is not None:
                self._start()
            end = time.monotonic() + LONGEST_CALL
            while at_step and not self._reached(stage, step) and self.call.poll() is None:
                assert time.monotonic() < end, f"stage {stage} never reached step {step}"
                time.sleep(0.02)
            time.sleep(wait)
            if self._strike(kind):
                self.done[kind] += 1
                return
            wait = 0.05

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
