"""Fixtures of the whole suite; run it with `make test`, or `python -m pytest`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before numpy or torch start: two cores, and sums in one order.
os.environ.setdefault("OMP_NUM_THREADS", "1")

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of Snakefile and config.yaml."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real samples of the upstream corpora, beside the project; they are not part of it."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the corpora samples in ../shared/data are not there")
    return folder


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A small file system of its own (32 MB), where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
