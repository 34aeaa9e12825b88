"""Which other processes may hold Snakemake's lock in this folder."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cogment_pipe import snakemake_lock


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are read from /proc")
@pytest.mark.parametrize(("words", "holds"), [((), True), (("--force", "--nolock"), False)])
def test_a_call_without_lock_holds_none(tmp_path, monkeypatch, words, holds):
    """A snakemake in this folder may hold the lock; a cluster's job, with --nolock, does not."""
    monkeypatch.chdir(tmp_path)
    sleep = "import sys; print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", sleep, "snakemake", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert snakemake_lock._other_snakemake() is holds
        other.stdin.close()
