"""A whole run as a user calls it: how long it takes, and how much of that is around its commands.

Torch-free: data, training of all stages, evaluation and report run in processes of their own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import write_json
from cogment_pipe.benchmarks.throughput.start import run, snakemake
from cogment_pipe.main_times import VARIABLE
from cogment_pipe.provenance import write_manifest

AT_MOST = 0.08  # share of the run that may pass outside the commands' main functions


def measure(project: Path, slice: dict[str, Any], source: str, work: Path, out: Path) -> dict:
    """Run the project in the empty folder `work`; table.json and manifest.json into `out`.

    Args:
        slice: `scale`, `seed` and `cores` of the call; the configuration is as shipped.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    times = (work / "times.jsonl").resolve()
    call = snakemake(project, work.resolve(), slice["scale"], slice["cores"])
    call += [f"seed={slice['seed']}"]
    call[5:5] = ["all", "--quiet"]
    wall, _ = run(call, work, **{VARIABLE: str(times)})
    commands = [json.loads(line) for line in times.read_text(encoding="utf-8").splitlines()]
    content = {
        "title": "A whole run: data, five stages, evaluation of every checkpoint, report",
        "rows": [_row(slice, wall, commands)],
        "commands": commands,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "table.json", content)
    write_manifest(out, {"slice": slice, "source": source, "inputs": {}}, ["table.json"])
    return content


def _row(slice: dict[str, Any], wall: float, commands: list[dict]) -> dict[str, Any]:
    """Seconds of the call, and those in which commands of each kind were at work."""
    inside = covered(commands)
    outside = wall - inside
    kinds = {"training": ("train",), "evaluation": ("evaluate",)}
    known = {word for words in kinds.values() for word in words}
    parts = {
        name: covered([c for c in commands if c["command"][0] in words])
        for name, words in kinds.items()
    }
    others = covered([c for c in commands if c["command"][0] not in known])
    return {
        **slice,
        "wall_seconds": round(wall, 1),
        **{f"{name}_seconds": round(seconds, 1) for name, seconds in parts.items()},
        "other_commands_seconds": round(others, 1),
        "outside_seconds": round(outside, 1),
        "outside_share": round(outside / wall, 4),
        "at_most": AT_MOST,
        "reached": outside / wall <= AT_MOST,
        "commands": len(commands),
    }


def covered(commands: list[dict]) -> float:
    """Seconds in which at least one of the commands was inside its main function."""
    total, end = 0.0, float("-inf")
    for command in sorted(commands, key=lambda c: c["begun"]):
        last = command["begun"] + command["seconds"]
        total += max(0.0, last - max(end, command["begun"]))
        end = max(end, last)
    return total
