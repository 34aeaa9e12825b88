"""A prepared stage's manifest.json: what the data is, where it came from, what it may be used for.

Canonical JSON without a clock or an absolute path, so that equal data has equal bytes.
"""

from __future__ import annotations

from pathlib import Path

from cogment_pipe.data.storage import read_json, sha256_file, write_json
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import BESIDE, seal, sealed

NAME = "manifest.json"


def augmentation_entry(stage: dict) -> dict:
    """What the stage's configuration says about augmentation."""
    return {
        "rate": stage.get("augmentation_rate", 0.0),
        "types": list(stage.get("augmentation_types", ())),
        "per_task": stage.get("augmentations_per_task", 300),
    }


def write_manifest(
    out: Path,
    stage: int,
    tasks: dict,
    leaks: dict,
    augmentation: dict,
    tokenizer: Path | None = None,
) -> None:
    """Hash every file of the folder and write the sealed manifest beside them, last.

    `tokenizer` is what the tokens were made with, and what a decoder needs: its hash goes along.
    """
    outputs = {
        path.name: sha256_file(path)
        for path in sorted(out.iterdir())
        if path.is_file() and path.name != NAME and not path.name.startswith(".")
    }
    content = {
        "stage": stage,
        "order": list(tasks),
        "tasks": tasks,
        "leaks": leaks,
        "augmentation": augmentation,
        "outputs": outputs,
    }
    if tokenizer is not None:
        content[BESIDE] = {tokenizer.name: sha256_file(tokenizer)}
    write_json(out / NAME, seal(content))


def read_manifest(folder: Path) -> dict:
    """Read a prepared stage's manifest. Raises CogmentError when it is none, or is damaged."""
    path = Path(folder) / NAME
    manifest = read_json(path)
    if not isinstance(manifest, dict) or not {"tasks", "outputs", "order"} <= set(manifest):
        raise CogmentError(f"{path}: not the manifest of a prepared stage")
    if not sealed(manifest):
        raise CogmentError(f"{path}: changed since it was written; prepare the stage's data again")
    return manifest


def verify_outputs(folder: Path) -> None:
    """Raise CogmentError naming the first file whose bytes are not those of the manifest."""
    for name, digest in read_manifest(folder)["outputs"].items():
        path = Path(folder) / name
        if not path.is_file():
            raise CogmentError(f"{path}: missing; prepare the stage's data again")
        if sha256_file(path) != digest:
            raise CogmentError(f"{path}: changed since it was prepared; prepare the data again")
