"""`verify` and `why`: what a results folder says about itself, against files, config and code.

Snakemake looks at neither outputs nor single keys; the manifests make both possible.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cogment_pipe.config import PipelineConfig
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import (
    MANIFEST,
    module_hashes,
    read_manifest,
    sha256_file,
    source_hash,
    verify_manifest,
)
from cogment_pipe.slices import stage_slice

TRAINING = "cogment_pipe.trainer"
MISSING = "(none)"


def verify_results(results: Path) -> tuple[list[Path], list[str]]:
    """What has a manifest below `results`, and one line per file that does not match.

    A stage whose parent checkpoint is not the one its manifest names is a problem too.
    """
    if not results.is_dir():
        raise CogmentError(f"{results}: no such folder; name a results folder")
    places = sorted(
        path.parent if path.name == MANIFEST else path
        for path in results.rglob(f"*{MANIFEST}")
        if not any(part.startswith(".") for part in path.relative_to(results).parts)
    )
    problems = [line for place in places for line in verify_manifest(place)]
    return places, problems + list(_broken_lineage(results))


def _broken_lineage(results: Path) -> Iterator[str]:
    for k in range(1, 5):
        folder, parent = results / f"stage{k}", results / f"stage{k - 1}" / "checkpoint.pt"
        if not (folder / MANIFEST).is_file() or not parent.is_file():
            continue
        recorded = read_manifest(folder).get("parent")
        if recorded and recorded != sha256_file(parent):
            yield f"{folder}: was trained from another {parent} than the one that is there"


def why_stale(config: PipelineConfig, results: Path = Path("results")) -> dict[int, list[str]]:
    """Per stage the config leaves, modules and inputs that differ from its manifest."""
    reasons: dict[int, list[str]] = {}
    for k in range(config.last_stage + 1):
        folder = results / f"stage{k}"
        if not (folder / MANIFEST).is_file():
            reasons[k] = ["not trained yet"]
            continue
        manifest = read_manifest(folder)
        reasons[k] = [*_changes(config, k, manifest), *_changed_inputs(manifest, results)]
        if k and reasons[k - 1] and not reasons[k]:
            reasons[k] = [f"stage {k - 1} is stale"]
    return reasons


def adoptable(config: PipelineConfig, results: Path) -> list[Path]:
    """What of a results folder Snakemake may take for its own: stages, scores, report.

    Raises CogmentError where a stage is not what configuration and code ask for (recording it would
    hide that for ever), and where there is none.
    """
    trained = []
    for k, reasons in why_stale(config, results).items():
        if (results / f"stage{k}" / MANIFEST).is_file():
            if reasons:
                raise CogmentError(
                    f"stage {k} would be trained again: {reasons[0]}; nothing was adopted. Use the "
                    "code and the --scale, --seed, --set, --configfile of these results"
                )
            trained.append(k)
    if not trained:
        raise CogmentError(f"{results}: no finished stage to adopt")
    scores = [results / f"eval/stage{k}/metrics.json" for k in trained]
    others = [*scores, results / "report/index.html"]
    return [results / f"stage{k}" for k in trained] + [path for path in others if path.is_file()]


def refuse_stale(config: PipelineConfig, k: int, folder: Path) -> None:
    """Stops where the stage kept in `folder` is not what configuration and code ask for now.

    Putting it back would be in vain: the next run would train it again.
    """
    if not (folder / MANIFEST).is_file():
        raise CogmentError(f"nothing to put back for stage {k}: {folder} holds no results")
    for change in _changes(config, k, read_manifest(folder)):
        raise CogmentError(
            f"stage {k} as kept in {folder} would be trained again at once: {change}; put that "
            "back first, in config.yaml or by --scale, --seed, --set"
        )


def _changes(config: PipelineConfig, k: int, manifest: dict[str, Any]) -> Iterator[str]:
    yield from _changed_leaves(manifest.get("slice", {}), json.loads(stage_slice(config, k)))
    yield from _changed_code(manifest)


def _changed_leaves(old: Any, new: Any) -> Iterator[str]:
    before, after = dict(_leaves(old)), dict(_leaves(new))
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key, MISSING), after.get(key, MISSING)
        if was != now:
            yield f"config {key}: {was} -> {now}"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _changed_code(manifest: dict[str, Any]) -> Iterator[str]:
    recorded = manifest.get("modules")
    if recorded is None:
        if manifest.get("source") != source_hash(TRAINING):
            yield "code of the trainer changed"
        return
    now = module_hashes(TRAINING)
    for name in sorted(recorded.keys() | now.keys()):
        if recorded.get(name) != now.get(name):
            change = "changed" if name in recorded and name in now else "came or went"
            yield f"code {name} {change}"


def _changed_inputs(manifest: dict[str, Any], results: Path) -> Iterator[str]:
    recorded = {f"{name}/{MANIFEST}": digest for name, digest in manifest["inputs"].items()}
    if manifest.get("parent") and manifest["stage"]:
        recorded[f"stage{manifest['stage'] - 1}/checkpoint.pt"] = manifest["parent"]
    for name, digest in sorted(recorded.items()):
        path = results / name
        if not path.is_file():
            yield f"input {path} is not there"
        elif sha256_file(path) != digest:
            yield f"input {path} changed"
