"""`make clean` removes logs and caches, never a result."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

KEPT = ["results/stage0/checkpoint.pt", "results/stage0/manifest.json", "results/.scale"]
KEPT += ["results/.snapshots/stage1/state.pt", "results/.previous/stage0/checkpoint.pt"]
KEPT += ["results/report/index.html", "results/pretrained/stage0/README.md", "corpora/x.jsonl"]
KEPT += [".snakemake/metadata/x"]
GONE = ["logs/train/stage0.log", "cogment_pipe/__pycache__/x.pyc", ".pytest_cache/x"]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on PATH")
def test_clean_touches_no_result(project, tmp_path: Path) -> None:
    """Stages, snapshots, earlier stages, report and Snakemake's memory are byte for byte there."""
    shutil.copy(project / "Makefile", tmp_path)
    for name in (*KEPT, *GONE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    before = {name: hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in KEPT}
    subprocess.run(["make", "-s", "clean"], cwd=tmp_path, check=True)
    after = {name: hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in KEPT}
    assert after == before
    assert not any((tmp_path / name).exists() for name in GONE)
