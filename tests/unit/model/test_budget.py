"""The nominal parameter budget, and arithmetic that agrees with what really runs."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cogment_pipe.config import load_config
from cogment_pipe.model import budget
from cogment_pipe.model.budget import NOMINAL, Workload
from cogment_pipe.stage_config import MemoryWrites


def test_full_is_within_three_percent_of_its_budget(project):
    """Core 6.8M, memory 2.4M, heads and adapters 11.9M, total 21.13M, never above 25M."""
    config = load_config(project, user={"scale": "full"})
    counts = budget.parameters(config.model)
    for part, nominal in NOMINAL.items():
        assert abs(counts[part] / nominal - 1) <= 0.03, part
    assert counts["total"] == counts["core"] + counts["memory"] + counts["heads"] <= 25_000_000
    assert budget.over_budget(counts) == []


def test_small_has_about_a_million(project):
    """A laptop's model: between half a million and one and a half."""
    counts = budget.parameters(load_config(project, user={"scale": "small"}).model)
    assert 500_000 < counts["total"] < 1_500_000


def test_a_missed_budget_is_said():
    """Each part off by more than 3%, and the ceiling, get a line."""
    counts = {name: int(n * 1.2) for name, n in NOMINAL.items()}
    lines = budget.over_budget(counts)
    assert len(lines) == 5 and "exceeds 25,000,000" in lines[-1]


def test_counts_are_those_of_a_real_model(model):
    """Built without memory or built for real: the same numbers."""
    counts = budget.parameters(model.config)
    assert counts["total"] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("context", [0, 6])
@torch.no_grad()
def test_operations_of_a_grid_step_are_those_counted_while_it_runs(model, grids, context):
    """The closed form equals torch's own count, but for the padded border of the convolution."""
    feed = grids(batch=1, context=context)
    encoded = model.prepare(feed, MemoryWrites())
    carry = model.start(encoded)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        carry = model.step(encoded, carry)
    work = Workload(12, context=context)
    assert counter.get_total_flops() == budget.step_flops(model.config, work)
    with FlopCounterMode(display=False) as counter:
        model.outputs(encoded, carry)
    stops = 2 * 2 * model.config.d_model
    assert counter.get_total_flops() - stops == budget.head_flops(model.config, work)


@pytest.mark.parametrize("mixer", ["token_mlp", "convolution"])
@torch.no_grad()
def test_operations_of_a_step_without_attention(build, grids, mixer):
    """Torch counts the same for the other mixers."""
    model = build(mixer=mixer, mixer_cells=12)
    encoded = model.prepare(grids(batch=1), MemoryWrites())
    carry = model.start(encoded)
    with FlopCounterMode(display=False) as counter:
        model.step(encoded, carry)
    assert counter.get_total_flops() == budget.step_flops(model.config, Workload(12))


@torch.no_grad()
def test_operations_of_a_text_step(model, texts):
    """On text the convolution is written out and not counted by torch; all else agrees."""
    feed = texts((5,), (3,))
    encoded = model.prepare(feed, MemoryWrites())
    carry = model.start(encoded)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.step(encoded, carry)
    config = model.config
    along = 3 * config.n_blocks * 2 * 3 * 8 * config.d_model
    counted = budget.step_flops(config, Workload(8, text=True)) - along
    assert counter.get_total_flops() == counted


@torch.no_grad()
def test_bytes_of_state_are_those_of_the_tensors(model, grids):
    """y, z, the memory and the demonstrations' keys and values of one sequence."""
    encoded = model.prepare(grids(batch=1, context=6), MemoryWrites())
    carry = model.start(encoded)
    tensors = [carry.y, carry.z, encoded.memory.matrix]
    tensors += [t for pair in encoded.geo.context for t in pair]
    total = sum(t.numel() * 4 for t in tensors)
    assert budget.state_bytes(model.config, Workload(12, context=6)) == total


def test_described_for_people(project):
    """Parameters against the budget, and a line for each stage."""
    config = load_config(project, user={"scale": "full"})
    lines = budget.describe("full", config.model, [("1 ARC", Workload(256, False, 1024), 4, True)])
    text = "\n".join(lines)
    assert "within 3% of the budget" in text and "21,130,000" in text and "256 cells" in text
