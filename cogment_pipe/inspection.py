"""`inspect`: what a path holds, whatever it is: results, weights, prepared data, a corpus.

Manifests say it without torch; a checkpoint that lies alone is opened, and says where it is from.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from cogment_pipe.data.check import check_path
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import MANIFEST
from cogment_pipe.report import facts, inspect_text


def describe_path(path: Path) -> str:
    """Parameters, provenance and items of what lies at `path`, as text for a terminal.

    Raises:
        CogmentError: nothing is there, it is damaged, or it is of no known kind.
    """
    path = Path(path)
    if not path.exists():
        raise CogmentError(f"{path}: no such file or folder")
    folder = path if path.is_dir() else path.parent
    described = (folder / MANIFEST).is_file()
    if path.is_dir():
        stages = any(path.glob(f"stage[0-9]/{MANIFEST}"))
        known = described or stages
        return inspect_text.describe(path) if known else check_path(path) + "\n"
    if path.name == MANIFEST or (described and path.suffix in inspect_text.WEIGHTS):
        return inspect_text.describe(path)
    if path.suffix == ".pt":
        return _checkpoint(path)
    if path.suffix == ".safetensors":
        return _safetensors(path)
    return check_path(path) + "\n"


def _checkpoint(path: Path) -> str:
    """A checkpoint without its manifest: what its own lineage says."""
    from cogment_pipe import checkpoint

    tensors, meta = checkpoint.load(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    weights = {n.removeprefix("model/"): s for n, s in shapes.items() if n.startswith("model/")}
    lineage = meta.get("lineage")
    if not weights or not isinstance(lineage, dict):
        raise CogmentError(f"{path}: a checkpoint, but not of a stage of this package")
    content = lineage.get("slice") or {}
    stage = content.get("stage") or {}
    origin = [
        ("step", meta.get("step")),
        ("ended", meta.get("verdict")),
        ("scale", content.get("scale")),
        ("seed", content.get("seed")),
    ]
    inputs = [(f"input {n}", d) for n, d in sorted((lineage.get("inputs") or {}).items())]
    blocks = [
        f"Checkpoint of stage {lineage.get('stage')} {stage.get('name', '')}".rstrip()
        + ", without a manifest beside it",
        inspect_text.block("Parameters", _parameters(weights)),
        inspect_text.block("Model", sorted((content.get("model") or {}).items())),
        inspect_text.block("Made with", origin),
        inspect_text.block("Lineage (sha256)", inputs),
    ]
    return "\n\n".join(blocks) + "\n"


def _safetensors(path: Path) -> str:
    """Weights without a manifest: the header's names, shapes and stage."""
    import safetensors

    try:
        with safetensors.safe_open(path, "np") as file:
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            said = (file.metadata() or {}).get("cogment", "{}")
        stage = json.loads(said).get("stage")
    except (safetensors.SafetensorError, OSError, ValueError, AttributeError) as error:
        raise CogmentError(f"{path}: damaged, or no safetensors file") from error
    title = "Weights" if stage is None else f"Weights of stage {stage}"
    title += ", without a manifest beside them"
    return f"{title}\n\n{inspect_text.block('Parameters', _parameters(shapes))}\n"


def _parameters(shapes: dict[str, tuple[int, ...]]) -> list[tuple[str, str]]:
    """Numbers by the first part of their names, and in all."""
    counts: Counter[str] = Counter()
    for name, shape in shapes.items():
        size = 1
        for side in shape:
            size *= side
        counts[name.split(".")[0]] += size
    rows = [(name, facts.count(number)) for name, number in sorted(counts.items())]
    return [*rows, ("total", facts.count(sum(counts.values())))]
