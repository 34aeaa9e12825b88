"""One real run at scale tiny, made once; each test works on a copy of project and results."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PARTS = ("Snakefile", "config.yaml", "cogment_pipe", "workflow", "profiles")
MESSAGE = re.compile(r"^Job \d+: (.*)$", re.MULTILINE)


@dataclass
class Run:
    """A copy of the project beside a working directory."""

    base: Path

    @property
    def project(self) -> Path:
        return self.base / "project"

    @property
    def out(self) -> Path:
        return self.base / "out"

    def command(self, *words: str, config: tuple[str, ...] = (), cores: str = "2") -> list[str]:
        return [
            *(sys.executable, "-m", "snakemake", *words, "--snakefile"),
            *(str(self.project / "Snakefile"), "--directory", str(self.out)),
            *("--cores", cores, "--config", "scale=tiny", *config),
        ]

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("COGMENT", "PYTHONPATH"))}
        return {**kept, "CUDA_VISIBLE_DEVICES": "", **extra}

    def snakemake(
        self, *words: str, config: tuple[str, ...] = (), cores: str = "2", **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """One call from a folder that is neither project nor working directory."""
        return subprocess.run(
            self.command(*words, config=config, cores=cores),
            cwd=self.base,
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=3600,  # ends a hang; a busy machine takes its time
        )

    def planned(self, *words: str, config: tuple[str, ...] = ()) -> set[str]:
        """Messages of the jobs that a dry run plans."""
        done = self.snakemake("-n", *words, config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        return set(MESSAGE.findall(done.stdout + done.stderr))

    def edit(self, name: str, old: str, new: str) -> None:
        """Replaces a text in a file of the project; it has to be there."""
        path = self.project / name
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1))

    def hashes(self, pattern: str = "results/**/*") -> dict[str, str]:
        """sha256 of the files below the working directory."""
        return {
            str(path.relative_to(self.out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.out.glob(pattern))
            if path.is_file()
        }


def copy_of_the_project(project: Path, base: Path) -> Run:
    run = Run(base)
    run.project.mkdir(parents=True)
    run.out.mkdir()
    for part in PARTS:
        source = project / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, run.project / part, ignore=ignored)
        else:
            shutil.copy2(source, run.project / part)
    return run


@pytest.fixture(scope="session")
def finished(project, tmp_path_factory) -> Run:
    """All of it at scale tiny: five stages, evaluation, report; never change this one."""
    run = copy_of_the_project(project, tmp_path_factory.mktemp("finished"))
    done = run.snakemake("all", "results/stage4/")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return run


@pytest.fixture
def run(finished, tmp_path) -> Run:
    """A copy of the finished run that a test may change."""
    shutil.copytree(finished.base, tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.fixture
def fresh(finished, tmp_path) -> Run:
    """A copy of the project without results."""
    return copy_of_the_project(finished.project, tmp_path / "fresh")


@pytest.fixture
def bare(project, tmp_path) -> Run:
    """A copy of the project without results, for tests that need no finished run."""
    return copy_of_the_project(project, tmp_path / "bare")
