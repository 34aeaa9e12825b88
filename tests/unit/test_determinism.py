"""Determinism: what is pinned, that strict means strict, and exact generator states."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cogment_pipe import checkpoint, rng
from cogment_pipe.determinism import (
    capture_rng,
    environment,
    restore_rng,
    seed_global,
    set_determinism,
)
from cogment_pipe.errors import CogmentError

ROOT = Path(__file__).resolve().parents[2]

PROBE = """
import json, os, sys, torch
from cogment_pipe.determinism import environment, set_determinism
set_determinism(2, STRICT)
set_determinism(2, STRICT)
try:
    torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
    refused = False
except RuntimeError as error:
    refused = "deterministic" in str(error)
print(json.dumps({
    "threads": torch.get_num_threads(),
    "interop": torch.get_num_interop_threads(),
    "cublas": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
    "benchmark": torch.backends.cudnn.benchmark,
    "matmul": torch.get_float32_matmul_precision(),
    "fill": torch.utils.deterministic.fill_uninitialized_memory,
    "refused": refused,
    "compiler": "torch._dynamo" in sys.modules,
    "environment": environment("cpu", "fp32", deterministic=STRICT),
}))
"""


def probe(strict: bool, **variables: str) -> dict:
    """Settings in a fresh process, since most of them are global and some can be set once."""
    clean = {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"}
    code = PROBE.replace("STRICT", str(strict))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_strict_pins_everything_and_refuses() -> None:
    """Threads, cuBLAS, kernels and precision are set; an unrepeatable operation is an error."""
    found = probe(True)
    recorded = found.pop("environment")
    assert found == {
        "threads": 2,
        "interop": 1,
        "cublas": ":4096:8",
        "warn_only": False,
        "benchmark": False,
        "matmul": "highest",
        "fill": False,
        "refused": True,
        "compiler": False,  # its import takes two seconds of every start
    }
    assert recorded["threads"] == 2 and recorded["deterministic"] is True
    assert recorded["torch"] == torch.__version__ and recorded["device"] == "cpu"
    assert recorded["cpu"]


def test_not_strict_allows_and_keeps_the_users_cublas_setting() -> None:
    """`deterministic: false` refuses nothing; a valid cuBLAS setting of the user's is kept."""
    found = probe(False)
    assert not found["refused"] and found["cublas"] is None
    assert found["environment"]["deterministic"] is False
    assert probe(True, CUBLAS_WORKSPACE_CONFIG=":16:8")["cublas"] == ":16:8"


def test_too_late_for_cublas_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once CUDA runs the setting cannot take effect: an error instead of other bits."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(CogmentError, match="CUDA has started before CUBLAS_WORKSPACE_CONFIG"):
        set_determinism(torch.get_num_threads(), True)
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_environment_is_plain_and_stable() -> None:
    """The record is JSON without clock, host or path, and equal when taken twice."""
    record = environment("cpu", "fp32")
    assert json.loads(json.dumps(record)) == record == environment("cpu", "fp32")
    assert environment("cpu", "bf16") != record
    assert not any(os.sep in str(value) for value in record.values())


def draw() -> tuple:
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.standard_normal(3).tolist(),
        torch.randn(3).tolist(),
    )


@pytest.fixture(autouse=True)
def keep_generators():
    """Put the global generators back after each test."""
    state = capture_rng()
    yield
    restore_rng(state)


def test_seeding_by_key_reaches_all_generators() -> None:
    """Equal keys give equal draws everywhere; keys that differ in any 32 bits do not."""
    key = rng.key(0, 1, 2, 0, "global")
    seed_global(key)
    first = draw()
    seed_global(key)
    assert draw() == first
    for shift in (0, 32, 96):
        seed_global(key ^ (1 << shift))
        other = draw()
        assert other[0] != first[0] and other[2] != first[2]


@pytest.mark.parametrize("warm", range(4))
def test_generator_states_survive_the_file_exactly(tmp_path: Path, warm: int) -> None:
    """State through a checkpoint file and back: the next draws are the same, cached halves too."""
    seed_global(5)
    for _ in range(warm):
        random.gauss(0, 1)
        np.random.standard_normal()
        torch.randn(1)
    path = tmp_path / "rng.pt"
    digest = checkpoint.save(path, *checkpoint.flatten("rng", capture_rng()))
    expected = draw()
    draw()
    restore_rng(checkpoint.unflatten("rng", *checkpoint.load(path)))
    assert checkpoint.save(path, *checkpoint.flatten("rng", capture_rng())) == digest
    assert draw() == expected
