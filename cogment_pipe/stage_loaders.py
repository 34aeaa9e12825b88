"""Loaders: the forms in which Python users may hand a stage's data to `CogmentTrainer`.

A loader is a mapping stage -> {task name: TaskData}, one stage's {task name: TaskData}, the folder
`results/data`, or one stage's folder in it. Whatever it is, it becomes one thing: `StageLoader`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cogment_pipe.data.dataset import TaskData
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import MANIFEST
from cogment_pipe.stage_run import stage_of
from cogment_pipe.stage_trainer import StageData
from cogment_pipe.trainer import items

Loader = Mapping[int, Mapping[str, TaskData]] | Mapping[str, TaskData] | Path | str


class StageLoader:
    """Items of one split, by stage.

    Args:
        source: any of the forms that the module's text names; a task of a mapping has `name`,
            `weight`, `batch_size`, `task_id`, `__len__` and `batch`, as `data.dataset.TaskData`.
        split: `train` or `validation`; what is read of a folder.
        stage: the stage that a mapping without stage numbers is meant for.

    Raises:
        ValueError: `source` has none of these forms.
        CogmentError: a folder without prepared data.
    """

    def __init__(self, source: Loader, split: str, stage: int) -> None:
        self.split = split
        self._folders: dict[int, Path] = {}
        self._tasks: dict[int, dict[str, TaskData]] = {}
        self.single = False
        if isinstance(source, str | Path):
            self._find_folders(Path(source))
        elif isinstance(source, Mapping) and source:
            self._take_mapping(source, stage)
        else:
            raise ValueError(
                f"a {split} loader is a folder, {{stage: {{name: TaskData}}}} or "
                f"{{name: TaskData}}, not {_kind(source)}"
            )

    @property
    def stages(self) -> list[int]:
        """Numbers of the stages that have data, in order."""
        return sorted({*self._folders, *self._tasks})

    def stage_data(self, stage: int) -> StageData:
        """Items of `stage`; CogmentError where there are none."""
        if stage in self._tasks:
            return StageData(stage, dict(self._tasks[stage]))
        if stage not in self._folders:
            raise CogmentError(
                f"the {self.split} loader has no stage {stage} (only {self.stages}); add its "
                "data, or leave it out by start_stage, stop_after or replay: 0"
            )
        return items(stage, self._folders[stage], self.split)

    def _find_folders(self, path: Path) -> None:
        if (path / MANIFEST).is_file():
            self._folders, self.single = {stage_of(path): path}, True
            return
        found = [folder for folder in path.glob("stage*") if (folder / MANIFEST).is_file()]
        if not found:
            raise CogmentError(f"{path}: no prepared data; name results/data or a stage in it")
        self._folders = {stage_of(folder): folder for folder in found}

    def _take_mapping(self, source: Mapping, stage: int) -> None:
        if all(isinstance(key, int) for key in source):
            self._tasks = {int(key): _tasks(value) for key, value in source.items()}
        else:
            self._tasks, self.single = {stage: _tasks(source)}, True


def _tasks(named: Mapping[str, TaskData]) -> dict[str, TaskData]:
    """The tasks of one stage, checked; ValueError where something is no task or has no items."""
    if not isinstance(named, Mapping) or not named:
        raise ValueError(f"a stage's data is {{name: TaskData}}, not {_kind(named)}")
    for name, task in named.items():
        if not hasattr(task, "batch") or not hasattr(task, "task_id"):
            raise ValueError(f"task {name!r} is {_kind(task)}, not TaskData (see data.dataset)")
        if not len(task):
            raise ValueError(f"task {name!r} has no items")
    return dict(named)


def _kind(value: object) -> str:
    return "empty" if isinstance(value, Mapping) else type(value).__name__
