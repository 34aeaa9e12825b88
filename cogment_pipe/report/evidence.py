"""Evidence: the figures that README and docs quote, taken from the artifacts of finished runs.

One JSON file per statement (figures, seed, command, sha256 of the manifests they come from), and
the Markdown table that is made from it. README holds the table between two marks.
"""

from __future__ import annotations

from pathlib import Path

from cogment_pipe import ablations
from cogment_pipe.atomic import sha256_file, write_bytes, write_json
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import MANIFEST, verify_manifest
from cogment_pipe.report import grokking, seed_table, throughput
from cogment_pipe.report.artifacts import read_json

BEGIN, END = "<!-- evidence:{name} -->", "<!-- /evidence -->"
LARGEST = 50_000  # bytes of an evidence file
POINTS = 14  # of a curve kept in an evidence file
BESIDE = ("memory", "more_compute")  # where the evaluation has them
EXTRA = ("cells_gain", "cells_gain_low", "exact", "numeric", "f1")


def collect(results: Path, benchmarks: Path, command: str) -> dict:
    """Figures of the last checkpoint and of each stage's own one on its own test set.

    Raises CogmentError where the evaluation or a manifest is missing or damaged.
    """
    stages = sorted(int(p.parent.name[5:]) for p in results.glob("stage[0-4]/manifest.json"))
    if not stages:
        raise CogmentError(f"{results}: no finished stage; run the pipeline first")
    scores = {k: _read(results / "eval" / f"stage{k}" / "metrics.json") for k in stages}
    last = scores[stages[-1]]
    manifest = _read(results / f"stage{stages[-1]}" / "manifest.json")
    own = {str(k): _figures(scores[k]["stages"][str(k)]) for k in stages}
    final = {str(k): last["stages"][str(k)]["score"] for k in stages}
    kept = {
        str(k): final[str(k)] / scores[k]["stages"][str(k)]["score"]
        for k in stages
        if scores[k]["stages"][str(k)]["score"] > 0
    }
    return {
        "command": command,
        "scale": last["scale"],
        "seed": last["seed"],
        "own_test": own,
        "last_checkpoint": final,
        "kept": {k: float(f"{v:.4g}") for k, v in kept.items()},
        "steps": {str(k): _read(results / f"stage{k}" / "summary.json")["steps"] for k in stages},
        "seconds": {str(k): _seconds(benchmarks / "train" / f"stage{k}.tsv") for k in stages},
        "device": manifest["device"],
        "threads": manifest["threads"],
        "versions": manifest["versions"],
        "manifests": {str(k): sha256_file(results / f"stage{k}" / "manifest.json") for k in stages},
    }


def collect_benchmark(folder: Path, command: str) -> dict:
    """Figures of a benchmark's folder, with curves thinned to what a picture needs.

    Of the grokking benchmark steps only: its runs share the machine, so their times say nothing.

    Raises CogmentError where the folder does not match its manifest.
    """
    problems = verify_manifest(folder)
    if problems:
        raise CogmentError(f"{problems[0]}; make it again: snakemake --cores all {folder}/")
    found = _read(folder / "table.json")
    if "curves" in found:
        found["curves"] = {
            arm: {seed: _thinned(points) for seed, points in by_seed.items()}
            for arm, by_seed in found["curves"].items()
        }
    return {**found, "command": command, "manifest": sha256_file(folder / MANIFEST)}


def table(evidence: dict) -> str:
    """The evidence of a benchmark as a Markdown table: a row per arm or task."""
    if evidence.get("kind") == "throughput":
        return throughput.markdown(evidence)
    if "curves" in evidence:
        return grokking.markdown(evidence)
    if "largest_effects" in evidence:
        return ablations.markdown(evidence)
    return _plain_table(evidence["rows"])


def place(text: str, name: str, content: str) -> str:
    """`text` with `content` between the marks of `name`; CogmentError where it has no marks."""
    begin = BEGIN.format(name=name)
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise CogmentError(f"README has no marks {begin} ... {END}")
    return f"{head}{begin}\n{content}\n{END}{tail}"


def write_evidence(results: Path, benchmarks: Path, command: str, out: Path) -> None:
    """Write the evidence file of a finished run, or of a benchmark's folder.

    Raises CogmentError where it would be larger than an evidence file may be.
    """
    if (results / "table.json").is_file():
        content = collect_benchmark(results, command)
    else:
        content = collect(results, benchmarks, command)
    write_json(out, content)
    if out.stat().st_size > LARGEST:
        raise CogmentError(f"{out}: {out.stat().st_size} bytes, more than the {LARGEST} allowed")


def write_table(files: list[Path], readme: Path) -> None:
    """Put a table between its marks in README: of one file, or of runs that differ in their seed.

    Raises CogmentError where several files are no runs of one scale, each of another seed.
    """
    found = [_read(file) for file in files]
    if len(files) == 1 and "own_test" not in found[0]:
        name, content = files[0].stem, table(found[0])
    else:
        name, content = seed_table.name(found), seed_table.markdown(found)
    text = place(readme.read_text(encoding="utf-8"), name, content)
    write_bytes(readme, text.encode())


def _plain_table(rows: list[dict]) -> str:
    names = [name.replace("_", " ") for name in rows[0]]
    lines = [names, ["---"] * len(names), *(row.values() for row in rows)]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _figures(stage: dict) -> dict:
    return {
        name: {
            **{key: task[key] for key in ("metric", "value", "low", "high", "n", "mean_steps")},
            "by_step": task["by_step"],
            "controls": task["controls"],
            "also": {key: task["metrics"][key] for key in EXTRA if key in task["metrics"]},
            **{key: task[key] for key in BESIDE if task.get(key)},
        }
        for name, task in stage["tasks"].items()
    }


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """At most `POINTS` of a curve, evenly over the logarithm of its steps, first and last kept."""
    places = {round(len(points) ** (n / (POINTS - 1))) - 1 for n in range(POINTS)}
    return [[step, round(a, 3), round(b, 3)] for step, a, b in (points[i] for i in sorted(places))]


def _read(path: Path) -> dict:
    if not path.is_file():
        raise CogmentError(f"{path}: not found; run the pipeline")
    return read_json(path)


def _seconds(path: Path) -> float | None:
    """Wall seconds of a training job, from Snakemake's benchmark file."""
    if not path.is_file():
        return None
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return float(rows[1][rows[0].index("s")])
