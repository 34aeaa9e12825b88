"""Tests on a CUDA device; elsewhere each is skipped, and says why."""

from __future__ import annotations

import os

# Before CUDA starts: strict determinism needs it.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import pytest
import torch

from tests.resume.stages import Interruptions


@pytest.fixture(scope="session", autouse=True)
def cuda() -> torch.device:
    """The device; skips where there is none, or none with bf16."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is visible")
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("bf16 needs compute capability 8.0")
    return torch.device("cuda")


@pytest.fixture(scope="module", autouse=True)
def torch_settings():
    """The trainer sets threads and determinism for its process; here it shares one."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


@pytest.fixture
def interruptions(monkeypatch) -> Interruptions:
    return Interruptions(monkeypatch).install()
