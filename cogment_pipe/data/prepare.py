"""Prepare one stage: run generators and loaders, write arrays, check for leaks, write the manifest.

The seed and the stage's configuration decide every byte; the number of processes does not.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cogment_pipe.data.batch import TASK_IDS
from cogment_pipe.data.generators import SPLITS, Draws, GridSplit, parse_params
from cogment_pipe.data.manifest import NAME, augmentation_entry, write_manifest
from cogment_pipe.data.splits import refuse_leaks, task_leaks
from cogment_pipe.data.storage import write_array
from cogment_pipe.errors import CogmentError


@dataclass(frozen=True)
class Generator:
    """Where a grid task is made and what the rest of the pipeline must know about it."""

    module: str
    params: str
    metric: str = "grid_exact"
    augmenter: str | None = None
    layout: str = "grid"

    def load(self) -> ModuleType:
        """The module that makes the task."""
        return importlib.import_module(f"cogment_pipe.data.{self.module}")


GENERATORS = {
    "linear_map": Generator("generators.linear_map", "LinearMapParams"),
    "sequence": Generator("generators.sequence", "SequenceParams"),
    "toy_maze": Generator("generators.maze", "ToyMazeParams", "maze", "dihedral"),
    "maze": Generator("generators.maze", "MazeParams", "maze", "dihedral"),
    "sudoku": Generator("generators.sudoku", "SudokuParams", "grid_exact", "sudoku"),
    "listops": Generator("generators.listops", "ListOpsParams", "listops", "listops"),
}


def prepare_stage(
    stage: int,
    slice: dict,
    out: Path,
    corpus: Path | None = None,
    tokenizer: Path | None = None,
) -> None:
    """Write `out`: arrays of every task and split, and manifest.json last.

    Raises CogmentError for bad params, a missing corpus, or a leak between splits.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / NAME).unlink(missing_ok=True)  # a folder without it is never taken for finished
    tasks: dict[str, dict] = {}
    leaks: dict[str, int] = {}
    for name, task in stage_tasks(slice["stage"]):
        kind = task.get("generator") or task["corpus"]
        if kind in GENERATORS:
            tasks[name] = prepare_grid(stage, name, task, slice, out)
            leaks |= task_leaks(out, name)
        else:
            from cogment_pipe.data.text_dataset import prepare_text

            tasks[name] = prepare_text(name, task, slice, corpus, tokenizer, out)
            leaks |= tasks[name].pop("leaks", {})
    refuse_leaks(stage, leaks)
    write_manifest(out, stage, tasks, leaks, augmentation_entry(slice["stage"]))


def stage_tasks(stage: dict) -> Iterator[tuple[str, dict]]:
    """The tasks that a stage trains on: built-in ones, or those on real files."""
    return iter(stage["corpora" if stage.get("source") == "corpora" else "tasks"].items())


def prepare_grid(stage: int, name: str, task: dict, slice: dict, out: Path) -> dict:
    """Generate one grid task, write its arrays, return its manifest entry."""
    kind = task["generator"]
    made = GENERATORS[kind]
    module = made.load()
    params = parse_params(
        getattr(module, made.params), task.get("params", {}), stage=stage, task=name
    )
    counts = {split: int(task[split]) for split in SPLITS}
    draws = Draws(int(slice["seed"]), stage, name)
    splits = module.generate(params, counts, draws)
    for split, items in splits.items():
        write_split(out, name, split, items)
    notes = module.notes(params) if hasattr(module, "notes") else {}
    return {
        "generator": kind,
        "kind": "grid",
        "layout": made.layout,
        "task_id": TASK_IDS[kind],
        "weight": float(task.get("weight", 1.0)),
        "batch_size": task.get("batch_size"),
        "metric": made.metric,
        "augmenter": augmenter_spec(made.augmenter, params),
        "params": params.model_dump(mode="json"),
        "splits": {
            s: {"items": len(items), "dropped": items.dropped} for s, items in splits.items()
        },
        "sources": [],
        **notes,
    }


def augmenter_spec(kind: str | None, params: object) -> dict | None:
    """What `augment.make_augmenter` needs to know about a task."""
    if kind == "sudoku":
        return {"kind": kind, "split": params.split}
    return {"kind": kind} if kind else None


def write_split(out: Path, name: str, split: str, items: GridSplit) -> None:
    """Write one split's arrays."""
    if not len(items):
        raise CogmentError(f"task {name}: split {split} is empty; give it more items")
    for what in ("inputs", "targets", "difficulty", "item", "group"):
        write_array(out / f"{name}.{split}.{what}.npy", getattr(items, what))
