"""The slurm profile on a real Slurm: jobs, wall time, requeue, a killed controller; same bits.

Run it alone with `make test-slurm`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.slurm.conftest import CONFIG, Slurm, wait_for
from tests.workflow.conftest import Run

pytestmark = pytest.mark.slurm
# The executor's own pace is made for clusters; accounting (sacct) is not part of this one.
QUICK = ("--slurm-init-seconds-before-status-checks", "2", "--slurm-status-command", "squeue")
GPU = ("--set-resources", "train_stage:gpu=1", "train_stage:mem_mb=1500")


def command(run: Run, *words: str) -> list[str]:
    profile = ("--profile", str(run.project / "profiles/slurm"))
    line = run.command(*words, *profile, *QUICK, "--slurm-keep-successful-logs", config=CONFIG)
    place = line.index("--config")
    return [*line[:place], *GPU, *line[place:]]


@contextlib.contextmanager
def started(run: Run, slurm: Slurm, *words: str) -> Iterator[subprocess.Popen]:
    """A Snakemake call in the background; ended, should the test fail."""
    with (run.base / "call.log").open("a") as sink:
        call = subprocess.Popen(
            command(run, *words),
            cwd=run.base,
            env=run.environment(**slurm.environment),
            stdout=sink,
            stderr=sink,
        )
    try:
        yield call
    finally:
        if call.poll() is None:
            call.kill()
            call.wait()


def ended_well(run: Run, call: subprocess.Popen) -> None:
    assert call.wait(timeout=3600) == 0, (run.base / "call.log").read_text()[-6000:]


def trainer(run: Run) -> psutil.Process | None:
    """The training process, once it has written a snapshot."""
    folder = run.out / "results/.snapshots/stage0"
    if not list(folder.glob("step*.json")):
        return None
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[1:4] == ["-m", "cogment_pipe", "train"]:
            with contextlib.suppress(psutil.Error):
                if Path(process.cwd()) == run.out:
                    return process
    return None


def talk(run: Run) -> str:
    """What all jobs of a run said."""
    logs = sorted((run.out / ".snakemake/slurm_logs").rglob("*.log"))
    return "\n".join(path.read_text() for path in logs)


def same_bits(run: Run, local: Run, *stages: int) -> None:
    for k in stages:
        pattern = f"results/stage{k}/[!.]*"
        assert run.hashes(pattern) == local.hashes(pattern)
        assert f"results/stage{k}/checkpoint.pt" in local.hashes(pattern)


def test_two_stages_as_jobs(prepared, local, slurm):
    """Stages 0 and 1 as real jobs that hold the GPU, to the bits of a local run."""
    with started(prepared, slurm, "results/stage1/") as call:
        job = wait_for(lambda: slurm.jobs("RUNNING"))[0]
        told = slurm.ask("scontrol", "show", "job", job)
        ended_well(prepared, call)
    assert "gres/gpu=1" in told or "gres:gpu" in told, told
    assert "Requeue=1" in told
    same_bits(prepared, local, 0, 1)


def test_a_job_that_meets_its_wall_time_goes_on_in_the_same_call(prepared, local, slurm):
    """Warned or ended at its minute, a hung job goes on from its snapshot, in the same call."""
    with started(prepared, slurm, "results/stage0/") as call:
        wait_for(lambda: trainer(prepared)).suspend()
        (job,) = slurm.jobs("RUNNING")
        slurm.ask("scontrol", "update", f"jobid={job}", "TimeLimit=1")
        ended_well(prepared, call)
    said = talk(prepared)
    # The warning before the wall time wakes the trainer; it may then end before the minute does.
    assert job in slurm.jobs("TIMEOUT") or "stopped on request" in said
    assert "RESUME stage 0 at step" in said
    same_bits(prepared, local, 0)


def test_a_preempted_job_goes_on_where_it_was(prepared, local, slurm):
    """`scontrol requeue`: the same job number, from its snapshot, at no cost of a retry."""
    with started(prepared, slurm, "results/stage0/") as call:
        caught = wait_for(lambda: trainer(prepared))
        caught.suspend()
        (job,) = slurm.jobs("RUNNING")
        slurm.ask("scontrol", "requeue", job)
        wait_for(lambda: slurm.jobs("PENDING") == [job])
        slurm.ask("scontrol", "update", f"jobid={job}", "StartTime=now")
        ended_well(prepared, call)
    assert "Restarts=1" in slurm.ask("scontrol", "show", "job", job)
    assert "RESUME stage 0 at step" in talk(prepared)
    assert "Trying to restart" not in (prepared.base / "call.log").read_text()
    same_bits(prepared, local, 0)


def test_a_killed_call_is_gone_on_with_and_trains_nothing_twice(prepared, local, slurm):
    """SIGKILL to snakemake leaves the job running; the next call's job waits and re-emits."""
    with started(prepared, slurm, "results/stage0/") as call:
        wait_for(lambda: trainer(prepared)).suspend()
        (first,) = slurm.jobs("RUNNING")
        call.send_signal(signal.SIGKILL)
        call.wait()
    with started(prepared, slurm, "results/stage0/") as second:
        wait_for(lambda: len(slurm.jobs("RUNNING", "PENDING")) == 2)
        os.kill(trainer(prepared).pid, signal.SIGCONT)
        ended_well(prepared, second)
    assert not slurm.jobs("RUNNING", "PENDING")
    said = talk(prepared)
    assert "RE-EMIT stage 0" in said
    assert said.count("RE-EMIT stage 0") + said.count("RESUME stage 0") == 1
    assert first in slurm.jobs("COMPLETED")
    same_bits(prepared, local, 0)
