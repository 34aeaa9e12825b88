"""The learning rate: closed form, end points, and scaling by component and stage."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from cogment_pipe.schedule import multiplier, rate
from cogment_pipe.stage_config import MultiOptimizerConfig, StageConfig


def test_warm_up_is_linear_and_the_cosine_ends_where_it_should() -> None:
    """1/w after the first step's rate, 1 at the end of warm-up, the final share at the end."""
    values = [multiplier(s, warmup=5, total=105, final=0.1) for s in range(110)]
    assert values[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert values[5] == 1.0
    assert values[104] == pytest.approx(0.1)
    assert values[105:] == pytest.approx([0.1] * 5)
    assert all(a >= b for a, b in pairwise(values[4:]))
    middle = 5 + 99 / 3
    expected = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 3))
    assert values[int(middle)] == pytest.approx(expected)


@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (0, 2), (1, 1), (5, 3), (3, 4)])
def test_short_stages_have_finite_rates(warmup: int, total: int) -> None:
    """No division by zero where warm-up fills the stage or there is none."""
    for step in range(total + 2):
        assert 0.0 < multiplier(step, warmup=warmup, total=total, final=0.05) <= 1.0


def test_rate_scales_by_component_and_stage() -> None:
    """Base rate x stage rate / 3e-4: at stage rate 3e-4 the base rates hold as written."""
    config = MultiOptimizerConfig()
    nominal = StageConfig(
        name="s",
        max_steps=100,
        batch_size=1,
        sequence_length=1,
        learning_rate=3e-4,
        max_refinement_steps=1,
        warmup_steps=0,
        tasks={},
    )
    slow = nominal.model_copy(update={"learning_rate": 5e-5})
    assert rate("core", 0, config, nominal) == pytest.approx(3e-4)
    assert rate("halting", 0, config, nominal) == pytest.approx(5e-4)
    assert rate("memory", 0, config, slow) == pytest.approx(1e-4 / 6)
    eager = slow.model_copy(update={"memory_rate": 3.0})
    assert rate("memory", 0, config, eager) == pytest.approx(1e-4 / 2)
    assert rate("core", 0, config, eager) == rate("core", 0, config, slow)
    calm = slow.model_copy(update={"core_rate": 0.1})
    assert rate("core", 0, config, calm) == pytest.approx(3e-5 / 6)
    assert rate("other", 0, config, calm) == rate("other", 0, config, slow)
    assert rate("other", 99, config, nominal) == pytest.approx(2e-4 * nominal.final_lr_ratio)
