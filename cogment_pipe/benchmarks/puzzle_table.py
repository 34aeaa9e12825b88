"""What `fit` solved of unseen puzzles after so many seconds of training: a table over seeds."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import sha256_file, write_json
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import write_manifest
from cogment_pipe.report.artifacts import read_json


def summarise(runs: list[Path], budgets: dict[str, dict[str, float]], out: Path) -> dict[str, Any]:
    """Table over the fit.json of all runs, in folders TASK-SECONDSs-seedN; returns it."""
    found: dict[tuple[str, str], list[dict]] = {}
    for path in runs:
        task, seconds, _ = path.parent.name.rsplit("-", 2)
        record = read_json(path)
        if "test" not in record:
            raise CogmentError(f"{path}: the run has not ended; run it again")
        found.setdefault((task, seconds[:-1]), []).append(record)
    rows = [_row(place, records, budgets) for place, records in found.items()]
    content = {
        "title": "Puzzles that `fit` solves after so many seconds",
        "reached": all(row["reached"] for row in rows),
        "rows": rows,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "table.json", content)
    inputs = {str(path): sha256_file(path) for path in runs}
    write_manifest(out, {"slice": budgets, "inputs": inputs}, ["table.json"])
    return content


def _row(place: tuple[str, str], records: list[dict], budgets: dict) -> dict[str, Any]:
    task, seconds = place
    exact = [record["test"]["exact"] for record in records]
    wanted = budgets[task][seconds]
    return {
        "task": task,
        "seconds": int(seconds),
        "exact": " / ".join(f"{value:.3f}" for value in exact),
        "least": min(exact),
        "median": statistics.median(exact),
        "wanted": wanted,
        "reached": min(exact) >= wanted,
        "items": records[0]["test"]["items"],
        "refinement_steps": records[0]["test"]["refinement_steps"],
        "threads": records[0]["asked"]["threads"],
        "training_seconds": " / ".join(f"{record['train_seconds']:.1f}" for record in records),
        "updates": " / ".join(str(record["steps"]) for record in records),
    }
