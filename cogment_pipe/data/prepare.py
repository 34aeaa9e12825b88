"""Prepare one stage: run generators and loaders, write arrays, check for leaks, write the manifest.

The seed and the stage's configuration decide every byte; the number of processes does not.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogment_pipe.data.batch import TASK_IDS
from cogment_pipe.data.generators import SPLITS, Draws, GridSplit, Params, parse_params
from cogment_pipe.data.manifest import NAME, augmentation_entry, write_manifest
from cogment_pipe.data.splits import refuse_leaks, task_leaks
from cogment_pipe.data.storage import write_array
from cogment_pipe.errors import CogmentError

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Kind:
    """Where a grid task comes from and what the rest of the pipeline must know about it."""

    module: str
    params: str = ""
    metric: str = "grid_exact"
    augmenter: str | None = None
    task: str = ""  # name in TASK_IDS, where it differs

    def load(self, name: str) -> Any:
        """One name of the module that makes the task."""
        return getattr(importlib.import_module(f"cogment_pipe.data.{self.module}"), name)


GENERATORS = {
    "linear_map": Kind("generators.linear_map", "LinearMapParams"),
    "sequence": Kind("generators.sequence", "SequenceParams"),
    "toy_maze": Kind("generators.maze", "ToyMazeParams", "maze", "dihedral"),
    "maze": Kind("generators.maze", "MazeParams", "maze", "dihedral"),
    "sudoku": Kind("generators.sudoku", "SudokuParams", "grid_exact", "sudoku"),
    "listops": Kind("generators.listops", "ListOpsParams", "listops", "listops"),
}
FILES = {
    "sudoku_extreme": Kind("loaders.sudoku_csv", "", "grid_exact", "sudoku", "sudoku"),
    "maze_hard": Kind("loaders.maze_csv", "", "maze", "dihedral", "maze"),
    "listops": Kind("loaders.listops_tsv", "", "listops", "listops"),
    "grids": Kind("loaders.own_grids", "OwnGridParams"),
}
ARC = {
    "arc": Kind("arc_prepare", "ArcParams", "arc"),
    "arc_like": Kind("arc_prepare", "ArcLikeParams"),
}


@dataclass(frozen=True)
class Job:
    """One task of one stage, on its way to disk."""

    stage: int
    name: str
    task: dict  # TaskConfig or CorpusTask
    slice: dict
    out: Path

    @property
    def draws(self) -> Draws:
        """The task's random streams."""
        return Draws(int(self.slice["seed"]), self.stage, self.name)

    @property
    def sequence_length(self) -> int:
        """Most cells of an item."""
        return int(self.slice["stage"]["sequence_length"])

    @property
    def corpus(self) -> dict | None:
        """The files that the task names, or None for a built-in one."""
        name = self.task.get("corpus")
        if name is None:
            return None
        source = self.slice.get("corpora", {}).get(name)
        if not source or "path" not in source:
            raise CogmentError(f"corpora.{name}: no path is configured; set it in config.yaml")
        return source

    def params(self, kind: Kind) -> Params:
        """The task's checked parameters."""
        model = kind.load(kind.params) if kind.params else Params
        return parse_params(model, self.task.get("params", {}), stage=self.stage, task=self.name)


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
        made = prepare_grid(Job(stage, name, task, slice, out))
        if made is not None:
            tasks[name] = made
            leaks |= task_leaks(out, name)
        else:
            if corpus is None or tokenizer is None:
                raise CogmentError(f"stages.{stage}, task {name}: text belongs to stages 3 and 4")
            from cogment_pipe.data.text_prepare import prepare_text

            tasks[name] = prepare_text(name, task, slice, corpus, tokenizer, out)
            leaks |= {f"{name}: {k}": n for k, n in tasks[name].pop("leaks", {}).items()}
    refuse_leaks(stage, leaks)
    write_manifest(
        out, stage, tasks, leaks, augmentation_entry(slice["stage"]), tokenizer and Path(tokenizer)
    )


def stage_tasks(stage: dict) -> Iterator[tuple[str, dict]]:
    """The tasks that a stage trains on: built-in ones, or those on real files."""
    return iter(stage["corpora" if stage.get("source") == "corpora" else "tasks"].items())


def prepare_grid(job: Job) -> dict | None:
    """Write one grid task's arrays and return its manifest entry; None when it is a text task."""
    asked = job.task.get("generator") or job.task["corpus"]
    if job.task.get("corpus") and (job.corpus or {}).get("kind") == "grids":
        asked = "grids"
    if asked in ARC:
        return _entry(job, asked, ARC[asked], _arc(job, asked))
    if asked in FILES and (job.task.get("corpus") or asked == "grids"):
        return _entry(job, asked, FILES[asked], _files(job, asked))
    if asked in GENERATORS:
        return _entry(job, asked, GENERATORS[asked], _generated(job, GENERATORS[asked]))
    return None


def _entry(job: Job, asked: str, kind: Kind, made: dict) -> dict:
    """Manifest entry of a task; `made` says what came out."""
    origin = "corpus" if job.task.get("corpus") else "generator"
    return {
        origin: job.task.get(origin),
        "kind": "grid",
        "layout": "arc" if asked in ARC else "grid",
        "task_id": TASK_IDS[kind.task or asked],
        "weight": float(job.task.get("weight", 1.0)),
        "batch_size": job.task.get("batch_size"),
        "metric": kind.metric,
        "params": job.params(kind).model_dump(mode="json", exclude={"path"}),
        **made,
    }


def _generated(job: Job, kind: Kind) -> dict:
    params = job.params(kind)
    counts = {split: int(job.task[split]) for split in SPLITS}
    splits = kind.load("generate")(params, counts, job.draws)
    cells = splits["train"].inputs[0].size
    if cells > job.sequence_length:
        raise CogmentError(
            f"stages.{job.stage}.tasks.{job.name}: items of {cells} cells exceed "
            f"sequence_length {job.sequence_length}; make them smaller or it larger"
        )
    notes = kind.load("notes")(params) if kind.augmenter == "sudoku" else {}
    augmenter = augmenter_spec(kind, getattr(params, "split", None))
    if getattr(params, "trace", False):
        augmenter = None  # running values depend on the order that an augmentation would change
    return {**_write(job, splits), "augmenter": augmenter, "sources": [], **notes}


def _files(job: Job, asked: str) -> dict:
    """Splits of a task that is read from files."""
    kind = FILES[asked]
    params = job.params(kind)
    corpus = job.corpus
    if corpus is None:
        if not getattr(params, "path", None):
            where = f"stages.{job.stage}.tasks.{job.name}.params.path"
            raise CogmentError(f"{where}: missing; name the .npz or .csv file")
        corpus = {"path": PROJECT / params.path}
    wanted = {split: job.task.get(split) for split in SPLITS}
    extra = {"listops": (job.sequence_length,), "grids": (params,)}.get(asked, ())
    loaded = kind.load("load")(corpus, wanted, job.draws, *extra)
    cells = loaded.splits["train"].inputs[0].size
    if cells > job.sequence_length:
        raise CogmentError(
            f"stages.{job.stage}, task {job.name}: the files' items have {cells} cells, more than "
            f"sequence_length {job.sequence_length}; raise it"
        )
    return {
        **_write(job, loaded.splits),
        "augmenter": augmenter_spec(kind, "class"),
        "sources": loaded.sources,
        "dropped": loaded.dropped,
        **kind.load("NOTES"),
    }


def _arc(job: Job, asked: str) -> dict:
    prepare = ARC[asked].load(f"prepare_{asked}")
    params = job.params(ARC[asked])
    corpus = () if asked == "arc_like" else (job.corpus,)
    return prepare(job.name, params, {**job.task, "stage": job.stage}, job.slice, job.out, *corpus)


def augmenter_spec(kind: Kind, split: str | None) -> dict | None:
    """What `augment.make_augmenter` needs to know about a task."""
    if kind.augmenter == "sudoku":
        return {"kind": "sudoku", "split": split}
    return {"kind": kind.augmenter} if kind.augmenter else None


def _write(job: Job, splits: dict[str, GridSplit]) -> dict:
    """Write every split's arrays; returns the manifest's counts."""
    for split, items in splits.items():
        if not len(items):
            raise CogmentError(f"task {job.name}: split {split} is empty; give it more items")
        for what in ("inputs", "targets", "difficulty", "item", "group"):
            write_array(job.out / f"{job.name}.{split}.{what}.npy", getattr(items, what))
    return {
        "splits": {
            split: {"items": len(items), "dropped": items.dropped}
            for split, items in splits.items()
        }
    }
