"""The same bits again: threads, deterministic kernels, global generators, and what they ran on.

Draws of the project are keyed (`rng.py`) and need none of the global generators; these are seeded
and saved all the same, for code that draws from them.
"""

from __future__ import annotations

import logging
import os
import platform
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cogment_pipe.errors import CogmentError

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_CUBLAS_VALUES = (":4096:8", ":16:8")
_log = logging.getLogger(__name__)


def set_determinism(threads: int, strict: bool) -> None:
    """Pin everything that may change bits; call before anything else uses torch.

    Args:
        threads: CPU threads of one operation; another number gives other sums.
        strict: refuse operations without a deterministic kernel (never only warn: a warning
            leaves the backward pass of attention on its non-deterministic kernel).

    Raises:
        CogmentError: CUDA has started already without the cuBLAS setting it needs.
    """
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError:
            _log.info("threads between operations stay at %d", torch.get_num_interop_threads())
    if strict:
        _set_cublas()
    # `use_deterministic_algorithms` also imports torch's compiler: two seconds of every start.
    torch.set_deterministic_debug_mode("error" if strict else "default")
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, changes no result
    torch.backends.cudnn.deterministic = strict
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


def environment(
    device: str | torch.device, precision: str, *, deterministic: bool = True
) -> dict[str, Any]:
    """What must be equal for equal bits, for a snapshot's sidecar and a stage's manifest.

    Args:
        device: the device trained on.
        precision: `fp32`, `bf16` or `fp16`.
        deterministic: as given to `set_determinism`.
    """
    device = torch.device(device)
    record: dict[str, Any] = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "deterministic": deterministic,
        "machine": platform.machine(),
    }
    if device.type == "cuda":
        record["gpu"] = torch.cuda.get_device_name(device)
        record["cuda"] = torch.version.cuda or torch.version.hip
        record["cudnn"] = torch.backends.cudnn.version()
    else:
        record["cpu"] = f"{cpu_vendor()} {torch.backends.cpu.get_cpu_capability()}"
    return record


def cpu_vendor() -> str:
    """Vendor of the processor: maths libraries choose their kernels by it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("vendor_id", "CPU implementer")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def seed_global(key: int) -> None:
    """Seed the global generators of python, numpy and torch (CUDA too) from a key of `rng.key`."""
    random.seed(key)
    np.random.seed([(key >> shift) & 0xFFFFFFFF for shift in (0, 32, 64, 96)])
    torch.manual_seed(key % (1 << 63))


def capture_rng() -> dict[str, Any]:
    """State of the global generators: tensors and plain numbers only, so that loading is safe."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
        "numpy": {
            "name": str(name),
            "keys": torch.from_numpy(keys.astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():
        states = torch.cuda.get_rng_state_all()
        state["cuda"] = {str(index): tensor for index, tensor in enumerate(states)}
    return state


def restore_rng(state: dict[str, Any]) -> None:
    """Put the global generators back where `capture_rng` found them."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy["keys"].numpy().astype(np.uint32)
    np.random.set_state(
        (numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"])
    )
    torch.set_rng_state(state["torch"])
    for index, tensor in state.get("cuda", {}).items():
        torch.cuda.set_rng_state(tensor, int(index))


def _set_cublas() -> None:
    if os.environ.get(_CUBLAS) in _CUBLAS_VALUES:
        return
    if torch.cuda.is_initialized():
        raise CogmentError(
            f"CUDA has started before {_CUBLAS} was set; set {_CUBLAS}={_CUBLAS_VALUES[0]} in the "
            "environment, or call set_determinism first"
        )
    os.environ[_CUBLAS] = _CUBLAS_VALUES[0]
