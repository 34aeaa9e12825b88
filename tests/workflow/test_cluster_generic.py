"""profiles/cluster-generic on a scheduler of processes: no root, no daemon, the same bits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.workflow.test_recovery import wait_for

pytest.importorskip("snakemake_executor_plugin_cluster_generic")
SCHEDULER = Path(__file__).with_name("local_scheduler.sh")
PROFILE = "profiles/cluster-generic"


@pytest.fixture
def scheduler(tmp_path) -> dict[str, str]:
    """Environment in which the profile's scripts use processes of this machine."""
    folder = tmp_path / "scheduler"
    folder.mkdir()
    return {
        "COGMENT_SCHEDULER": str(SCHEDULER),
        "LOCAL_SCHEDULER": str(folder),
        "COGMENT_LATENCY": "0",
    }


@pytest.fixture
def call(project, scheduler, tmp_path):
    """Runs one of the profile's scripts in a folder of its own."""

    def called(script: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(project / PROFILE / script), *words],
            cwd=tmp_path,
            env={**os.environ, **scheduler},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return called


def job_script(folder: Path, body: str) -> str:
    """A script as Snakemake writes it for one job."""
    path = folder / "job.sh"
    properties = '{"rule": "train_stage", "threads": 2, "resources": {"mem_mb": 700, "gpu": 1}}'
    path.write_text(f"#!/bin/sh\n# properties = {properties}\n{body}\n")
    return str(path)


@pytest.mark.parametrize(("code", "state"), [(0, "success"), (3, "failed")])
def test_a_job_is_submitted_with_what_it_asks_for_and_ends_as_it_ended(call, tmp_path, code, state):
    """Threads, memory, minutes and GPUs reach the scheduler; the exit status comes back."""
    job = call("submit.sh", job_script(tmp_path, f"exit {code}")).stdout.strip()
    submitted = (tmp_path / "scheduler/submitted").read_text().split()
    assert submitted[:5] == ["train_stage", "2", "700", "60", "1"]
    wait_for(lambda: call("status.sh", job).stdout.strip() != "running")
    assert call("status.sh", job).stdout.strip() == state


def test_a_job_that_vanished_has_failed(call, tmp_path):
    """Killed with all its processes, a job leaves no exit status: it is run again, not awaited."""
    job = call("submit.sh", job_script(tmp_path, "sleep 60")).stdout.strip()
    assert call("status.sh", job).stdout == "running\n"
    wrapper = psutil.Process(int(job.partition(":")[0]))
    wait_for(wrapper.children)
    for process in [wrapper, *wrapper.children(recursive=True)]:
        process.kill()
    wait_for(lambda: call("status.sh", job).stdout != "running\n")
    assert call("status.sh", job).stdout == "failed\n"


def test_cancelling_reaches_the_processes_of_a_job(call, tmp_path):
    """Ctrl-C in Snakemake leaves no job behind, and a job may still finish what it is doing."""
    body = "trap 'echo saved > saved; exit 75' TERM; : > ready; while :; do sleep 0.1; done"
    job = call("submit.sh", job_script(tmp_path, body)).stdout.strip()
    wait_for((tmp_path / "ready").exists)
    assert call("status.sh", job).stdout == "running\n"
    done = call("cancel.sh", job)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: call("status.sh", job).stdout == "failed\n")
    assert (tmp_path / "saved").read_text() == "saved\n"


def test_two_stages_through_the_scheduler_are_the_local_ones(fresh, finished, scheduler):
    """Stages 0 and 1 as jobs, the first one preempted: it goes on in the same call, same bits."""
    words = ("results/stage1/", "--profile", str(fresh.project / PROFILE))
    command = fresh.command(*words, "--seconds-between-status-checks", "1")
    log = fresh.base / "call.log"
    with log.open("w") as sink:
        environment = fresh.environment(**scheduler)
        running = subprocess.Popen(
            command, cwd=fresh.base, env=environment, stdout=sink, stderr=sink
        )
    try:
        wait_for((fresh.out / "results/.snapshots/stage0/.owner.json").exists)
        number = re.search(r"jobid '(\d+):train_stage", log.read_text()).group(1)
        os.kill(int(number), signal.SIGTERM)
        assert running.wait(timeout=3600) == 0, log.read_text()[-4000:]
    finally:
        running.terminate()
        running.wait(timeout=60)
    logs = "".join(p.read_text() for p in (fresh.out / ".snakemake/cluster").glob("train*.log"))
    assert "stopped on request" in logs
    assert "RESUME stage 0 at step" in logs
    for k in (0, 1):
        pattern = f"results/stage{k}/[!.]*"
        assert fresh.hashes(pattern) == finished.hashes(pattern)
