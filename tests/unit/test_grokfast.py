"""The gradient filter: the published formula, exclusions, and an exact resume."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cogment_pipe.grokfast import FilterRule, GradientFilter, filter_together, stage_rules
from cogment_pipe.stage_config import GrokFastConfig, StageConfig


def make_components(dtype: torch.dtype = torch.float32) -> dict[str, list]:
    """Two parameters in core, one in each other component, all zero."""
    shapes = {"core": [(3, 4), (4,)], "memory": [(5,)], "halting": [(2, 2)], "other": [(3,)]}
    return {
        component: [
            (f"{component}.{index}", nn.Parameter(torch.zeros(shape, dtype=dtype)))
            for index, shape in enumerate(sizes)
        ]
        for component, sizes in shapes.items()
    }


def draw_gradients(components: dict[str, list], step: int) -> dict[str, torch.Tensor]:
    """Put keyed random gradients into `.grad`; returns copies by name."""
    generator = torch.Generator().manual_seed(step)
    drawn = {}
    for named in components.values():
        for name, parameter in named:
            gradient = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.grad = gradient.to(parameter.dtype)
            drawn[name] = parameter.grad.clone()
    return drawn


def stage(**changes: object) -> StageConfig:
    return StageConfig(
        **{
            "name": "test",
            "max_steps": 10,
            "batch_size": 1,
            "sequence_length": 1,
            "learning_rate": 3e-4,
            "max_refinement_steps": 1,
            "tasks": {},
            **changes,
        }
    )


RULES = {"core": FilterRule(2.0, 0.98), "memory": FilterRule(1.5, 0.95)}


def test_equals_the_published_formula() -> None:
    """50 random steps in float64 agree with mu = a mu + (1-a) g, g + lambda mu, to 1e-12."""
    components = make_components(torch.float64)
    gradient_filter = GradientFilter(components, RULES)
    averages: dict[str, torch.Tensor] = {}
    for step in range(50):
        drawn = draw_gradients(components, step)
        gradient_filter.apply()
        for component, named in components.items():
            rule = RULES.get(component, FilterRule(0.0))
            for name, parameter in named:
                g = drawn[name]
                mu = averages.get(name, g)  # the average starts at the first gradient
                averages[name] = rule.alpha * mu + (1 - rule.alpha) * g
                expected = g + rule.lamb * averages[name]
                assert (parameter.grad - expected).abs().max() < 1e-12


def test_fp32_equals_the_published_formula() -> None:
    """50 random steps in float32 agree with the formula in float64 to 1e-6 of the largest value."""
    components = make_components()
    gradient_filter = GradientFilter(components, {"core": RULES["core"]})
    averages: dict[str, torch.Tensor] = {}
    for step in range(50):
        drawn = draw_gradients(components, step)
        gradient_filter.apply()
        for name, parameter in components["core"]:
            g = drawn[name].double()
            averages[name] = 0.98 * averages.get(name, g) + 0.02 * g
            expected = g + 2.0 * averages[name]
            assert (parameter.grad - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_nothing_is_allocated_after_the_first_step() -> None:
    """The average is updated and added in place: no temporary the size of a parameter."""
    weight = nn.Parameter(torch.zeros(1000, 50))
    gradient_filter = GradientFilter({"core": [("w", weight)]}, {"core": RULES["core"]})
    weight.grad = torch.ones_like(weight)
    gradient_filter.apply()
    with torch.profiler.profile(profile_memory=True) as profile:
        gradient_filter.apply()
    sizes = [event.self_cpu_memory_usage for event in profile.events()]
    assert max(sizes, default=0) < weight.numel() * weight.element_size() // 100


def test_moving_average_equals_the_published_formula() -> None:
    """The MA variant leaves gradients alone until its window is full, then adds lambda * mean."""
    components = {"core": [("w", nn.Parameter(torch.zeros(4, dtype=torch.float64)))]}
    gradient_filter = GradientFilter(components, {"core": FilterRule(5.0, kind="ma", window=7)})
    window: list[torch.Tensor] = []
    for step in range(30):
        g = draw_gradients(components, step)["w"]
        window = [*window, g][-7:]
        gradient_filter.apply()
        expected = g + 5.0 * torch.stack(window).mean(0) if len(window) == 7 else g
        assert (components["core"][0][1].grad - expected).abs().max() < 1e-12


def test_constant_gradient_is_amplified_by_one_plus_lambda() -> None:
    """The direct-current gain is 1 + lambda from the first step on: no bias correction is due."""
    components = {"core": [("w", nn.Parameter(torch.zeros(3)))]}
    gradient_filter = GradientFilter(components, {"core": FilterRule(2.0, 0.98)})
    for _ in range(20):
        components["core"][0][1].grad = torch.tensor([1.0, -2.0, 0.5])
        gradient_filter.apply()
        torch.testing.assert_close(
            components["core"][0][1].grad, torch.tensor([3.0, -6.0, 1.5]), rtol=1e-6, atol=0
        )


def test_lambda_zero_is_bitwise_no_filter() -> None:
    """With lambda 0 no gradient changes by a bit and no buffer is held."""
    components = make_components()
    gradient_filter = GradientFilter(components, {name: FilterRule(0.0) for name in components})
    for step in range(3):
        drawn = draw_gradients(components, step)
        gradient_filter.apply()
        for named in components.values():
            assert all(torch.equal(parameter.grad, drawn[name]) for name, parameter in named)
    assert gradient_filter.state_dict() == {"average": {}, "seen": {}}
    assert not gradient_filter.active


def test_halting_is_never_touched() -> None:
    """Halting gradients keep their bits under the nominal settings, and a rule for them fails."""
    components = make_components()
    rules = stage_rules(GrokFastConfig(other_lamb=3.0), stage(grokfast=True))
    gradient_filter = GradientFilter(components, rules)
    for step in range(5):
        drawn = draw_gradients(components, step)
        gradient_filter.apply()
        assert torch.equal(components["halting"][0][1].grad, drawn["halting.0"])
        assert not torch.equal(components["core"][0][1].grad, drawn["core.0"])
    with pytest.raises(ValueError, match="halting"):
        GradientFilter(components, {"halting": FilterRule(1.0)})


def test_stage_factor_acts_exactly_once() -> None:
    """Lambda of stages 3 and 4 is 1.2 and .9; a stage with the filter off has no rule at all."""
    rules = stage_rules(GrokFastConfig(), stage(grokfast=True, grokfast_factor=0.6))
    assert rules["core"].lamb == pytest.approx(1.2)
    assert rules["memory"].lamb == pytest.approx(0.9)
    assert (rules["core"].alpha, rules["memory"].alpha) == (0.98, 0.95)
    assert stage_rules(GrokFastConfig(), stage(grokfast=False)) == {}
    assert stage_rules(GrokFastConfig(enabled=False), stage(grokfast=True)) == {}
    assert stage_rules(None, stage(grokfast=True)) == {}


@pytest.mark.parametrize("kind", ["ema", "ma"])
@pytest.mark.parametrize("cut", [0, 1, 4, 9])
def test_save_and_load_midway_is_bitwise(kind: str, cut: int) -> None:
    """12 steps equal `cut` steps, save, load into a new filter, and the rest, to the bit."""
    rules = {"core": FilterRule(2.0, 0.9, kind, window=3)}
    whole, parts = make_components(), make_components()
    unbroken, broken = GradientFilter(whole, rules), GradientFilter(parts, rules)
    for step in range(12):
        if step == cut:
            saved = broken.state_dict()
            broken = GradientFilter(parts, rules)
            broken.load_state_dict(saved)
        for components, gradient_filter in ((whole, unbroken), (parts, broken)):
            draw_gradients(components, step)
            gradient_filter.apply()
        for (_, a), (_, b) in zip(whole["core"], parts["core"], strict=True):
            assert torch.equal(a.grad, b.grad)


def test_absent_gradient_is_skipped() -> None:
    """A parameter without gradient keeps its average; a later one goes on from there."""
    components = {"core": [("w", nn.Parameter(torch.zeros(2)))]}
    parameter = components["core"][0][1]
    gradient_filter = GradientFilter(components, {"core": FilterRule(1.0, 0.5)})
    gradient_filter.apply()
    assert gradient_filter.state_dict()["average"] == {}
    parameter.grad = torch.ones(2)
    gradient_filter.apply()
    parameter.grad = None
    gradient_filter.apply()
    assert torch.equal(gradient_filter.state_dict()["average"]["w"], torch.ones(2))


def test_sparse_gradient_is_refused() -> None:
    """A sparse gradient gives an error with the parameter's name, not a wrong average."""
    table = nn.Embedding(5, 3, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    gradient_filter = GradientFilter({"core": [("table", table.weight)]}, RULES)
    with pytest.raises(ValueError, match=r"sparse.*'table'"):
        gradient_filter.apply()


def test_half_precision_gradients_keep_a_wide_average() -> None:
    """The average of bf16 gradients is fp32: an update of 2% must not be rounded away."""
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    gradient_filter = GradientFilter({"core": [("w", parameter)]}, {"core": FilterRule(1.0, 0.999)})
    for value in (1.0, 2.0):
        parameter.grad = torch.full((1,), value, dtype=torch.bfloat16)
        gradient_filter.apply()
    average = gradient_filter.state_dict()["average"]["w"]
    assert average.dtype == torch.float32
    assert average.item() == pytest.approx(1.001, abs=1e-6)
    assert parameter.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_pass_equals_two_kernels(dtype: torch.dtype) -> None:
    """A tensor of any length, its last odd elements too, is filtered as by a lerp and an add."""
    draws = torch.Generator().manual_seed(0)
    for size in (1, 7, 1003, 70_001):
        average, gradient = torch.randn(2, size, generator=draws, dtype=dtype)
        mean = average.lerp(gradient, 0.02)
        filtered = gradient + 2.0 * mean
        filter_together([(average, gradient)], 0.98, 2.0)
        torch.testing.assert_close(average, mean, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(gradient, filtered, rtol=1e-6, atol=1e-6)


def test_memory_layout_changes_nothing() -> None:
    """A transposed gradient is filtered as a contiguous one; loading its average keeps its bits."""
    rules = {"core": FilterRule(2.0, 0.9)}
    plain, turned, resumed = (nn.Parameter(torch.zeros(3, 4)) for _ in range(3))
    filters = [GradientFilter({"core": [("w", p)]}, rules) for p in (plain, turned, resumed)]
    for step in range(6):
        gradient = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))
        plain.grad = gradient.clone()
        turned.grad, resumed.grad = (gradient.t().contiguous().t() for _ in range(2))
        if step == 3:
            saved = filters[2].state_dict()
            filters[2] = GradientFilter({"core": [("w", resumed)]}, rules)
            filters[2].load_state_dict(saved)
        for gradient_filter in filters:
            gradient_filter.apply()
        torch.testing.assert_close(plain.grad, turned.grad, rtol=1e-6, atol=1e-6)
        assert torch.equal(turned.grad, resumed.grad)


def test_foreign_state_is_refused() -> None:
    """State of an unknown parameter or another shape gives an error with its name."""
    gradient_filter = GradientFilter(make_components(), RULES)
    with pytest.raises(ValueError, match="'nobody'"):
        gradient_filter.load_state_dict({"average": {"nobody": torch.zeros(1)}, "seen": {}})
    with pytest.raises(ValueError, match=r"'core\.0' has shape \(2,\)"):
        gradient_filter.load_state_dict({"average": {"core.0": torch.zeros(2)}, "seen": {}})
