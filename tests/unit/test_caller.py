"""Jobs and the call that started them: no orphan, not even one that is still starting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from cogment_pipe import caller
from cogment_pipe.errors import CogmentError

JOB = "import time; from cogment_pipe import caller; caller.follow_caller(); print('tied', flush=1)"
CALL = f"""
import subprocess, sys
from cogment_pipe import caller
caller.name_caller()
subprocess.run([sys.executable, "-c", {JOB + "; time.sleep(60)"!r}])
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No test leaves itself behind as the caller of the next one's processes."""
    monkeypatch.delenv(caller.VARIABLE, raising=False)
    yield
    os.environ.pop(caller.VARIABLE, None)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs Linux's parent-death signal"
)
def test_a_job_dies_with_its_call(project):
    """SIGKILL to the call alone: the job is gone, without any handler of its own."""
    environment = {**os.environ, "PYTHONPATH": str(project)}
    call = subprocess.Popen(
        [sys.executable, "-c", CALL], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert call.stdout.readline() == "tied\n"
    (job,) = psutil.Process(call.pid).children()
    call.send_signal(signal.SIGKILL)
    call.wait()
    end = time.monotonic() + 30
    while job.is_running() and job.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "the job lives on"
        time.sleep(0.02)


def test_a_job_that_comes_too_late_does_not_start(monkeypatch):
    """The call died before the job could tie itself to it: one line, nothing done."""
    caller.name_caller()
    dead = {**json.loads(os.environ[caller.VARIABLE]), "start": "0"}
    monkeypatch.setenv(caller.VARIABLE, json.dumps(dead))
    monkeypatch.setattr(caller, "die_with_parent", lambda: None)
    with pytest.raises(CogmentError, match="is dead"):
        caller.follow_caller()


@pytest.mark.parametrize("change", [{}, {"boot": "another", "start": "0"}])
def test_a_living_or_far_call_is_no_obstacle(monkeypatch, change):
    """A living call; one of another machine, whose process numbers mean nothing here."""
    caller.name_caller()
    record = {**json.loads(os.environ[caller.VARIABLE]), **change}
    monkeypatch.setenv(caller.VARIABLE, json.dumps(record))
    monkeypatch.setattr(caller, "die_with_parent", lambda: None)
    caller.follow_caller()


def test_a_command_by_hand_follows_nobody(monkeypatch):
    """Without a call there is nothing to be tied to."""
    monkeypatch.setattr(caller, "die_with_parent", lambda: pytest.fail("tied to a shell"))
    caller.follow_caller()
