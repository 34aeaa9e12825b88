"""Prepare one stage: run generators and loaders, write arrays, check for leaks, write the manifest.

The seed and the stage's configuration decide every byte; the number of processes does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cogment_pipe.data.batch import TASK_IDS
from cogment_pipe.data.generators import SPLITS, Draws, GridSplit, Params, parse_params
from cogment_pipe.data.late_import import load
from cogment_pipe.data.manifest import NAME, augmentation_entry, write_manifest
from cogment_pipe.data.splits import refuse_leaks, task_leaks
from cogment_pipe.data.storage import write_array
from cogment_pipe.data.task_kinds import ARC, FILES, TEXT_ARRAYS, GridKind, grid_kind, stage_tasks
from cogment_pipe.errors import CogmentError

PROJECT = Path(__file__).resolve().parents[2]


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

    def params(self, kind: GridKind) -> Params:
        """The task's checked parameters."""
        model = load(kind.module, kind.params) if kind.params else Params
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
            prepare_text = load(TEXT_ARRAYS, "prepare_text")
            tasks[name] = prepare_text(name, task, slice, corpus, tokenizer, out)
            leaks |= {f"{name}: {k}": n for k, n in tasks[name].pop("leaks", {}).items()}
    refuse_leaks(stage, leaks)
    write_manifest(
        out, stage, tasks, leaks, augmentation_entry(slice["stage"]), tokenizer and Path(tokenizer)
    )


def prepare_grid(job: Job) -> dict | None:
    """Write one grid task's arrays and return its manifest entry; None when it is a text task."""
    found = grid_kind(job.task, job.slice.get("corpora", {}))
    if found is None:
        return None
    asked, kind = found
    if asked in ARC:
        made = _arc(job, asked, kind)
    elif kind is FILES.get(asked):
        made = _files(job, asked, kind)
    else:
        made = _generated(job, kind)
    return _entry(job, asked, kind, made)


def _entry(job: Job, asked: str, kind: GridKind, made: dict) -> dict:
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


def _generated(job: Job, kind: GridKind) -> dict:
    params = job.params(kind)
    counts = {split: int(job.task[split]) for split in SPLITS}
    splits = load(kind.module, "generate")(params, counts, job.draws)
    cells = splits["train"].inputs[0].size
    if cells > job.sequence_length:
        raise CogmentError(
            f"stages.{job.stage}.tasks.{job.name}: items of {cells} cells exceed "
            f"sequence_length {job.sequence_length}; make them smaller or it larger"
        )
    notes = load(kind.module, "notes")(params) if kind.augmenter == "sudoku" else {}
    augmenter = augmenter_spec(kind, getattr(params, "split", None))
    if getattr(params, "trace", False):
        augmenter = None  # running values depend on the order that an augmentation would change
    return {**_write(job, splits), "augmenter": augmenter, "sources": [], **notes}


def _files(job: Job, asked: str, kind: GridKind) -> dict:
    """Splits of a task that is read from files."""
    params = job.params(kind)
    corpus = job.corpus
    if corpus is None:
        if not getattr(params, "path", None):
            where = f"stages.{job.stage}.tasks.{job.name}.params.path"
            raise CogmentError(f"{where}: missing; name the .npz or .csv file")
        corpus = {"path": PROJECT / params.path}
    wanted = {split: job.task.get(split) for split in SPLITS}
    extra = {"listops": (job.sequence_length,), "grids": (params,)}.get(asked, ())
    loaded = load(kind.module, "load")(corpus, wanted, job.draws, *extra)
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
        **load(kind.module, "NOTES"),
    }


def _arc(job: Job, asked: str, kind: GridKind) -> dict:
    prepare = load(kind.module, f"prepare_{asked}")
    params = job.params(kind)
    corpus = () if asked == "arc_like" else (job.corpus,)
    return prepare(job.name, params, {**job.task, "stage": job.stage}, job.slice, job.out, *corpus)


def augmenter_spec(kind: GridKind, split: str | None) -> dict | None:
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
