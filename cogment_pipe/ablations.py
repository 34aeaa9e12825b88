"""Tables over runs: ablations against the base run, seed by seed, and the scores of one seed.

Torch-free, from score files alone. Differences are paired: variant minus base at the same seed.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from cogment_pipe.ablation_config import BASE
from cogment_pipe.atomic import sha256_file, write_bytes, write_json
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import write_manifest

LARGEST = 4
RETAINED = 2
"""The stage whose test set the last checkpoint is asked again, for what replay is worth."""


def write_comparison(slice: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write table.json, table.md and a manifest into `out`; returns the table."""
    table = compare(slice)
    write_json(out / "table.json", table)
    write_bytes(out / "table.md", (markdown(table) + "\n").encode())
    used = {f for by_seed in slice["files"].values() for files in by_seed.values() for f in files}
    inputs = {name: sha256_file(Path(name)) for name in sorted(used)}
    write_manifest(out, {"slice": slice, "inputs": inputs}, ["table.json", "table.md"])
    return table


def compare(slice: dict[str, Any]) -> dict[str, Any]:
    """Mean, spread and paired difference of each variant and stage.

    Args:
        slice: as `DerivedRuns.comparison` gives it; files are read relative to the working
            directory.
    """
    scores = {
        name: {seed: _scores([Path(f) for f in files]) for seed, files in by_seed.items()}
        for name, by_seed in slice["files"].items()
    }
    columns = list(next(iter(scores[BASE].values())))
    rows = []
    for variant in slice["variants"]:
        own = scores[variant["name"]]
        row = {"variant": variant["name"], "title": variant["title"], "seeds": len(own)}
        for column in columns:
            row[column] = _spread([each[column] for each in own.values()])
            if variant["name"] != BASE:
                differences = [own[s][column] - scores[BASE][s][column] for s in own]
                row[f"{column} difference"] = _spread(differences, sign=True)
        rows.append(row)
    return {
        "title": "Ablations",
        "note": f"{slice['budget']:.0%} of every stage's steps. Score of each stage's own "
        "checkpoint on its test set (mean of its tasks), mean over seeds with standard deviation; "
        "differences are variant minus base at the same seed. One seed has no spread: it screens.",
        "scale": slice["scale"],
        "rows": rows,
        "largest_effects": _largest(scores, columns),
        "scores": scores,
    }


def markdown(table: dict[str, Any]) -> str:
    """The table as Markdown: variants down, stages across, value and paired difference."""
    skipped = {"variant", "title", "seeds"}
    columns = [name for name in table["rows"][0] if name not in skipped]
    heads = ["variant", "seeds", *columns]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table["rows"]:
        cells = [f"{row['variant']}: {row['title']}", str(row["seeds"])]
        for name in columns:
            difference = row.get(f"{name} difference")
            cells.append(row[name] + (f" ({difference})" if difference else ""))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_seed_scores(files: list[Path], out: Path) -> dict[str, Any]:
    """Write scores.json and a manifest into `out`: the figures of one seed's run, by stage."""
    scores = {
        "title": "Scores of one seed",
        "folders": [str(path.parents[2]) for path in files],
        "stages": _scores(files),
        "tasks": {
            f"stage {k} {name}": _task_scores(task)
            for k, path in enumerate(files)
            for name, task in _read(path)["stages"][str(k)]["tasks"].items()
        },
    }
    write_json(out / "scores.json", scores)
    inputs = {str(path): sha256_file(path) for path in files}
    write_manifest(out, {"inputs": inputs}, ["scores.json"])
    return scores


def _task_scores(task: dict[str, Any]) -> dict[str, Any]:
    """A task's figures; where more compute was spent, what it reached and took, in passes."""
    found = {key: task[key] for key in ("metric", "value", "low", "high", "n")}
    for way, figures in (task.get("more_compute") or {}).items():
        found |= {way: figures["value"], f"{way} passes": figures["passes"]}
    return found


def _scores(files: list[Path]) -> dict[str, float]:
    """Own score of each stage's checkpoint, and what the last one still has of stage 2."""
    found = {f"stage {k}": _read(path)["stages"][str(k)]["score"] for k, path in enumerate(files)}
    if len(files) > RETAINED + 1:
        last = _read(files[-1])["stages"][str(RETAINED)]["score"]
        found[f"stage {RETAINED} at the end"] = last
    return found


def _largest(scores: dict[str, dict[str, dict[str, float]]], columns: list[str]) -> list[dict]:
    """The variants with the largest mean difference in any column."""
    found = []
    for name, own in scores.items():
        if name == BASE:
            continue
        means = {
            c: statistics.fmean(own[seed][c] - scores[BASE][seed][c] for seed in own)
            for c in columns
        }
        column = max(columns, key=lambda c: abs(means[c]))
        found.append({"variant": name, "where": column, "difference": round(means[column], 4)})
    return sorted(found, key=lambda each: -abs(each["difference"]))[:LARGEST]


def _spread(values: list[float], sign: bool = False) -> str:
    """`mean ± deviation`, without the deviation where there is one value."""
    mean = f"{statistics.fmean(values):{'+' if sign else ''}.3f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.3f}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CogmentError(f"{path}: no scores to be read ({error}); evaluate it again") from error
