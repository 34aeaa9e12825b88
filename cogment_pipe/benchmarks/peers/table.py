"""`fit` beside peers on the same puzzles, in the same seconds, by the same scorer: a table."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import sha256_file, write_json
from cogment_pipe.benchmarks.puzzle_table import by_seed
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import write_manifest
from cogment_pipe.report.artifacts import read_json


def compare(ours: list[Path], theirs: list[Path], out: Path) -> dict[str, Any]:
    """Table over TASK-SECONDSs-seedN/fit.json of `fit` and CLASS-TASK-SECONDSs/seedN.json of peers.

    `ahead` says by how much the least seed of `fit` is above the best seed of a peer.
    """
    found: dict[tuple[str, int, str], list[dict]] = {}
    folders = sorted({path.parent for path in theirs})
    tries = [path for folder in folders for path in sorted(folder.glob("try*.json"))]
    for path in ours:
        task, seconds, _ = path.parent.name.rsplit("-", 2)
        found.setdefault((task, int(seconds[:-1]), "fit"), []).append(read_json(path))
    for path in theirs:
        peer, task, seconds = path.parent.name.rsplit("-", 2)
        found.setdefault((task, int(seconds[:-1]), peer), []).append(read_json(path))
    for place, records in found.items():
        if any("test" not in record for record in records):
            raise CogmentError(f"{'-'.join(map(str, place))}: a run has no test; run it again")
    rows = [_row(place, records) for place, records in sorted(found.items())]
    least = {(r["task"], r["seconds"]): min(r["_exact"]) for r in rows if r["trained"] == "fit"}
    for row in rows:
        place = (row["task"], row["seconds"])
        row["ahead"] = None
        if row["trained"] != "fit" and place in least:
            row["ahead"] = round(least[place] - max(row["_exact"]), 6)
    content = {
        "title": "`fit` beside peers on the same puzzles, in the same seconds",
        "rows": [{k: v for k, v in row.items() if k != "_exact"} for row in rows],
        "tries": [_try(path) for path in tries],
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "table.json", content)
    inputs = {str(path): sha256_file(path) for path in [*ours, *theirs, *tries]}
    write_manifest(out, {"inputs": inputs}, ["table.json"])
    return content


def _row(place: tuple[str, int, str], records: list[dict]) -> dict[str, Any]:
    task, seconds, trained = place
    alone = [record["test"] for record in records]
    tests = [test.get("voted", test) for test in alone]
    exact = [test["exact"] for test in tests]
    setting = records[0].get("setting")
    return {
        "task": task,
        "seconds": seconds,
        "trained": trained,
        "setting": "its defaults" if setting is None else _words(setting),
        "views": tests[0]["views"],
        "exact": by_seed(exact, 3),
        "median": statistics.median(exact),
        "one view": by_seed([test["exact"] for test in alone], 3),
        "cells": by_seed([test["cells"] for test in alone], 3),
        "training_seconds": by_seed([record["train_seconds"] for record in records], 1),
        "updates": " / ".join(str(record["steps"]) for record in records),
        "_exact": exact,
    }


def _try(path: Path) -> dict[str, Any]:
    record = read_json(path)
    return {
        "run": path.parent.name,
        "setting": _words(record["setting"]),
        "validation exact": record["validation"]["exact"],
        "validation cells": record["validation"]["cells"],
        "updates": record["steps"],
    }


def _words(setting: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in setting.items())
