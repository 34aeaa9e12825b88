"""What is not reproducible about a call: commit, command, host, time, paths. For logs only."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import write_json
from cogment_pipe.provenance import PACKAGES, versions

FOLDER = Path("logs/provenance")


def write_run_record(project: Path) -> Path:
    """Writes one file per call to logs/provenance; returns it."""
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path = FOLDER / f"{moment}.{platform.node()}.json"
    write_json(path, {"started": moment, **run_record(project)})
    return path


def git_state(project: Path) -> dict[str, Any]:
    """Commit and whether the tree differs from it; for logs only, empty outside a repository."""
    commands = {"commit": ["rev-parse", "HEAD"], "changes": ["status", "--porcelain"]}
    found = {}
    for name, command in commands.items():
        try:
            done = subprocess.run(
                ["git", "-C", str(project), *command], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return {}
        if done.returncode:
            return {}
        found[name] = done.stdout.strip()
    return {"commit": found["commit"], "dirty": bool(found["changes"])}


def run_record(project: Path) -> dict[str, Any]:
    """Commit, command, host, paths and versions of this call."""
    return {
        "argv": sys.argv,
        "git": git_state(project),
        "host": platform.node(),
        "platform": platform.platform(),
        "project": str(project),
        "versions": versions((*PACKAGES, "snakemake", "pydantic", "matplotlib")),
        "working_directory": str(Path.cwd()),
    }
