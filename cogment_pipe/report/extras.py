"""Ablations and benchmarks as tables, whatever their JSON looks like.

A file with `rows` (a list of objects) becomes one table; every other list of objects in it becomes
a table of its own, and the plain values of the file are listed above it. `curves` are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cogment_pipe.report import grokking, throughput
from cogment_pipe.report.theme import Panel

DEPTH = 3
GENERAL = ("summary", "metrics", "results", "table")  # file names that say less than their folder


@dataclass(frozen=True)
class Table:
    """One table: caption, column names, rows of cells."""

    caption: str
    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True)
class Extra:
    """One JSON file of optional results."""

    title: str
    file: str
    note: str
    facts: list[tuple[str, Any]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)


def extra_sections(files: dict[str, Any]) -> list[Extra]:
    """One section for each file, in the order of their names."""
    return [_section(name, files[name]) for name in sorted(files)]


def _section(name: str, content: dict) -> Extra:
    facts: list[tuple[str, Any]] = []
    tables: list[Table] = []
    plain = {key: value for key, value in content.items() if key != "curves"}
    _collect("", plain, facts, tables, DEPTH)
    *folders, stem = name.removesuffix(".json").split("/")
    title = content.get("title") or (folders[-1] if stem in GENERAL else stem)
    skipped = ("title", "note")
    return Extra(
        title=str(title).replace("_", " "),
        file=name,
        note=str(content.get("note") or ""),
        facts=[fact for fact in facts if fact[0] not in skipped],
        tables=tables,
        panels=_panels(content, "-".join(folders)),
    )


def _panels(content: dict, name: str) -> list[Panel]:
    """The drawings of those benchmarks that have some."""
    if content.get("kind") == "throughput":
        return throughput.panels(content, name)
    return grokking.panels(content, name) if "curves" in content else []


def _collect(
    path: str, value: Any, facts: list[tuple[str, Any]], tables: list[Table], depth: int
) -> None:
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        columns = list(dict.fromkeys(name for row in value for name in row))
        rows = [[_flat(row.get(name)) for name in columns] for row in value]
        tables.append(Table("results" if path == "rows" else path, columns, rows))
    elif isinstance(value, dict) and _is_table(value):
        columns = list(dict.fromkeys(name for row in value.values() for name in row))
        rows = [[key, *(_flat(row.get(name)) for name in columns)] for key, row in value.items()]
        tables.append(Table(path, ["", *columns], rows))
    elif isinstance(value, dict) and depth:
        for name, inner in value.items():
            _collect(f"{path} {name}".strip(), inner, facts, tables, depth - 1)
    else:
        facts.append((path, _flat(value)))


def _is_table(value: dict) -> bool:
    """At least two objects of plain values."""
    rows = list(value.values())
    return len(rows) > 1 and all(
        isinstance(row, dict) and row and not any(isinstance(cell, dict) for cell in row.values())
        for row in rows
    )


def _flat(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(str(_flat(part)) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(part)}" for name, part in value.items())
    return value
