"""The model card: what the manifests say, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.report.card import model_card


def test_card_of_the_last_stage(results: Path) -> None:
    """Size, scores with intervals, limits, licences and digests stand in the card."""
    card = model_card(results / "stage4", usage="Load `model.safetensors`.")
    assert card.startswith("---\n")
    assert "# Cogment, stage 4: LONG_CONTEXT" in card
    assert "| parameters, total | 1,070,000 |" in card
    assert "| 4 | recall | recall | 0.670 | 0.640 to 0.700 | 0.310 (copy) | 500 |" in card
    assert "stopped learning before it met its criteria" in card
    assert "Apache-2.0" in card
    assert "Load `model.safetensors`." in card
    assert card == model_card(results / "stage4", usage="Load `model.safetensors`.")


def test_card_without_evaluation(copied: Path) -> None:
    """Weights without scores do not get borrowed ones."""
    shutil.rmtree(copied / "eval")
    shutil.rmtree(copied / "data")
    card = model_card(copied / "stage2")
    assert "were not evaluated" in card
    assert "No data manifests" in card
    assert "stage 3" not in card


def test_card_needs_a_stage(results: Path) -> None:
    """Another folder is refused in one line."""
    with pytest.raises(CogmentError, match="not the manifest of a stage's own folder"):
        model_card(results / "data/stage0")
    with pytest.raises(CogmentError, match="not found"):
        model_card(results)
