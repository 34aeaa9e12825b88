"""What one training run is: its paths and options, its device, and the hashes of what it reads.

Kept apart from training itself, so that evaluation and use of a trained model import none of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from cogment_pipe.atomic import sha256_file
from cogment_pipe.distributed import local_rank, local_size, spawned
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import MANIFEST
from cogment_pipe.stage_config import StageSlice


@dataclass
class StageRun:
    """Paths and options of one run; nothing here may change a trained bit but `slice`."""

    stage: int
    slice: StageSlice
    slice_text: str
    source: str
    data: list[Path]
    init: Path | None
    out: Path
    snapshots: Path
    snapshot_every: int
    log_every: int
    device: torch.device
    precision: str
    on_environment_change: str
    around_step: Callable[[int], AbstractContextManager] = nullcontext
    events: Path | None = None


def pick_device(name: str) -> torch.device:
    """The device asked for; `auto` is CUDA where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise CogmentError(f"device {name}: no CUDA device is visible; use --device cpu or auto")
    if name == "cuda" and spawned():
        wanted, found = local_size(), torch.cuda.device_count()
        if wanted > found:
            raise CogmentError(f"`devices` asks for {wanted} GPUs and {found} are here; lower it")
        return torch.device("cuda", local_rank())
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """The precision asked for; `auto` is bf16 on CUDA from sm80 on, else fp32."""
    if name != "auto":
        return name
    capable = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "bf16" if capable else "fp32"


def input_hashes(run: StageRun) -> dict[str, str]:
    """sha256 of all that the stage reads, by a name that does not depend on where it lies."""
    found = {}
    for folder in run.data:
        manifest = folder / MANIFEST
        if not manifest.is_file():
            raise CogmentError(f"{manifest} is missing; make it with `data prepare`")
        found[f"data/{folder.name}"] = sha256_file(manifest)
    if run.init is not None:
        if not run.init.is_file():
            raise CogmentError(f"checkpoint {run.init} does not exist; train its stage first")
        found["init"] = sha256_file(run.init)
        verify_parent(run.init, found["init"])
    return found


def verify_parent(path: Path, digest: str) -> None:
    """Stop where a checkpoint is not the one that its stage's manifest describes."""
    manifest = path.parent / MANIFEST
    if not manifest.is_file():
        return
    expected = json.loads(manifest.read_text(encoding="utf-8"))["outputs"].get(path.name)
    if expected is not None and expected != digest:
        raise CogmentError(
            f"checkpoint {path} is damaged: sha256 {digest[:12]}, its manifest says "
            f"{expected[:12]}; put it back from results/.previous/ or train its stage again"
        )


def stage_of(folder: Path) -> int:
    """The stage whose data a folder holds, by its manifest."""
    return int(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["stage"])
