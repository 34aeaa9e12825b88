"""Stop requests: the first is orderly, the second is immediate, and no orphan stays."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cogment_pipe import signals
from cogment_pipe.signals import EXIT_RETRY, SAME_REQUEST_SECONDS, STOP_SIGNALS, StopFlag

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")

# Runs until asked to stop, then takes `argv[1]` seconds for its snapshot and writes `argv[2]`.
WORKER = """
import sys, time
from pathlib import Path
from cogment_pipe.signals import EXIT_RETRY, StopFlag, die_with_parent
with StopFlag() as flag:
    die_with_parent()
    print("ready", flush=True)
    while not flag.requested:
        time.sleep(0.01)
    print("stopping", flush=True)
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        time.sleep(0.01)
    Path(sys.argv[2]).write_text(str(flag.signal))
sys.exit(EXIT_RETRY)
"""


def spawn(code: str, *arguments: object) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def wait_for(path: Path) -> str:
    """Content of a file that another process is about to write."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.01)
    raise AssertionError(f"{path.name} was not written")


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_one_signal_is_orderly(tmp_path: Path, number: signal.Signals) -> None:
    """The run finishes its work and exits with 75."""
    worker = spawn(WORKER, 0, tmp_path / "done")
    worker.send_signal(number)
    worker.communicate(timeout=20)
    assert worker.returncode == EXIT_RETRY == 75
    assert (tmp_path / "done").read_text() == str(int(number))


@pytest.mark.parametrize("second", STOP_SIGNALS)
def test_second_signal_exits_at_once(tmp_path: Path, second: signal.Signals) -> None:
    """A second request ends the process with 128 + signal, without waiting for the snapshot."""
    worker = spawn(WORKER, 60, tmp_path / "done")
    worker.send_signal(signal.SIGTERM)
    assert worker.stdout.readline() == "stopping\n"
    time.sleep(SAME_REQUEST_SECONDS + 0.1)
    worker.send_signal(second)
    worker.communicate(timeout=20)
    assert worker.returncode == 128 + second
    assert not (tmp_path / "done").exists()


def test_a_burst_is_one_request(tmp_path: Path) -> None:
    """A process signalled alone and with its group in one go still writes its snapshot."""
    worker = spawn(WORKER, 0.5, tmp_path / "done")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        worker.send_signal(number)
    worker.communicate(timeout=20)
    assert worker.returncode == EXIT_RETRY
    assert (tmp_path / "done").exists()


def test_handlers_are_put_back() -> None:
    """Inside, signals only set the flag; afterwards the program's own handlers are back."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with StopFlag() as flag:
        assert not flag.requested
        os.kill(os.getpid(), signal.SIGUSR1)
        assert flag.requested and flag.signal == signal.SIGUSR1
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
    with pytest.raises(RuntimeError), StopFlag():
        raise RuntimeError
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_request_from_within() -> None:
    """A caller may ask to stop by itself; the first reason is kept."""
    flag = StopFlag()
    flag.request(signal.SIGUSR1)
    flag.request(signal.SIGTERM)
    assert flag.requested and flag.signal == signal.SIGUSR1


def test_outside_the_main_thread_it_says_that_it_cannot(caplog: pytest.LogCaptureFixture) -> None:
    """Python cannot install handlers in other threads: said, not hidden, and no crash."""
    results = []

    def work() -> None:
        with StopFlag() as flag:
            results.append(flag.requested)

    with caplog.at_level(logging.WARNING):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert results == [False]
    assert "not in the main thread" in caplog.text


# Starts the worker as its own child, passes its first line on and waits.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline().strip(), flush=True)
print(child.pid, flush=True)
child.wait()
"""


@linux
def test_killed_parent_takes_the_run_along(tmp_path: Path) -> None:
    """SIGKILL of the parent reaches the run as a stop request: it snapshots and ends."""
    parent = spawn(PARENT, WORKER, 0, tmp_path / "done")
    parent.kill()
    parent.communicate()
    assert wait_for(tmp_path / "done") == str(int(signal.SIGTERM))


@linux
def test_parents_death_is_no_second_request(tmp_path: Path) -> None:
    """A run that was told to stop still writes its snapshot when its parent dies meanwhile."""
    parent = spawn(PARENT, WORKER, 1.5, tmp_path / "done")
    os.kill(int(parent.stdout.readline()), signal.SIGTERM)
    time.sleep(SAME_REQUEST_SECONDS + 0.2)
    parent.kill()
    parent.communicate()
    assert wait_for(tmp_path / "done") == str(int(signal.SIGTERM))


@linux
def test_parent_that_died_before_the_call_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gap between looking and asking the kernel is closed: the run signals itself."""
    parents = iter([100, 1])
    sent = []
    monkeypatch.setattr(signals.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(signals.os, "kill", lambda *arguments: sent.append(arguments))

    class Libc:
        @staticmethod
        def prctl(*_: int) -> int:
            return 0

    monkeypatch.setattr(signals.ctypes, "CDLL", lambda *_, **__: Libc)
    signals.die_with_parent()
    assert sent == [(os.getpid(), signal.SIGTERM)]
