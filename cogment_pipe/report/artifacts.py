"""What the report reads: the JSON artifacts of a results folder, as plain records.

Only JSON is opened, never a checkpoint, so the report can be made after the weights are gone. A
file that is not there is named in `missing`; a file that is there but damaged stops the report.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import sha256_file
from cogment_pipe.errors import CogmentError

STAGES = range(5)
HASHED = 64 * 1024 * 1024  # larger files are not re-hashed for a page that must come in seconds


@dataclass(frozen=True)
class StageRecord:
    """Everything that is known of one stage; None or empty where an artifact is missing."""

    stage: int
    train: list[dict] = field(default_factory=list)
    validation: list[dict] = field(default_factory=list)
    summary: dict | None = None
    manifest: dict | None = None
    data: dict | None = None
    evaluation: dict | None = None
    examples: list[dict] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The stage's name as its own artifacts give it, or an empty string."""
        for record in (self.summary, ((self.manifest or {}).get("slice") or {}).get("stage")):
            if isinstance(record, dict) and record.get("name"):
                return str(record["name"])
        return ""

    @property
    def present(self) -> bool:
        """True where the stage was trained."""
        return self.summary is not None or self.manifest is not None


@dataclass(frozen=True)
class Run:
    """A results folder: stages, their data and evaluations, and what was made beside them."""

    stages: list[StageRecord]
    missing: list[str]
    digests: dict[str, str]  # file, relative to the results folder -> sha256 of what is there now
    extras: dict[str, dict[str, Any]]  # "ablations" | "benchmarks" -> file -> content
    slice: dict

    @property
    def trained(self) -> list[StageRecord]:
        return [record for record in self.stages if record.present]

    @property
    def last(self) -> StageRecord | None:
        """The stage of the last checkpoint that was evaluated."""
        evaluated = [record for record in self.stages if record.evaluation]
        return evaluated[-1] if evaluated else None

    def result(self, checkpoint: int, stage: int) -> dict | None:
        """Scores of a checkpoint on the test sets of a stage, None where it was not evaluated."""
        if not 0 <= checkpoint < len(self.stages):
            return None
        evaluation = self.stages[checkpoint].evaluation or {}
        return (evaluation.get("stages") or {}).get(str(stage))


def read_json(path: Path) -> dict:
    """A JSON object from a file.

    Raises:
        CogmentError: the file is damaged or holds something other than an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        raise _damaged(path, line, error) from error
    if not isinstance(value, dict):
        raise CogmentError(f"{path}: expected a JSON object; run the rule that makes it again")
    return value


def read_lines(path: Path) -> list[dict]:
    """The objects of a JSONL file, in order.

    Raises:
        CogmentError: names file and line of the first damaged one.
    """
    records = []
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise _damaged(path, number, error) from error
            if not isinstance(value, dict):
                raise CogmentError(
                    f"{path}, line {number}: expected a JSON object; "
                    "run the rule that makes this file again"
                )
            records.append(value)
    return records


def _damaged(path: Path, line: int | None, error: Exception) -> CogmentError:
    where = f"{path}, line {line}" if line else str(path)
    reason = error.msg if isinstance(error, json.JSONDecodeError) else "not UTF-8"
    return CogmentError(
        f"{where}: damaged JSON ({reason}); run the rule that makes this file again"
    )


def load_run(results: Path, slice: dict) -> Run:
    """Read a results folder.

    Args:
        results: folder with `stage{k}/`, `eval/`, `data/` as the rules leave them.
        slice: the report's part of the config; its `stages` are the ones to be expected.

    Raises:
        CogmentError: there is no such folder, or an artifact is damaged.
    """
    results = Path(results)
    if not results.is_dir():
        raise CogmentError(f"{results}: no such results folder; train a stage first")
    count = max(slice.get("stages") or STAGES) + 1
    missing: list[str] = []
    stages = [_load_stage(results, stage, missing) for stage in range(count)]
    extras = {kind: _load_extras(results / kind, results) for kind in ("ablations", "benchmarks")}
    return Run(stages, missing, _digests(results, count), extras, dict(slice))


def _load_stage(results: Path, stage: int, missing: list[str]) -> StageRecord:
    """Read what there is of a stage and note what there is not."""

    def optional(name: str, reader: Any) -> Any:
        path = results / name
        if path.is_file():
            return reader(path)
        missing.append(name)
        return None

    events = optional(f"stage{stage}/metrics.jsonl", read_lines) or []
    predictions = optional(f"eval/stage{stage}/predictions.jsonl", read_lines) or []
    return StageRecord(
        stage=stage,
        train=[event for event in events if event.get("event") == "train"],
        validation=[event for event in events if event.get("event") == "validation"],
        summary=optional(f"stage{stage}/summary.json", read_json),
        manifest=optional(f"stage{stage}/manifest.json", read_json),
        data=optional(f"data/stage{stage}/manifest.json", read_json),
        evaluation=optional(f"eval/stage{stage}/metrics.json", read_json),
        examples=[item for item in predictions if item.get("input") is not None],
    )


def _load_extras(folder: Path, results: Path) -> dict[str, Any]:
    """Every JSON file under a folder of optional results, but manifests."""
    if not folder.is_dir():
        return {}
    found = [path for path in folder.rglob("*.json") if path.name != "manifest.json"]
    paths = sorted(found, key=lambda path: path.relative_to(results).as_posix())
    return {path.relative_to(results).as_posix(): read_json(path) for path in paths}


def _digests(results: Path, count: int) -> dict[str, str]:
    """Digests of the small files that manifests name, as they are on disk now."""
    paths = list((results / "data").rglob("*.json")) if (results / "data").is_dir() else []
    for stage in range(count):
        paths += [results / f"stage{stage}" / name for name in ("metrics.jsonl", "summary.json")]
        paths += [results / f"stage{stage}/manifest.json", results / f"stage{stage}/config.json"]
        paths.append(results / f"eval/stage{stage}/metrics.json")
    kept = [path for path in paths if path.is_file() and path.stat().st_size <= HASHED]
    named = {path.relative_to(results).as_posix(): path for path in kept}
    return {name: sha256_file(named[name]) for name in sorted(named)}
