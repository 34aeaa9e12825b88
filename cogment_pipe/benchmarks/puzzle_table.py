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
    """`exact` is of the vote where there is one, and `one view` then of a single pass."""
    task, seconds = place
    alone = [record["test"] for record in records]
    tests = [test.get("voted", test) for test in alone]
    exact = [test["exact"] for test in tests]
    wanted = budgets[task][seconds]
    return {
        "task": task,
        "seconds": int(seconds),
        "views": tests[0]["views"],
        "exact": by_seed(exact, 3),
        "least": min(exact),
        "median": statistics.median(exact),
        "wanted": wanted,
        "reached": min(exact) >= wanted,
        "one view": by_seed([test["exact"] for test in alone], 3),
        "items": tests[0]["items"],
        "refinement_steps": tests[0]["refinement_steps"],
        "threads": records[0]["asked"]["threads"],
        "training_seconds": by_seed([record["train_seconds"] for record in records], 1),
        "test_seconds": by_seed([test["seconds"] for test in tests], 1),
        "updates": " / ".join(str(record["steps"]) for record in records),
    }


def by_seed(values: list[float], digits: int) -> str:
    """One figure per seed, in their order."""
    return " / ".join(f"{value:.{digits}f}" for value in values)
