"""Fixtures that several test files share, made once for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogment_pipe.config import PipelineConfig, load_config
from tests.unit import evaluated


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory, project: Path) -> evaluated.Evaluated:
    """A tiny model with random weights, a checkpoint of it, and test data of three stages."""
    return evaluated.prepare(tmp_path_factory.mktemp("evaluated"), project)


@pytest.fixture
def load(project):
    """Loads the project's configuration with `user` on top, scale tiny unless it says otherwise."""

    def loaded(**user) -> PipelineConfig:
        return load_config(project, project, {"scale": "tiny", **user})

    return loaded


@pytest.fixture
def folder(project, tmp_path) -> Path:
    """A project folder of one's own, with nothing but config.yaml."""
    (tmp_path / "config.yaml").write_text((project / "config.yaml").read_text())
    return tmp_path
