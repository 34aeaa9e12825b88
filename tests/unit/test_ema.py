"""The weight average: what is averaged, swapping without a trace, and an exact resume."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cogment_pipe.ema import WeightAverage, averaged_tensors


class Tied(nn.Module):
    """Two names for one matrix, a running buffer, a counter and a constant table."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5)
        self.out.weight = self.embed.weight
        self.register_buffer("running", torch.zeros(3))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("table", torch.ones(2), persistent=False)


def drift(model: nn.Module, step: int) -> None:
    """Change every parameter and float buffer by keyed noise."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for tensor in averaged_tensors(model).values():
            tensor.add_(torch.randn(tensor.shape, generator=generator))


def test_averages_each_tensor_once_and_no_constants() -> None:
    """A tied matrix counts once; integer and non-persistent buffers stay out."""
    assert sorted(averaged_tensors(Tied())) == ["embed.weight", "out.bias", "running"]


def test_equals_the_closed_form() -> None:
    """With a fixed decay the average is the weighted sum of all weights so far."""
    model = Tied()
    average = WeightAverage(model, 0.9, warmup=False)
    expected = model.out.bias.detach().double().clone()
    for step in range(20):
        drift(model, step)
        average.update()
        expected = 0.9 * expected + 0.1 * model.out.bias.detach().double()
    torch.testing.assert_close(
        average.weights()["out.bias"].double(), expected, rtol=1e-5, atol=1e-6
    )


def test_early_updates_have_a_shorter_memory() -> None:
    """The decay of update n is min(decay, (1+n)/(10+n)), so a short stage is not lost in it."""
    average = WeightAverage(Tied(), 0.5)
    seen = []
    for _ in range(12):
        seen.append(average.decay)
        average.update()
    assert seen == [min(0.5, (1 + n) / (10 + n)) for n in range(12)]
    assert seen[0] == 0.1 and seen[-1] == 0.5


def test_swapped_leaves_no_trace() -> None:
    """Inside, the model computes with the average; afterwards its bits are back, errors or not."""
    model = Tied()
    average = WeightAverage(model, 0.9)
    drift(model, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="evaluation broke"), average.swapped() as inside:
        assert inside is model
        assert torch.equal(model.out.bias, average.weights()["out.bias"])
        assert not torch.equal(model.out.bias, before["out.bias"])
        assert torch.is_grad_enabled()
        raise RuntimeError("evaluation broke")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_swapped_keeps_the_gradient_mode_of_its_surroundings() -> None:
    """Evaluation under no_grad stays under no_grad inside the swap."""
    average = WeightAverage(Tied(), 0.9)
    with torch.no_grad(), average.swapped():
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("cut", [0, 3, 9])
def test_save_and_load_midway_is_bitwise(cut: int) -> None:
    """10 updates equal `cut` updates, save, load, and the rest, to the bit."""
    whole, parts = Tied(), Tied()
    unbroken, broken = WeightAverage(whole, 0.99), WeightAverage(parts, 0.99)
    for step in range(10):
        if step == cut:
            saved = broken.state_dict()
            broken = WeightAverage(parts, 0.99)
            broken.load_state_dict(saved)
        for model, average in ((whole, unbroken), (parts, broken)):
            drift(model, step)
            average.update()
    assert broken.updates == unbroken.updates
    for name, tensor in unbroken.weights().items():
        assert torch.equal(tensor, broken.weights()[name])


def test_half_precision_weights_have_a_wide_average() -> None:
    """The average of bf16 weights is fp32 and moves by less than a bf16 step."""
    model = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average = WeightAverage(model, 0.999, warmup=False)
    with torch.no_grad():
        model.weight.fill_(2.0)
    average.update()
    assert average.weights()["weight"].item() == pytest.approx(1.001)
    with average.swapped():
        assert model.weight.dtype == torch.bfloat16


def test_other_model_is_refused() -> None:
    """Another model's average gives an error with the names that do not fit."""
    average = WeightAverage(Tied(), 0.9)
    with pytest.raises(ValueError, match="running"):
        average.load_state_dict({"average": {"embed.weight": torch.zeros(5, 3)}, "updates": 1})
    with pytest.raises(ValueError, match="missing"), average.swapped(nn.Linear(2, 2)):
        pass
