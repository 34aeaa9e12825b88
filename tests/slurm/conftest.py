"""A real Slurm on the loopback interface: controller, one node, a GPU that is a plain file."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.workflow.conftest import Run, copy_of_the_project

BINARIES = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
EXTRA = Path(__file__).parents[2] / ".venv/slurm"
# Long enough to be interrupted; the snapshots' interval changes no bit.
STEPS = "set=stages.0.max_steps=60;stages.0.eval_every=30"
CONFIG = (f"{STEPS};runtime.snapshot_every=1",)


@dataclass
class Slurm:
    """The running daemons' folder, and what a command needs to reach them."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PYTHONPATH": str(EXTRA),
            "PATH": os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]]),
        }

    def ask(self, *command: str) -> str:
        """Output of a Slurm command."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def jobs(self, *states: str) -> list[str]:
        """Numbers of the jobs in these states."""
        return self.ask(
            "squeue", "--noheader", "--format=%i", f"--states={','.join(states)}"
        ).split()


def wait_for(condition, seconds: float = 1800.0):
    """The first true value of `condition`, asked four times a second."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.25)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def reason_to_skip() -> str | None:
    missing = [name for name in BINARIES if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} here: apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid() != 0:
        return "slurmd needs root"
    if not (EXTRA.is_dir() or find_spec("snakemake_executor_plugin_slurm")):
        return "the executor for Slurm is not installed: make slurm"
    return None


def write_configuration(folder: Path) -> None:
    """slurm.conf and its companions, a munge key, and the files that stand for devices."""
    for name in ("spool", "state"):
        (folder / name).mkdir()
    values = {
        "host": socket.gethostname().partition(".")[0],
        "folder": folder,
        "controller_port": free_port(),
        "node_port": free_port(),
    }
    template = Path(__file__).with_name("slurm.conf").read_text()
    (folder / "slurm.conf").write_text(
        "\n".join(
            line if line.startswith("#") else line.format(**values)
            for line in template.splitlines()
        )
        + "\n"
    )
    (folder / "gpu0").touch()
    line = f"NodeName={values['host']} Name=gpu Type=fake Count=1 File={folder}/gpu0\n"
    (folder / "gres.conf").write_text(line)
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    write_wrappers(folder / "bin", folder / "slurm.conf")
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)


def write_wrappers(bin: Path, conf: Path) -> None:
    """Programs before Slurm's own: for what the executor does that a busy machine does not bear."""
    bin.mkdir()
    # Inside a job it drops SLURM_CONF from the environment before it calls srun.
    srun = f'SLURM_CONF={conf} exec {shutil.which("srun")} "$@"'
    # Where the controller takes ten seconds to say how long it remembers finished jobs, it asks
    # accounting instead, and drops its jobs where that fails. There is none: squeue answers.
    sacct = """for name; do :; done
exec squeue --noheader --states=all --format='%i|%T' --name="$name\""""
    for name, text in (("srun", srun), ("sacct", sacct)):
        (bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin / name).chmod(0o755)


def commands(folder: Path) -> list[list[str]]:
    """The daemons, all in the foreground, so that they are this process's children."""
    munge = ["munged", "--foreground", f"--socket={folder}/munge.socket"]
    munge += [f"--key-file={folder}/munge.key", f"--pid-file={folder}/munged.pid"]
    munge += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"]
    conf = str(folder / "slurm.conf")
    return [munge, ["slurmctld", "-D", "-f", conf], ["slurmd", "-D", "-f", conf]]


@contextlib.contextmanager
def daemons(folder: Path) -> Iterator[None]:
    """Start all of them; end all of them, in reverse."""
    started: list[subprocess.Popen] = []
    try:
        for command in commands(folder):
            with (folder / f"{command[0]}.out").open("w") as sink:
                started.append(subprocess.Popen(command, stdout=sink, stderr=sink))
            time.sleep(1.0)
            output = (folder / f"{command[0]}.out").read_text()
            assert started[-1].poll() is None, f"{command[0]}: {output}"
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Slurm, up and idle; no daemon and no job is left when the tests are done."""
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)
    # Not under pytest's own folder: munged refuses a socket that others cannot reach.
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        Path(name).chmod(0o755)
        yield from up_and_idle(Path(name))


def up_and_idle(folder: Path) -> Iterator[Slurm]:
    """The daemons while their caller works; in the end without any job."""
    write_configuration(folder)
    with daemons(folder):
        running = Slurm(folder)
        wait_for(lambda: "idle" in running.ask("sinfo", "--noheader", "--format=%T"), 300)
        try:
            yield running
        finally:
            running.ask("scancel", "--full", "--signal=KILL", "--user=root")
            running.ask("scancel", "--user=root")
            wait_for(lambda: not running.jobs("RUNNING", "COMPLETING", "PENDING"), 300)


@pytest.fixture(scope="session")
def local(slurm, project, tmp_path_factory) -> Run:
    """Stages 0 and 1 trained on this machine without a scheduler: the bits to reach."""
    run = copy_of_the_project(project, tmp_path_factory.mktemp("local"))
    done = run.snakemake("results/stage1/", config=(STEPS,))
    assert done.returncode == 0, done.stderr[-4000:]
    return run


@pytest.fixture
def prepared(local, tmp_path) -> Run:
    """A copy of the project and its prepared data, nothing trained."""
    run = Run(tmp_path / "run")
    shutil.copytree(local.base, run.base, symlinks=True)
    for k in (0, 1):
        shutil.rmtree(run.out / f"results/stage{k}")
    return run
