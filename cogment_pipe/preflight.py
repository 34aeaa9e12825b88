"""Before a run at scale `full` starts: is there room for it, on disk and on the GPU?

Torch-free, called in `onstart`, when nothing is deleted yet. Parameters are counted by a formula,
within 3% of the real model. The GPU figure is the state alone, a lower bound: activations come on
top and depend on batch and length. Whether the corpora are there is `workflow_hooks`' question;
here their size is said.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from cogment_pipe.config import STAGES, PipelineConfig
from cogment_pipe.corpora import files
from cogment_pipe.errors import CogmentError
from cogment_pipe.stage_config import ModelConfig

FLOAT_BYTES = 4
CHECKPOINT = 5  # weights, their average, two moments, gradient filter
SNAPSHOTS = 2 * CHECKPOINT + 1  # the last two, and the average of the best
EXPORT = 1
GPU_STATE = CHECKPOINT + 1  # and the gradients
SITES = 4
MEMORY_SLOTS = 64
GB = 1e9


def parameters(model: ModelConfig) -> int:
    """Parameters of the model, about: the matrices."""
    d = model.d_model
    core = model.n_blocks * (4 * d * d + 3 * d * model.ffn_hidden)
    memory = 4 * d * d + 3 * d * model.memory_hidden + 2 * MEMORY_SLOTS * d
    adapters = len(STAGES) * SITES * 2 * model.adapter_rank * d
    heads = model.vocab_size * d + 3 * d * model.head_hidden
    return core + memory + adapters + heads


def disk_needed(config: PipelineConfig, stages: Sequence[int]) -> int:
    """Bytes that training these stages writes at most: checkpoints, exports, snapshots."""
    each = CHECKPOINT + EXPORT + SNAPSHOTS
    return len(stages) * each * FLOAT_BYTES * parameters(config.model)


def free_disk(folder: Path) -> int:
    """Bytes free where `folder` lies."""
    return shutil.disk_usage(folder).free


def free_gpu_memory() -> int | None:
    """Bytes free on the emptiest GPU, by nvidia-smi; None where that does not answer."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return max(int(line) for line in done.stdout.split()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def corpora_size(config: PipelineConfig, stages: Sequence[int], project: Path) -> tuple[int, int]:
    """Files and bytes of the local corpora that these stages read."""
    found = {
        path
        for k in stages
        for source in config.stage_corpora(k).values()
        if source is not None
        for path in files(source, project, Path.cwd())
    }
    return len(found), sum(Path(path).stat().st_size for path in found)


def check(
    config: PipelineConfig,
    stages: Sequence[int],
    project: Path,
    say: Callable[[str], None],
    *,
    gpu: bool,
) -> None:
    """Say what training `stages` needs and what there is; one CogmentError where it cannot fit.

    `gpu`: whether a device is to be seen here; a login node has none and is not asked.
    """
    if not stages or config.scale != "full":
        return
    needed, free = disk_needed(config, stages), free_disk(Path.cwd())
    say(f"disk: about {needed / GB:.1f} GB for stages {_names(stages)}, {free / GB:.1f} GB free")
    count, size = corpora_size(config, stages, project)
    say(f"corpora: {count} files, {size / GB:.2f} GB; their arrays come on top of that")
    if needed > free:
        raise CogmentError(
            f"disk: training stages {_names(stages)} needs about {needed / GB:.1f} GB and "
            f"{free / GB:.1f} GB are free; make room, or use another folder: --directory OUT"
        )
    if not gpu or config.runtime.device == "cpu":
        return
    state, memory = GPU_STATE * FLOAT_BYTES * parameters(config.model), free_gpu_memory()
    if memory is None:
        say(
            f"GPU: at least {state / GB:.1f} GB for the state; nvidia-smi does not say what is free"
        )
        return
    say(f"GPU: at least {state / GB:.1f} GB for the state, {memory / GB:.1f} GB free")
    if state > memory:
        raise CogmentError(
            f"GPU: the state alone needs {state / GB:.1f} GB and {memory / GB:.1f} GB are free; "
            "end what uses it, or choose another device by CUDA_VISIBLE_DEVICES"
        )


def _names(stages: Sequence[int]) -> str:
    return ", ".join(map(str, stages))
