"""Before `full` starts: room on disk and GPU is compared with an estimate that is said."""

from __future__ import annotations

import subprocess

import pytest

from cogment_pipe import preflight
from cogment_pipe.config import load_config
from cogment_pipe.errors import CogmentError
from cogment_pipe.model import budget

STAGES = [0, 1, 2, 3, 4]


@pytest.fixture
def full(project, tmp_path):
    return load_config(project, tmp_path, {"scale": "full"})


def check(monkeypatch, config, project, *, disk: float = 1e12, gpu: float | None = 8e10, **kw):
    """The lines that are said, with so many bytes free."""
    monkeypatch.setattr(preflight, "free_disk", lambda folder: int(disk))
    monkeypatch.setattr(preflight, "free_gpu_memory", lambda: gpu and int(gpu))
    lines: list[str] = []
    preflight.check(
        config, kw.get("stages", STAGES), project, lines.append, gpu=kw.get("see", True)
    )
    return lines


@pytest.mark.parametrize("scale", ["full", "small"])
def test_the_formula_is_close_to_the_model(project, tmp_path, scale):
    """Parameters without torch: within 3% at full, which is what is estimated; 15% at small."""
    model = load_config(project, tmp_path, {"scale": scale}).model
    real = budget.parameters(model)["total"]
    assert preflight.parameters(model) == pytest.approx(real, rel=0.03 if scale == "full" else 0.15)


def test_the_estimates_are_said(monkeypatch, full, project):
    """One line each for disk, corpora and GPU."""
    disk, corpora, gpu = check(monkeypatch, full, project)
    assert disk.startswith("disk: about 7.") and "1000.0 GB free" in disk
    assert corpora.startswith("corpora: 0 files")
    assert gpu == "GPU: at least 0.5 GB for the state, 80.0 GB free"


def test_a_full_disk_and_a_full_gpu_stop_the_run(monkeypatch, full, project):
    """Each is one line that says what is needed and what there is."""
    with pytest.raises(CogmentError, match=r"disk: .* needs about 7\.\d GB and 3\.0 GB are free"):
        check(monkeypatch, full, project, disk=3e9)
    with pytest.raises(CogmentError, match=r"GPU: .* 0\.5 GB and 0\.1 GB are free"):
        check(monkeypatch, full, project, gpu=1e8)


def test_what_cannot_be_known_is_not_refused(monkeypatch, full, project):
    """A login node without a GPU, and a machine without nvidia-smi."""
    assert len(check(monkeypatch, full, project, see=False)) == 2
    assert "does not say" in check(monkeypatch, full, project, gpu=None)[2]


def test_other_scales_and_finished_runs_are_left_alone(monkeypatch, full, project, tmp_path):
    """Nothing is said or refused where nothing is trained, or little."""
    small = load_config(project, tmp_path, {"scale": "small"})
    assert check(monkeypatch, small, project, disk=0) == []
    assert check(monkeypatch, full, project, disk=0, stages=[]) == []


def test_nvidia_smi_is_read(monkeypatch):
    """The emptiest device counts; no answer is None."""
    answer = subprocess.CompletedProcess([], 0, "1024\n2048\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: answer)
    assert preflight.free_gpu_memory() == 2048 * 2**20

    def missing(*_args, **_kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert preflight.free_gpu_memory() is None
