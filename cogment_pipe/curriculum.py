"""The curriculum by name: five stages, 0 to 4, with the nominal values of config.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from cogment_pipe.config import load_config
from cogment_pipe.stage_config import StageConfig


class CurriculumStage(IntEnum):
    """The stages in the order of training."""

    SANITY = 0
    ARC_VISUAL = 1
    ALGORITHMIC = 2
    MATH_TEXT = 3
    LONG_CONTEXT = 4


class FourStageCurriculum:
    """Gives each stage's configuration; "four" is historical, there are five stages.

    Args:
        scale: `full` for the nominal table, or `small` or `tiny`.
        project: folder of config.yaml; the one this package lies in by default.
    """

    def __init__(self, scale: str = "full", project: Path | None = None) -> None:
        folder = project or Path(__file__).resolve().parents[1]
        self._stages = load_config(folder, folder, {"scale": scale}).stages

    def get_stage_config(self, stage: CurriculumStage | int) -> StageConfig:
        """The configuration of `stage`; ValueError for a number that is no stage."""
        return self._stages[CurriculumStage(stage)]

    def next_stage(self, stage: CurriculumStage | int) -> CurriculumStage | None:
        """The stage after `stage`, or None after the last."""
        following = CurriculumStage(stage) + 1
        return CurriculumStage(following) if following <= CurriculumStage.LONG_CONTEXT else None

    def __iter__(self) -> Iterator[CurriculumStage]:
        return iter(CurriculumStage)

    def __len__(self) -> int:
        return len(CurriculumStage)
