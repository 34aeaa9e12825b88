"""What lies in a folder of results, as text: parameters, provenance, items. Reads JSON only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cogment_pipe.errors import CogmentError
from cogment_pipe.report import facts
from cogment_pipe.report.artifacts import StageRecord, read_json

WEIGHTS = (".pt", ".safetensors")
SPLITS = ("train", "validation", "test")


def describe(path: Path) -> str:
    """Parameters, provenance and items of what a path holds.

    Args:
        path: a stage's folder or its weights, a data folder, a manifest, or a whole results folder.

    Raises:
        CogmentError: nothing there can be described, or a manifest is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise CogmentError(f"{path}: no such file or folder")
    if path.is_dir() and not (path / "manifest.json").is_file():
        return _results(path)
    if path.is_file() and path.suffix not in (".json", *WEIGHTS):
        raise CogmentError(f"{path}: give a folder, a manifest.json, or weights with one beside")
    file = path if path.suffix == ".json" else _folder(path) / "manifest.json"
    if not file.is_file():
        raise CogmentError(f"{file}: not found; only weights with their manifest can be described")
    manifest = read_json(file)
    if "slice" in manifest and "outputs" in manifest:
        return _stage(file.parent, manifest)
    if "tasks" in manifest:
        return _data(file.parent, manifest)
    raise CogmentError(f"{file}: neither the manifest of a stage nor of data")


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def block(title: str, rows: list[tuple[str, Any]]) -> str:
    """A heading over aligned names and values."""
    shown = [(name, facts.plain(value)) for name, value in rows]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in shown)])


def _columns(header: list[str], rows: list[list[Any]]) -> list[str]:
    """Rows as aligned columns under their names."""
    table = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in table) for n in range(len(header))]
    return [
        "  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _stage(folder: Path, manifest: dict) -> str:
    """A trained stage: how it ended, its parameters, its configuration, its lineage."""
    summary_file = folder / "summary.json"
    summary = read_json(summary_file) if summary_file.is_file() else None
    record = StageRecord(manifest.get("stage", 0), summary=summary, manifest=manifest)
    content = manifest.get("slice") or {}
    blocks = [f"Stage {record.stage} {record.name}".rstrip()]
    if summary is None:
        blocks.append("summary.json is not here: how the stage ended is not known")
    else:
        ended = [("ended", summary.get("verdict")), ("reason", summary.get("reason"))]
        blocks.append(block("Training", [*ended, *facts.stage_facts(record)[:-1]]))
        parameters = summary.get("parameters") or {}
        blocks.append(block("Parameters", [(n, facts.count(parameters[n])) for n in parameters]))
    blocks.append(block("Model", sorted((content.get("model") or {}).items())))
    origin = [(name, content.get(name)) for name in ("scale", "seed")]
    origin += [(name, manifest.get(name)) for name in ("device", "precision", "threads")]
    origin.append(("bit-identical", manifest.get("bit_identical")))
    origin += sorted((manifest.get("versions") or {}).items())
    blocks.append(block("Made with", origin))
    lineage = [("source code", manifest.get("source"))]
    lineage.append(("parent", manifest.get("parent") or "none: fresh weights"))
    lineage += [(f"input {n}", d) for n, d in sorted((manifest.get("inputs") or {}).items())]
    blocks.append(block("Lineage (sha256)", lineage))
    blocks.append(_outputs(folder, manifest))
    return "\n\n".join(blocks) + "\n"


def _data(folder: Path, manifest: dict) -> str:
    """Prepared data: items by task and split, what was left out, where it came from."""
    record = StageRecord(manifest.get("stage", 0), data=manifest)
    rows = [
        [
            name,
            task.get("kind", ""),
            facts.data_origin(name, task),
            *(facts.count((task.get("splits") or {}).get(s, {}).get("items")) for s in SPLITS),
            facts.dropped(task.get("splits") or {}),
        ]
        for name, task in facts.ordered_tasks(record).items()
    ]
    header = ["task", "kind", "origin", *SPLITS, "left out"]
    blocks = [f"Data of stage {record.stage}", "\n".join(["Items", *_columns(header, rows)])]
    sources = {
        (source.get("path"), source.get("sha256")): source
        for task in facts.ordered_tasks(record).values()
        for source in task.get("sources") or []
    }
    listed = [
        [s.get("path"), facts.count(s.get("bytes")), s.get("licence") or "", s.get("sha256")]
        for s in sources.values()
    ]
    if listed:
        header = ["file", "bytes", "licence", "sha256"]
        blocks.append("\n".join(["Sources", *_columns(header, listed)]))
    else:
        blocks.append("Sources\n  none: everything was generated")
    leaks = manifest.get("leaks") or {}
    blocks.append(block("Leaks from test into training", sorted(leaks.items())))
    blocks.append(_outputs(folder, manifest))
    return "\n\n".join(blocks) + "\n"


def _outputs(folder: Path, manifest: dict) -> str:
    """The files that the manifest names, and whether they are here."""
    rows = [
        (name, f"{digest}{'' if (folder / name).exists() else '  (not here)'}")
        for name, digest in sorted((manifest.get("outputs") or {}).items())
    ]
    return block("Files (sha256 as recorded)", rows)


def _results(folder: Path) -> str:
    """One line for each stage of a results folder."""
    rows = []
    for stage in sorted(folder.glob("stage[0-9]")):
        summary = stage / "summary.json"
        content = read_json(summary) if summary.is_file() else {}
        best = (content.get("best") or {}).get("accuracy")
        steps, verdict = facts.count(content.get("steps")), content.get("verdict", "unfinished")
        rows.append([stage.name, content.get("name", ""), steps, verdict, facts.number(best)])
    if not rows:
        raise CogmentError(f"{folder}: no manifest.json and no stage folders here")
    header = ["folder", "name", "steps", "ended", "best validation"]
    return "\n".join([f"{len(rows)} stages", *_columns(header, rows)]) + "\n"
