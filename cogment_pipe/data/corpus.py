"""Text of stages 3 and 4, split into train, validation and test before anything else happens.

Writes {task}.{split}.jsonl in the upstream layout, {task}.train.variants.jsonl (label-preserving
copies of training items) and manifest.json. Generated tasks come from `generators`, real ones from
`loaders`; both leave here in the same form.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from pydantic import ValidationError

from cogment_pipe.data.generators.text_item import SPLITS, TextGenerator
from cogment_pipe.data.late_import import load
from cogment_pipe.data.storage import write_json, write_lines
from cogment_pipe.data.task_kinds import TEXT, TEXT_FILES
from cogment_pipe.data.task_splits import TaskSplits
from cogment_pipe.data.text_layout import LAYOUTS
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import seal

MAX_DUPLICATES = 2000  # in a row, before a generator counts as exhausted


def split_corpus(stage: int, slice: dict, out: Path) -> None:
    """Write every text task of `stage` into folder `out` (created; files are replaced atomically).

    Raises CogmentError where a corpus is absent or damaged, where a generator cannot make as many
    distinct items as asked, or where test items occur in training.
    """
    out, config = Path(out), slice["stage"]
    if config.get("source") == "corpora":
        tasks = load(TEXT_FILES, "load_corpora")(stage, slice)
        origins = {name: {"corpus": config["corpora"][name]["corpus"]} for name in tasks}
        if tasks and not any(task.records["train"] for task in tasks.values()):
            _train_on_generated(stage, slice, tasks)
    else:
        wanted = _text_tasks(config)
        tasks = {n: generate(n, task, slice["seed"], stage) for n, task in wanted.items()}
        origins = {name: {"generator": task["generator"]} for name, task in wanted.items()}
    manifest = {"stage": stage, "tasks": {}, "leaks": {}, "outputs": {}}
    for name, task in tasks.items():
        entry, outputs = _write(out, name, task)
        manifest["tasks"][name] = {**origins[name], **entry}
        manifest["outputs"].update(outputs)
        manifest["leaks"] |= task.leaks
    leaking = {kind: count for kind, count in manifest["leaks"].items() if count}
    if leaking:
        raise CogmentError(f"stage {stage}: items in more than one split: {leaking}")
    write_json(out / "manifest.json", seal(manifest))


def text_generator(name: str) -> TextGenerator:
    """The built-in text task `name`."""
    return load(*TEXT[name])


def generate(name: str, task: dict, seed: int, stage: int) -> TaskSplits:
    """One built-in task: distinct items, no key in two splits, variants of training items.

    `task` is a TaskConfig as dict. Raises CogmentError for bad params and exhausted generators.
    """
    generator = text_generator(task["generator"])
    try:
        params = generator.params(**task.get("params", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "params"
        raise CogmentError(f"task {name}: {where}: {first['msg']}") from None
    done = TaskSplits(generator.layout, generator.metric, generator.segmentation)
    keys: dict[str, set[str]] = {}
    for split in reversed(SPLITS):  # test first, so that training yields where they collide
        keys[split] = set()
        others = set().union(*(keys[s] for s in keys if s != split))
        duplicates = 0
        draws = generator.items(params, split, seed=seed, stage=stage, purpose=f"text/{name}")
        while len(done.records[split]) < task[split]:
            item = next(draws)
            if item.key in keys[split] or item.key in others:
                duplicates += 1
                if duplicates > MAX_DUPLICATES:
                    raise CogmentError(
                        f"task {name}: only {len(done.records[split])} distinct {split} items "
                        f"with these params, {task[split]} asked; ask for fewer or widen params"
                    )
                continue
            duplicates = 0
            keys[split].add(item.key)
            for kind, (record, key) in item.variants.items():
                if key not in others:
                    row = {"item": len(done.records[split]), "type": kind, "record": record}
                    done.variants.append(row)
                    keys[split].add(key)
            done.records[split].append(item.record)
    done.leaks = {
        f"{name}: items in {a} and {b}": len(keys[a] & keys[b]) for a, b in combinations(SPLITS, 2)
    }
    done.baselines = {"commonest_answer": _commonest(done)}
    if generator.shortcuts:
        done.baselines |= generator.shortcuts(done.records["test"], done.records["train"])
    return done


def _train_on_generated(stage: int, slice: dict, tasks: dict[str, TaskSplits]) -> None:
    """Give test-only corpora built-in training and validation items of their own layout."""
    for task in tasks.values():
        for name, config in _text_tasks(slice["stage"]).items():
            if text_generator(config["generator"]).layout != task.layout:
                continue
            made = generate(name, {**config, "test": 0}, slice["seed"], stage)
            for split in ("train", "validation"):
                task.records[split] += made.records[split]
            task.leaks |= made.leaks
            task.notes.append(
                f"no corpus of this stage has training items: train and validation hold those of "
                f"the built-in task {name}"
            )
    if not any(task.records["train"] for task in tasks.values()):
        raise CogmentError(
            f"stage {stage}: {', '.join(tasks)} have no training items; add a corpus that has, or "
            "set source: builtin"
        )


def _text_tasks(config: dict) -> dict[str, dict]:
    return {n: task for n, task in config["tasks"].items() if task["generator"] in TEXT}


def _commonest(task: TaskSplits) -> float:
    """Share of test items that the commonest training answer gets right (final answers)."""
    parse = LAYOUTS[task.layout]
    counts: dict[str, int] = {}
    for record in task.records["train"]:
        answer = parse(record).answer.split("####")[-1].strip()
        counts[answer] = counts.get(answer, 0) + 1
    if not counts or not task.records["test"]:
        return 0.0
    guess = max(counts, key=lambda answer: (counts[answer], answer))
    test = [parse(record).answer.split("####")[-1].strip() for record in task.records["test"]]
    return sum(answer == guess for answer in test) / len(test)


def _write(out: Path, name: str, task: TaskSplits) -> tuple[dict, dict[str, str]]:
    outputs = {}
    for split in SPLITS:
        file = f"{name}.{split}.jsonl"
        outputs[file] = write_lines(out / file, task.records[split])
    file = f"{name}.train.variants.jsonl"
    outputs[file] = write_lines(out / file, task.variants)
    by_type: dict[str, int] = {}
    for row in task.variants:
        by_type[row["type"]] = by_type.get(row["type"], 0) + 1
    entry = {
        "layout": task.layout,
        "metric": task.metric,
        "segmentation": task.segmentation,
        "splits": {
            split: {"items": len(task.records[split]), "dropped": task.dropped[split]}
            for split in SPLITS
        },
        "variants": by_type,
        "sources": task.sources,
        "baselines": task.baselines,
        "leaks": task.leaks,
        "notes": task.notes,
    }
    return entry, outputs
