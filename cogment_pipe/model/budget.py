"""What a configuration costs: parameters, arithmetic per refinement step and bytes of state.

Parameters are counted on the real modules, built without memory (device "meta"). Arithmetic counts
matrix products, convolutions and attention at two operations per multiply-add, one sequence; norms,
activations and sums are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cogment_pipe.model.blocks import token_hidden
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import ModelConfig

# The nominal budget of scale `full`, what may be off, and what is never exceeded.
NOMINAL = {"core": 6_800_000, "memory": 2_400_000, "heads": 11_900_000, "total": 21_130_000}
TOLERANCE = 0.03
CEILING = 25_000_000
NAMES = {
    "core": "RefinementCore with halting",
    "memory": "GatedLTM",
    "heads": "heads, embeddings, adapters",
    "total": "total",
}
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Workload:
    """One sequence: L cells of a grid or tokens of text, and demonstration cells beside them."""

    length: int
    text: bool = False
    context: int = 0


def parameters(config: ModelConfig) -> dict[str, int]:
    """Parameters of core (with halting), memory, heads (all else) and in total."""
    with torch.device("meta"):
        model = Cogment(config)
    sizes = {
        name: sum(parameter.numel() for _, parameter in named)
        for name, named in model.components().items()
    }
    counts = {
        "core": sizes["core"] + sizes["halting"],
        "memory": sizes["memory"],
        "heads": sizes["other"],
    }
    return counts | {"total": sum(counts.values())}


def over_budget(counts: dict[str, int]) -> list[str]:
    """Parts of a `full` model that miss the nominal budget, as lines; empty when all holds."""
    found = [
        f"{NAMES[part]}: {counts[part]:,} is not within {TOLERANCE:.0%} of {nominal:,}"
        for part, nominal in NOMINAL.items()
        if abs(counts[part] - nominal) > TOLERANCE * nominal
    ]
    if counts["total"] > CEILING:
        found.append(f"total: {counts['total']:,} exceeds {CEILING:,}")
    return found


def step_flops(config: ModelConfig, work: Workload, memory: bool = True) -> int:
    """Operations of one refinement step of one sequence, without the heads."""
    d, length = config.d_model, work.length
    updates = config.z_updates + 1
    ffn = 2 * length * 3 * d * config.ffn_hidden
    if config.mixer == "token_mlp":
        mixer = 2 * d * 3 * length * token_hidden(config.mixer_cells, config.ffn_hidden)
    elif config.mixer == "convolution":
        mixer = 0  # counted below
    else:
        projections = 2 * length * 4 * d * d
        mixer = projections + 2 * 2 * length * (length + work.context) * d
    conv = 2 * (3 if work.text else 9) * length * d if config.conv else 0
    adapter = 2 * 2 * length * d * config.adapter_rank
    total = updates * (config.n_blocks * (mixer + conv + ffn) + adapter)
    if memory:
        recall = 2 * length * d * (d // config.n_heads)  # one product with M per head
        looks = 2 * (recall + 2 * length * 2 * d * d)
        total += looks + 2 * length * 3 * d * config.memory_hidden
    return total


def context_flops(config: ModelConfig, work: Workload) -> int:
    """Operations that encode one sequence's demonstrations; done anew in every optimizer step."""
    d, cells = config.d_model, work.context
    attention = 2 * cells * 4 * d * d + 2 * 2 * cells * cells * d
    ffn = 2 * cells * 3 * d * config.ffn_hidden
    keys_values = 2 * cells * 2 * d * d
    adapter = 2 * 2 * cells * d * config.adapter_rank
    return (config.n_blocks * (attention + ffn + keys_values) + adapter) if cells else 0


def head_flops(config: ModelConfig, work: Workload) -> int:
    """Operations behind the logits after a step: all cells of a grid, or one token of text."""
    d = config.d_model
    adapter = 2 * 2 * work.length * d * config.adapter_rank
    if work.text:
        return adapter + 2 * d * config.vocab_size
    out = 3 * d * config.head_hidden + 9 * d + d * config.grid_symbols
    return adapter + 2 * work.length * out


def state_bytes(config: ModelConfig, work: Workload, memory: bool = True) -> int:
    """Bytes in fp32 that one sequence carries from step to step: y, z, M, demonstrations' keys."""
    d = config.d_model
    states = 2 * work.length * d
    matrix = d * (d // config.n_heads) if memory else 0
    context = config.n_blocks * 2 * work.context * d
    return FLOAT_BYTES * (states + matrix + context)


def describe(
    scale: str, config: ModelConfig, stages: list[tuple[str, Workload, int, bool]]
) -> list[str]:
    """Lines for people. stages: (name, its longest sequence, refinement steps, reads memory)."""
    counts = parameters(config)
    lines = [f"scale {scale}: parameters"]
    for part, count in counts.items():
        line = f"  {NAMES[part]:<30}{count:>12,}"
        if scale == "full":
            off = count / NOMINAL[part] - 1
            line += f"   budget {NOMINAL[part]:>11,}   {off:+.1%}"
        lines.append(line)
    if scale == "full":
        problems = over_budget(counts)
        lines += problems or [f"  within {TOLERANCE:.0%} of the budget"]
    lines.append("one sequence at the stage's greatest length, one refinement step:")
    head = ("stage", "length", "demos", "GFLOP/step", "GFLOP heads", "GFLOP demos", "steps")
    head += ("state KiB",)
    lines.append("  " + "".join(f"{h:>15}" for h in head))
    for name, work, steps, memory in stages:
        row = (
            name,
            f"{work.length} {'tokens' if work.text else 'cells'}",
            str(work.context),
            f"{step_flops(config, work, memory) / 1e9:.3f}",
            f"{head_flops(config, work) / 1e9:.3f}",
            f"{context_flops(config, work) / 1e9:.3f}",
            str(steps),
            f"{state_bytes(config, work, memory) / 1024:.0f}",
        )
        lines.append("  " + "".join(f"{cell:>15}" for cell in row))
    return lines
