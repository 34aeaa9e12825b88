"""How long the start takes, and what the workflow costs around its commands. Torch-free.

Everything is run as a user would, in processes of their own and in an empty folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from cogment_pipe.atomic import canonical_json, write_bytes
from cogment_pipe.errors import CogmentError
from cogment_pipe.main_times import VARIABLE
from cogment_pipe.signals import die_with_parent

AT_MOST = {"help": 0.3, "dry_run": 3.0}
FRESH = (".snakemake", "results", "logs", "benchmarks")


def measure_start(project: Path, slice: dict, out: Path) -> dict:
    """Seconds of the import, of `--help` and of a dry run; of a whole run and what is around it.

    Args:
        slice: `start_repeats`, `pipeline_repeats`, `pipeline_stages` (all of them, or fewer).
    """
    python = sys.executable
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calls = {
            "interpreter": [python, "-c", "pass"],
            "import": [python, "-c", "import cogment_pipe"],
            "help": [python, "-m", "cogment_pipe", "--help"],
            "dry_run": [*snakemake(project, folder, "small"), "-n", "--quiet"],
        }
        repeats = slice["start_repeats"]
        started = {what: _calls(what, words, folder, repeats) for what, words in calls.items()}
        found = {
            "kind": "start",
            "cores": os.cpu_count(),
            "start": started,
            "pipeline": _pipeline(project, folder, slice)
            | {"commands_of_small": _commands(project, folder, "small")},
        }
    write_bytes(Path(out), (canonical_json(found) + "\n").encode())
    return found


def snakemake(project: Path, folder: Path, scale: str, cores: int = 1) -> list[str]:
    """The words of a call in a folder of its own."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile")]
    words += ["--directory", str(folder), "--cores", str(cores)]
    return [*words, "--config", f"scale={scale}"]


def _environment(**extra: str) -> dict[str, str]:
    """Ours without what ties a job to the call that started it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COGMENT")}
    here = str(Path(__file__).resolve().parents[3])
    paths = [here, *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), **extra}


def run(words: list[str], folder: Path, **extra: str) -> tuple[float, str]:
    """Seconds of one call and what it said; CogmentError where it fails."""
    begun = time.perf_counter()
    done = subprocess.run(
        words,
        cwd=folder,
        env=_environment(**extra),
        capture_output=True,
        text=True,
        preexec_fn=die_with_parent,
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise CogmentError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-500:]}")
    return seconds, done.stdout + done.stderr


def _calls(what: str, words: list[str], folder: Path, repeats: int) -> dict[str, Any]:
    """The first call compiles and fills caches; it is used to look for torch among the imports."""
    _, told = run([words[0], "-X", "importtime", *words[1:]], folder)
    names = {line.rpartition("|")[2].strip() for line in told.splitlines() if "|" in line}
    runs = [run(words, folder)[0] for _ in range(repeats)]
    median = statistics.median(runs)
    result = {
        "seconds": round(median, 3),
        "runs": [round(seconds, 3) for seconds in runs],
        "imports_torch": "torch" in names,
    }
    if what in AT_MOST:
        result |= {"at_most": AT_MOST[what], "reached": median < AT_MOST[what]}
    return result


def _commands(project: Path, folder: Path, scale: str) -> int:
    """Commands that a whole run at a scale would call: its jobs but the target itself."""
    # In a folder of its own: one with the results of another scale refuses.
    _, told = run([*snakemake(project, folder / scale, scale), "-n"], folder)
    found = re.search(r"^total\s+(\d+)", told, re.M)
    if found is None:
        raise CogmentError("snakemake -n no longer says how many jobs it plans")
    return int(found[1]) - 1


def _pipeline(project: Path, folder: Path, slice: dict) -> dict[str, Any]:
    """Whole runs at `tiny`, one job at a time: what the call took, and what its commands did."""
    rounds = []
    for _ in range(slice["pipeline_repeats"]):
        for name in FRESH:
            shutil.rmtree(folder / name, ignore_errors=True)
        times = folder / "times.jsonl"
        times.unlink(missing_ok=True)
        words = snakemake(project, folder, "tiny")
        if slice["pipeline_stages"] < 5:
            words.append(f"stop_after={slice['pipeline_stages'] - 1}")
        words[5:5] = ["all", "--quiet"]
        before = psutil.cpu_times()
        wall, _ = run(words, folder, **{VARIABLE: str(times), "CUDA_VISIBLE_DEVICES": ""})
        after = psutil.cpu_times()
        commands = [json.loads(line) for line in times.read_text(encoding="utf-8").splitlines()]
        inside = sum(command["seconds"] for command in commands)
        idle = (after.idle - before.idle) / (wall * (os.cpu_count() or 1))
        rounds.append((wall, inside, len(commands), idle))
    outside = statistics.median(wall - inside for wall, inside, _, _ in rounds)
    jobs = rounds[0][2]
    return {
        "scale": "tiny",
        "stages": slice["pipeline_stages"],
        "jobs": jobs,
        "wall_seconds": round(statistics.median(wall for wall, *_ in rounds), 2),
        "inside_seconds": round(statistics.median(inside for _, inside, *_ in rounds), 2),
        "outside_seconds": round(outside, 2),
        "outside_runs": [round(wall - inside, 2) for wall, inside, _, _ in rounds],
        "outside_seconds_per_job": round(outside / jobs, 3),
        "idle_share": round(statistics.median(idle for *_, idle in rounds), 3),
    }
