"""Fixtures that several test files share, made once for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit import evaluated


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory, project: Path) -> evaluated.Evaluated:
    """A tiny model with random weights, a checkpoint of it, and test data of three stages."""
    return evaluated.prepare(tmp_path_factory.mktemp("evaluated"), project)
