"""Prepare ARC: tasks into splits, what fits the canvas, items, tables of augmentations.

Split by task before anything else; a training task that shares a pair with a test task (up to
symmetry and colours) is dropped and counted.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import Field

from cogment_pipe.data.arc_augment import distinct_rows, draw_rows
from cogment_pipe.data.arc_dataset import ROUND, box, demonstrations, room, write_records
from cogment_pipe.data.arc_task import ArcRecord
from cogment_pipe.data.generators import SPLITS, Draws, Params, mix, split_of
from cogment_pipe.data.generators.arc_like import ArcLikeParams, generate
from cogment_pipe.data.loaders.arc import BUILTIN, load_builtin, load_files
from cogment_pipe.data.storage import write_array
from cogment_pipe.errors import CogmentError

VALIDATION_SHARE = 0.12
SPARE_DRAWS = 1.5


class ArcParams(Params):
    """Which tasks, and how much of each is shown."""

    sets: list[str] = Field(
        ["arc1-training"],
        min_length=1,
        description="sets that training and validation tasks come from",
    )
    test_sets: list[str] = Field(
        ["arc1-evaluation"], min_length=1, description="sets that test tasks come from"
    )
    side: int | None = Field(None, ge=3, le=30, description="canvas; None: from sequence_length")
    context_cells: int = Field(1024, ge=9, description="demonstration cells of an item, at most")


@dataclass
class ArcSplit:
    """One split before it is written: tasks and (task, query) items."""

    records: list[ArcRecord]
    items: list[tuple[int, int]]
    dropped: Counter = field(default_factory=Counter)


def canvas_side(side: int | None, sequence_length: int, where: str) -> int:
    """Side of the canvas: asked for, or the largest that fits the sequence length."""
    largest = min(30, math.isqrt(sequence_length))
    if side is not None and side > largest:
        raise CogmentError(
            f"{where}.side: {side} x {side} cells exceed sequence_length {sequence_length}; "
            f"at most {largest}"
        )
    return side or largest


def load_tasks(params: ArcParams, corpus: dict | None, where: str) -> tuple[dict, list, Counter]:
    """Training and test tasks by split, their sources and what was dropped on reading."""
    if corpus is not None:
        files = load_files(
            Path(corpus["path"]),
            corpus.get("licence") or "see the corpus",
            corpus.get("revision") or "",
        )
        loose = files.sets.get("", [])
        training, evaluation = files.sets.get("training", []), files.sets.get("evaluation", [])
        if training and evaluation:
            return (
                {"train": training + loose, "test": evaluation},
                files.sources,
                Counter(files.dropped),
            )
        every = training + evaluation + loose
        number = split_of(np.array([r.hash for r in every], dtype=np.uint64))
        told = {
            "train": [r for r, n in zip(every, number, strict=True) if n < 2],
            "test": [r for r, n in zip(every, number, strict=True) if n == 2],
        }
        return told, files.sources, Counter(files.dropped)
    for name in (*params.sets, *params.test_sets):
        if name not in BUILTIN:
            raise CogmentError(f"{where}.sets: {name!r} is not one of {', '.join(BUILTIN)}")
    loaded = {name: load_builtin(name) for name in dict.fromkeys(params.sets + params.test_sets)}
    told = {
        "train": [r for name in params.sets for r in loaded[name][0]],
        "test": [r for name in params.test_sets for r in loaded[name][0]],
    }
    return told, [source for _, source in loaded.values()], Counter()


def split_tasks(tasks: dict[str, list[ArcRecord]]) -> tuple[dict[str, list[ArcRecord]], Counter]:
    """Validation out of train, by task; duplicates and tasks that share a pair are dropped."""
    dropped: Counter = Counter()
    seen: set[int] = set()
    forbidden: set[int] = set()
    splits: dict[str, list[ArcRecord]] = {split: [] for split in SPLITS}
    train = []
    for record in tasks["train"]:
        point = mix(np.array([record.hash], dtype=np.uint64))[0] / np.float64(2**64)
        train.append(("validation" if point < VALIDATION_SHARE else "train", record))
    ordered = [("test", r) for r in tasks["test"]]
    ordered += sorted(train, key=lambda entry: entry[0] != "validation")
    for split in ("test", "validation", "train"):
        own: set[int] = set()
        for record in (r for s, r in ordered if s == split):
            whole = record.hash
            pairs = set(record.pair_hashes.tolist())
            if whole in seen:
                dropped[f"{split}: duplicate task"] += 1
            elif pairs & forbidden:
                dropped[f"{split}: shares a pair with a held-out task"] += 1
            else:
                seen.add(whole)
                own |= pairs
                splits[split].append(record)
        forbidden |= own
    return splits, dropped


def make_items(
    records: list[ArcRecord], split: str, need: int, side: int, cells: int, draws: Draws
) -> ArcSplit:
    """Items of a split: every pair as the query in training, the tests alone elsewhere."""
    rng = draws.stream(split, "items")
    dropped: Counter = Counter()
    choices: list[tuple[float, int, list[int]]] = []  # rank, task, queries that stay together
    for number, record in enumerate(records):
        queries = range(0 if split == "train" else len(record.train), len(record.pairs))
        fitting = [q for q in queries if _fits(record, q, side, cells, dropped)]
        if split != "train" and len(fitting) < len(queries):
            fitting = []  # a task is scored on all its tests or not at all
        if not fitting:
            dropped["task: does not fit"] += 1
        elif split == "train":  # every task gives one item before any gives a second
            ranks = rng.permutation(len(fitting)) + rng.random()
            choices += [(float(r), number, [q]) for r, q in zip(ranks, fitting, strict=True)]
        else:
            choices.append((float(rng.random()), number, fitting))
    chosen: list[tuple[int, int]] = []
    for _, number, queries in sorted(choices):
        if len(chosen) + len(queries) <= need:
            chosen += [(number, q) for q in queries]
        else:
            dropped["over the asked number"] += len(queries)
    chosen.sort()
    used = {number: i for i, number in enumerate(sorted({number for number, _ in chosen}))}
    items = [(used[number], q) for number, q in chosen]
    kept = [records[number] for number in used]
    for number, query in items:
        cut = demonstrations(kept[number], query, cells)[1]
        if cut:
            dropped["demonstrations cut from shown items"] += cut
    return ArcSplit(kept, items, dropped)


def _fits(record: ArcRecord, query: int, side: int, cells: int, dropped: Counter) -> bool:
    if max(box(record.pairs[query])) > side:
        dropped["item: query does not fit the canvas"] += 1
        return False
    if not demonstrations(record, query, cells)[0]:
        dropped["item: no demonstration fits the context"] += 1
        return False
    return True


def write_arc_split(out: Path, name: str, split: str, made: ArcSplit) -> None:
    """Write tasks, items, difficulty (cells of the output) and hashes of one split."""
    if not made.items:
        raise CogmentError(f"task {name}: split {split} is empty; widen side or context_cells")
    stem = f"{name}.{split}"
    write_records(out, stem, made.records)
    items = np.array(made.items, dtype=np.int32)
    whole = np.array([r.hash for r in made.records], dtype=np.uint64)
    pairs = np.concatenate([r.pair_hashes for r in made.records])
    sizes = [made.records[t].pairs[q][1].size for t, q in made.items]
    write_array(out / f"{stem}.items.npy", items)
    write_array(out / f"{stem}.difficulty.npy", np.array(sizes, dtype=np.float32))
    write_array(out / f"{stem}.item.npy", mix(whole[items[:, 0]] + items[:, 1].astype(np.uint64)))
    write_array(out / f"{stem}.group.npy", np.unique(pairs))


def write_augmentations(
    out: Path, stem: str, records: list[ArcRecord], types: tuple, most: int, side: int, draws: Draws
) -> np.ndarray:
    """Write the table of distinct augmentations of every task; returns how many each has."""
    table = np.zeros((len(records), most, 13), dtype=np.uint8)
    table[:, :, 1:11] = np.arange(10)
    counts = np.zeros(len(records), dtype=np.int32)
    for number, record in enumerate(records):
        rng = draws.stream("augmentations", record.id)
        rows = draw_rows(rng, int(most * SPARE_DRAWS), types, room(record, side))
        rows = distinct_rows(record, rows, most)
        counts[number] = len(rows)
        table[number, : len(rows)] = rows
    write_array(out / f"{stem}.augmentations.npy", table)
    write_array(out / f"{stem}.augmentation_counts.npy", counts)
    return counts


def context_width(splits: dict[str, ArcSplit], cells: int) -> int:
    """Most demonstration cells that any item shows, rounded up as batches are."""
    most = 1
    for made in splits.values():
        for task, query in made.items:
            record = made.records[task]
            shown = demonstrations(record, query, cells)[0]
            most = max(most, sum(math.prod(box(record.train[number])) for number in shown))
    return -(-most // ROUND) * ROUND


def prepare_arc_like(name: str, params: ArcLikeParams, task: dict, slice: dict, out: Path) -> dict:
    """Write generated tasks' three splits; returns their part of the manifest entry."""
    stage = slice["stage"]
    draws = Draws(int(slice["seed"]), int(task["stage"]), name)
    where = f"stages.{task['stage']}.tasks.{name}.params"
    side = canvas_side(params.side, int(stage["sequence_length"]), where)
    counts = {split: int(task[split]) for split in SPLITS}
    made = generate(params, side, counts, draws, builtin_pairs(stage["tasks"]))
    splits = {
        split: ArcSplit(records, [(i, len(r.train)) for i, r in enumerate(records)])
        for split, records in made.items()
    }
    for split, items in splits.items():
        write_arc_split(out, name, split, items)
    return {
        "side": side,
        "context_width": context_width(splits, params.context_cells),
        "splits": {s: {"items": len(made.items), "dropped": {}} for s, made in splits.items()},
        "sources": [],
    }


def builtin_pairs(tasks: dict[str, dict]) -> set[int]:
    """Hashes of all pairs of the built-in sets that ARC tasks among a stage's `tasks` read."""
    names: set[str] = set()
    for task in tasks.values():
        if task["generator"] == "arc":
            given = task.get("params", {})
            params = ArcParams(**{key: given[key] for key in ("sets", "test_sets") if key in given})
            names |= {*params.sets, *params.test_sets} & set(BUILTIN)
    records = (record for name in sorted(names) for record in load_builtin(name)[0])
    return {int(mark) for record in records for mark in record.pair_hashes}


def prepare_arc(
    name: str, params: ArcParams, task: dict, slice: dict, out: Path, corpus: dict | None
) -> dict:
    """Write ARC's three splits; returns its part of the manifest entry."""
    stage = slice["stage"]
    draws = Draws(int(slice["seed"]), int(task["stage"]), name)
    where = f"stages.{task['stage']}.tasks.{name}.params"
    side = canvas_side(params.side, int(stage["sequence_length"]), where)
    tasks, sources, lost = load_tasks(params, corpus, where)
    records, dropped = split_tasks(tasks)
    most = {split: task.get(split) or 10**9 for split in SPLITS}
    splits = {
        split: make_items(records[split], split, most[split], side, params.context_cells, draws)
        for split in SPLITS
    }
    types = tuple(stage.get("augmentation_types", ()))
    per_task = int(stage.get("augmentations_per_task", 300))
    distinct = {}
    for split, made in splits.items():
        write_arc_split(out, name, split, made)
        kept = types if split == "train" else tuple(t for t in types if t != "translate")
        stem = f"{name}.{split}"
        counts = write_augmentations(out, stem, made.records, kept, per_task, side, draws)
        distinct[split] = {"min": int(counts.min()), "median": float(np.median(counts))}
    return {
        "side": side,
        "context_width": context_width(splits, params.context_cells),
        "splits": {
            split: {
                "items": len(made.items),
                "tasks": len(made.records),
                "tasks_before": len(records[split]),
                "dropped": dict(made.dropped),
            }
            for split, made in splits.items()
        },
        "dropped_tasks": dict(dropped + lost),
        "distinct_augmentations": distinct,
        "sources": sources,
    }
