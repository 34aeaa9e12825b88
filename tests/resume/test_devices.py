"""A stage on two devices (here: two processes, gloo): the losses of one, and exact resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.resume.stages import Stage, prepare, published

STEPS = 50
SNAPSHOT_EVERY = 10
CALLS: list[subprocess.Popen] = []
LONGEST = 1800  # ends a hang; a busy machine takes its time


@pytest.fixture(scope="module", params=["grid", pytest.param("text", marks=pytest.mark.slow)])
def stage(request, project, tmp_path_factory) -> Stage:
    """A grid stage with carried states and twins, and a text stage with memory; both replay."""
    prepared = prepare(request.param, tmp_path_factory.mktemp(request.param), project)
    short = {"max_steps": STEPS, "eval_every": 25, "patience": STEPS, "accumulate": 1, "lanes": 1}
    return prepared.variant(**short)


def command(stage: Stage, folder: Path, devices: int, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "cogment_pipe", "train", "--stage", str(stage.number)),
        *("--slice", json.dumps(stage.slice), "--source", "s", "--data", *map(str, stage.data)),
        *("--out", str(folder / "out"), "--snapshots", str(folder / "snapshots")),
        *("--snapshot-every", str(SNAPSHOT_EVERY), "--log-every", "1", "--device", "cpu"),
        *("--devices", str(devices), *more),
    ]


def started(project: Path, words: list[str]) -> subprocess.Popen:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COGMENT")}
    call = subprocess.Popen(words, cwd=project, env=clean, stderr=subprocess.PIPE, text=True)
    CALLS.append(call)
    return call


@pytest.fixture(autouse=True)
def no_call_is_left() -> Iterator[None]:
    """A test that fails ends what it has started; workers end with their call."""
    yield
    for call in CALLS:
        if call.poll() is None:
            call.terminate()
        call.wait()
    CALLS.clear()


def train(project: Path, stage: Stage, folder: Path, devices: int, *more: str) -> tuple[int, str]:
    """Exit code and what was said."""
    call = started(project, command(stage, folder, devices, *more))
    said = call.communicate(timeout=LONGEST)[1]
    return call.returncode, said


@pytest.fixture(scope="module")
def alone(stage, project, tmp_path_factory) -> Path:
    """The stage in one process."""
    folder = tmp_path_factory.mktemp("alone")
    code, said = train(project, stage, folder, 1)
    assert code == 0, said
    return folder


@pytest.fixture(scope="module")
def together(stage, project, tmp_path_factory) -> Path:
    """The stage in two processes, without interruption."""
    folder = tmp_path_factory.mktemp("together")
    code, said = train(project, stage, folder, 2)
    assert code == 0, said
    return folder


def records(folder: Path) -> list[dict]:
    lines = (folder / "out/metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wait_for_snapshot(call: subprocess.Popen, folder: Path) -> None:
    end = time.monotonic() + LONGEST
    while not list((folder / "snapshots").glob("step-*.json")):
        assert call.poll() is None, f"no snapshot was written: {call.communicate()[1]}"
        assert time.monotonic() < end, "no snapshot was written"
        time.sleep(0.02)


def test_two_processes_train_what_one_does(alone, together):
    """Same tasks in the same order, every loss part within 1e-5 of it at all steps."""
    one, two = records(alone), records(together)
    assert len(one) == len(two) == STEPS + 2
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        assert (a["event"], a["step"], a.get("task")) == (b["event"], b["step"], b.get("task"))
        for key in ("loss", "loss_steps", "loss_mixed", "loss_consistency", "ponder", "exact"):
            if a.get(key) is not None:
                assert b[key] == pytest.approx(a[key], rel=1e-5, abs=1e-6), (a["step"], key)
    manifest = json.loads((together / "out/manifest.json").read_text())
    assert manifest["environment"]["devices"] == 2
    assert manifest["bit_identical"] is True


def test_a_stop_is_agreed_and_the_resume_exact(stage, project, together, tmp_path):
    """SIGTERM to the call: every process stops after one step, and goes on to the same bits."""
    call = started(project, command(stage, tmp_path, 2))
    wait_for_snapshot(call, tmp_path)
    call.send_signal(signal.SIGTERM)
    said = call.communicate(timeout=LONGEST)[1]
    assert call.returncode == 75, said
    assert "stopped on request" in said
    code, said = train(project, stage, tmp_path, 2)
    assert code == 0, said
    assert "RESUME" in said
    assert published(tmp_path) == published(together)


def test_a_killed_process_ends_the_run_in_one_line(stage, project, together, tmp_path):
    """SIGKILL to the second process: the rest ends soon, in one line, and the resume is exact."""
    call = started(project, command(stage, tmp_path, 2))
    wait_for_snapshot(call, tmp_path)
    workers = sorted(psutil.Process(call.pid).children(), key=lambda p: p.pid)
    (second,) = [p for p in workers if p.environ().get("RANK") == "1"]
    second.kill()
    began = time.monotonic()
    said = call.communicate(timeout=LONGEST)[1]
    assert time.monotonic() - began < 30
    assert call.returncode == 2, said
    errors = [line for line in said.splitlines() if "error" in line.lower()]
    assert len(errors) == 1, said
    assert errors[0].startswith("error: process 1 of this stage ended (killed by SIGKILL)")
    assert "Traceback" not in said
    code, said = train(project, stage, tmp_path, 2)
    assert code == 0, said
    assert "RESUME" in said
    assert published(tmp_path) == published(together)


def test_another_number_of_devices_is_asked_about_and_said(stage, project, tmp_path):
    """Two processes' snapshot in one: refused by default; `continue` is not called identical."""
    call = started(project, command(stage, tmp_path, 2))
    wait_for_snapshot(call, tmp_path)
    call.send_signal(signal.SIGTERM)
    assert call.wait(timeout=LONGEST) == 75
    code, said = train(project, stage, tmp_path, 1)
    assert code == 2
    assert "devices 2 (now None)" in said
    code, said = train(project, stage, tmp_path, 1, "--on-environment-change", "continue")
    assert code == 0, said
    assert json.loads((tmp_path / "out/manifest.json").read_text())["bit_identical"] is False


def test_a_batch_too_small_to_spread_is_refused(stage, project, tmp_path):
    """More devices than rows: one line, nothing trained."""
    code, said = train(project, stage.variant(batch_size=1), tmp_path, 2)
    assert code == 2
    assert "cannot be spread over 2 devices" in said
