"""Jobs on one machine take a GPU each, and give it back however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cogment_pipe import gpu_lease

HOLD = """
import sys, time
from pathlib import Path
from cogment_pipe.gpu_lease import leased
out, count, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with leased("auto", count) as names:
    out.write_text(",".join(names))
    time.sleep(seconds)
    out.unlink()
"""


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """Two GPUs, no scheduler, and a folder for locks that no other test sees."""
    for name in (*gpu_lease.SCHEDULERS, "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(gpu_lease.tempfile, "tempdir", None)


@pytest.fixture
def job(project, tmp_path):
    """Starts a process that holds GPUs and says which in a file."""
    started = []

    def start(name: str, count: int = 1, seconds: float = 60) -> tuple[subprocess.Popen, Path]:
        out = tmp_path / name
        words = [sys.executable, "-c", HOLD, str(out), str(count), str(seconds)]
        env = {**os.environ, "PYTHONPATH": str(project)}
        started.append(subprocess.Popen(words, env=env))
        return started[-1], out

    yield start
    for process in started:
        process.kill()
        process.wait()


def content(path: Path) -> str:
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f"{path.name} was never written"
        time.sleep(0.02)
    return path.read_text()


def test_two_jobs_hold_two_gpus_and_a_third_waits(job, tmp_path):
    """Each its own; the third takes that of the one that is killed, without any cleaning up."""
    first, one = job("one")
    _, two = job("two")
    assert {content(one), content(two)} == {"0", "1"}
    _, three = job("three")
    time.sleep(3 * gpu_lease.PAUSE)
    assert not three.exists()
    first.send_signal(signal.SIGKILL)
    assert content(three) == one.read_text()


def test_several_gpus_are_taken_together_or_not_at_all(job):
    """A job that needs both waits until both are free and holds none meanwhile."""
    _, one = job("one")
    assert content(one) == "0"
    _, both = job("both", count=2)
    time.sleep(3 * gpu_lease.PAUSE)
    _, another = job("another")
    assert content(another) == "1" and not both.exists()


def test_cuda_sees_the_leased_device_alone(monkeypatch):
    """CUDA_VISIBLE_DEVICES narrows while held, and is put back; names are kept as they are."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8a,GPU-9b")
    with gpu_lease.leased("cuda") as first:
        assert first == ["GPU-8a"] and os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-8a"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-8a,GPU-9b"
    with gpu_lease.leased("auto", 2) as both:
        assert both == ["GPU-8a", "GPU-9b"]


@pytest.mark.parametrize(
    ("device", "count", "environment"),
    [
        ("cpu", 1, {}),
        ("cuda:1", 1, {}),
        ("auto", 3, {}),
        ("auto", 1, {"CUDA_VISIBLE_DEVICES": ""}),
        ("auto", 1, {"CUDA_VISIBLE_DEVICES": "-1"}),
        ("cuda", 1, {"SLURM_JOB_ID": "7"}),
        ("cuda", 1, {"RANK": "1"}),
    ],
)
def test_what_is_not_for_us_to_hand_out_is_left_alone(monkeypatch, device, count, environment):
    """No GPU asked for or there, too few of them, a scheduler's, or one that is leased already."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = os.environ["CUDA_VISIBLE_DEVICES"]
    with gpu_lease.leased(device, count) as held:
        assert held == [] and os.environ["CUDA_VISIBLE_DEVICES"] == before
    assert not gpu_lease.lock_folder().exists()


def test_without_the_variable_devices_are_counted(monkeypatch, tmp_path):
    """/dev/nvidia0 and on, not the control files beside them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    dev = tmp_path / "dev"
    dev.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (dev / name).touch()
    monkeypatch.setattr(gpu_lease, "Path", lambda text: dev if text == "/dev" else Path(text))
    assert gpu_lease.devices() == ["0", "1"]
