"""Table of the benchmark of speed from its parts: rates, floors, growth, start-up. Torch-free.

Every figure is a median over the repeats of its part; a share is the median of step by step ratios
to the matrix rate that was measured beside that very step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cogment_pipe.atomic import sha256_file, write_bytes, write_json
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import versions, write_manifest
from cogment_pipe.report.throughput import figure_svg, markdown

H100 = {"operations": 989e12, "bytes": 3.35e12, "kernel_seconds": 5e-6}
"""Dense bf16 rate and memory rate of an H100 SXM by its data sheet; start of a kernel: assumed."""
LEAST_SHARE, MOST_MEMORY, MOST_BENT = 0.6, 6 * 1024, 0.1
QUIET = 0.05  # share of the machine that others may take while figures are taken
STARTED = ("interpreter", "import", "help", "dry_run")
ARMS = ("plain", "checkpointing", "bf16", "compile")
KINDS = ("cell", "sweep", "start")
NOTE = (
    "Random items of each stage's greatest lengths, without replay and twins; all arms of a cell "
    "take turns in one process. Share: operations that inspect counts (three forward passes) over "
    "time and over the fp32 matrix rate measured beside each step; counted: the same with every "
    "operation that ran. Peak: resident memory of the "
    "process. The first step is the one that is counted, which makes it slower."
)


def read_part(path: Path) -> dict[str, Any]:
    """A part of the benchmark; CogmentError where it is damaged."""
    try:
        part = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CogmentError(f"{path}: no finished part of the benchmark ({error})") from error
    if not isinstance(part, dict) or part.get("kind") not in KINDS:
        raise CogmentError(f"{path}: no finished part of the benchmark of speed")
    return part


def write_summary(paths: list[Path], out: Path) -> dict[str, Any]:
    """Write table.json, table.md, curves.svg and a manifest into `out`; returns the table."""
    table = summarise([read_part(path) for path in paths])
    write_json(out / "table.json", table)
    write_bytes(out / "table.md", (markdown(table) + "\n").encode())
    write_bytes(out / "curves.svg", figure_svg(table).encode())
    inputs = {path.name: sha256_file(path) for path in paths}
    write_manifest(out, {"inputs": inputs}, ["table.json", "table.md", "curves.svg"])
    return table


def summarise(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The table as JSON.

    Raises CogmentError where there is not one sweep, one start and at least one cell.
    """
    by_kind = {kind: [part for part in parts if part["kind"] == kind] for kind in KINDS}
    if not by_kind["cell"] or len(by_kind["sweep"]) != 1 or len(by_kind["start"]) != 1:
        raise CogmentError("give the files of at least one cell, of one sweep and of one start")
    cells, (sweep,), (start,) = by_kind["cell"], by_kind["sweep"], by_kind["start"]
    table = {
        "kind": "throughput",
        "title": "Speed",
        "note": NOTE,
        "rows": [row for cell in cells for row in _rows(cell)],
        "floors": [_floors(cell) for cell in cells],
        "cells": [_cell(cell) for cell in cells],
        "refinement": sweep["refinement"],
        "segments": sweep["segments"],
        "growth": _growth(sweep),
        "sweep": {k: sweep[k] for k in ("scale", "stage", "rows", "length", "repeats", "others")},
        "start": [{"what": what, **start["start"][what]} for what in STARTED],
        "profiles": {f"{cell['scale']} stage {cell['stage']}": cell["profile"] for cell in cells},
        "pipeline": start["pipeline"],
        "environment": cells[0]["environment"],
        "versions": versions(("torch", "numpy", "snakemake")),
        "quiet": all(part["others"] <= QUIET for part in (*cells, sweep)),
    }
    return table | {"claims": _claims(table)}


def _rows(cell: dict[str, Any]) -> list[dict[str, Any]]:
    plain = cell["arms"].get("plain", {}).get("step_seconds")
    rows = []
    for name in (arm for arm in ARMS if arm in cell["arms"]):
        arm = cell["arms"][name]
        row = {"scale": cell["scale"], "stage": cell["stage"], "arm": name}
        row |= {"rows": cell["shape"]["rows"], "trained_with": cell["trained_with"] == name}
        row["error"] = arm.get("error")
        if row["error"] is None:
            row |= {key: arm[key] for key in arm if key != "runs"}
            row["times_plain"] = _short(arm["step_seconds"] / plain) if plain else None
            row["spread"] = _short(max(arm["runs"]) / min(arm["runs"]))
        rows.append(row)
    return rows


def _floors(cell: dict[str, Any]) -> dict[str, Any]:
    """Seconds below which a plain step cannot be, here and on an H100, and what it took."""
    moved = cell["update_bytes"] + 2 * cell["saved_bytes"]  # written forward, read backward
    h100 = {
        "arithmetic": cell["counted"] / H100["operations"],
        "bytes": moved / H100["bytes"],
        "kernels": cell["kernels"] * H100["kernel_seconds"],
    }
    return {
        "scale": cell["scale"],
        "stage": cell["stage"],
        "rows": cell["shape"]["rows"],
        "operations": cell["operations"],
        "counted": cell["counted"],
        "bytes": moved,
        "kernels": cell["kernels"],
        "host_reads": cell["host_reads"],
        "arithmetic_seconds": _short(cell["counted"] / cell["products"]["fp32"]),
        "bytes_seconds": _short(moved / cell["bandwidth"]),
        "measured_seconds": cell["arms"].get("plain", {}).get("step_seconds"),
        **{f"h100_{name}_seconds": _short(seconds) for name, seconds in h100.items()},
        "h100_predicted_seconds": _short(max(h100.values())),
    }


def _cell(cell: dict[str, Any]) -> dict[str, Any]:
    same = ("scale", "stage", "name", "own_rows", "threads", "cores", "others", "repeats")
    times = ("first_step_seconds", "first_step_done_after_seconds")
    rates = {f"{name}_gflops": round(rate / 1e9, 1) for name, rate in cell["products"].items()}
    return {
        **{key: cell[key] for key in same + times},
        **rates,
        "copy_gb_per_second": round(cell["bandwidth"] / 1e9, 1),
    }


def _growth(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """Straight lines through the sweep's points, and the worst distance from each."""
    points = {
        "refinement steps": [(p["steps"], p) for p in sweep["refinement"] if not _on(p)],
        "refinement steps, checkpointing": [(p["steps"], p) for p in sweep["refinement"] if _on(p)],
        "segments, checkpointing": [(p["earlier"] + 1, p) for p in sweep["segments"]],
    }
    lines = []
    for name, found in points.items():
        if len(found) < 2:
            continue
        x = np.array([at for at, _ in found], float)
        line = {"against": name}
        for key in ("step_seconds", "cost", "step_mib"):
            y = np.array([p[key] if p[key] is not None else np.nan for _, p in found], float)
            if np.isnan(y).any():
                continue
            slope, start = np.polyfit(x, y, 1)
            line |= {f"{key}_each": _short(slope), f"{key}_fixed": _short(start)}
            if key == "cost":
                line["worst"] = _short(float(np.max(np.abs(start + slope * x - y) / y)))
        lines.append(line)
    return lines


def _on(point: dict[str, Any]) -> bool:
    return bool(point["checkpointing"])


def _claims(table: dict[str, Any]) -> list[dict[str, Any]]:
    """What this benchmark is to show, with the figure and whether it holds."""
    claims = []

    def claim(what: str, value: float | None, bound: float, holds: bool) -> None:
        claims.append({"claim": what, "value": value, "bound": bound, "holds": holds})

    full = {(r["stage"], r["arm"]): r for r in table["rows"] if r["scale"] == "full"}
    if (share := full.get((2, "plain"), {}).get("share")) is not None:
        words = "share of the machine's fp32 matrix rate, step of stage 2 at full, at least"
        claim(words, share, LEAST_SHARE, share >= LEAST_SHARE)
    trained = [r for r in full.values() if r["stage"] == 4 and r["trained_with"]]
    for row in trained:
        if (peak := row.get("peak_mib")) is not None:
            words = f"MiB at most for a step of stage 4 at full, {row['rows']} rows"
            claim(words, peak, MOST_MEMORY, peak <= MOST_MEMORY)
    for line in table["growth"]:
        words = f"worst distance of the cost from a straight line over {line['against']}, at most"
        claim(words, line["worst"], MOST_BENT, line["worst"] <= MOST_BENT)
    for found in table["start"]:
        if "at_most" in found:
            words = f"seconds of {found['what'].replace('_', ' ')}, without torch, less than"
            holds = found["reached"] and not found["imports_torch"]
            claim(words, found["seconds"], found["at_most"], holds)
    return claims


def _short(value: float) -> float:
    return float(f"{value:.4g}")
