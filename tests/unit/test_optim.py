"""The joint step: equal to torch's AdamW, all or none, and exact over a resume."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from cogment_pipe import checkpoint
from cogment_pipe.ema import WeightAverage
from cogment_pipe.errors import CogmentError
from cogment_pipe.optim import JointOptimizer, global_norm
from cogment_pipe.schedule import COMPONENTS, rate
from cogment_pipe.stage_config import GrokFastConfig, MultiOptimizerConfig, StageConfig

STAGE = StageConfig(
    name="test",
    max_steps=12,
    batch_size=4,
    sequence_length=4,
    learning_rate=1e-3,
    max_refinement_steps=1,
    warmup_steps=3,
    grokfast=True,
    tasks={},
)


class Toy(nn.Module):
    """One layer per component, and a late one that gets gradients only when told to."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.core = nn.Linear(6, 6)
            self.memory = nn.Linear(6, 6)
            self.halting = nn.Linear(6, 1)
            self.other = nn.Linear(6, 3)
            self.late = nn.Linear(6, 3)
        self.to(dtype)

    def components(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        named = dict(self.named_parameters())
        return {
            component: sorted(
                (name, parameter)
                for name, parameter in named.items()
                if name.split(".")[0] == component or (component, name[:4]) == ("other", "late")
            )
            for component in COMPONENTS
        }

    def loss(self, step: int, late: bool = False) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1000 + step)
        x = torch.randn(4, 6, generator=generator).to(self.core.weight.dtype)
        h = torch.tanh(self.core(x))
        h = h + torch.tanh(self.memory(h))
        loss = self.other(h).square().mean() + self.halting(h).sigmoid().mean()
        return loss + self.late(h).square().mean() if late else loss


def make(model: Toy, **options: object) -> JointOptimizer:
    settings = {"config": MultiOptimizerConfig(), "grokfast": GrokFastConfig(), "stage": STAGE}
    settings.update(options)
    return JointOptimizer(model.components(), device="cpu", **settings)


def run(
    model: Toy, optimizer: JointOptimizer, average: WeightAverage, first: int, last: int, late: int
) -> None:
    for step in range(first, last):
        optimizer.scale(model.loss(step, late=step >= late)).backward()
        assert optimizer.step().applied
        average.update()


def save(path: Path, model: Toy, optimizer: JointOptimizer, average: WeightAverage) -> str:
    tensors, meta = checkpoint.flatten("model", dict(model.state_dict()))
    for prefix, part in (("optim", optimizer), ("ema", average)):
        more_tensors, more_meta = checkpoint.flatten(prefix, part.state_dict())
        tensors.update(more_tensors)
        meta.update(more_meta)
    return checkpoint.save(path, tensors, meta)


def load(path: Path, **options: object) -> tuple[Toy, JointOptimizer, WeightAverage]:
    tensors, meta = checkpoint.load(path)
    model = Toy()
    model.load_state_dict(checkpoint.unflatten("model", tensors, meta))
    optimizer, average = make(model, **options), WeightAverage(model, 0.99)
    optimizer.load_state_dict(checkpoint.unflatten("optim", tensors, meta))
    average.load_state_dict(checkpoint.unflatten("ema", tensors, meta))
    return model, optimizer, average


def bits(optimizer: JointOptimizer, model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of every tensor that a step may change."""
    tensors, meta = checkpoint.flatten("optim", optimizer.state_dict())
    tensors.update(model.state_dict())
    assert meta["optim/applied"] == optimizer.applied
    return {name: tensor.clone() for name, tensor in tensors.items()}


def assert_same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_equals_torch_adamw_per_component() -> None:
    """Without clipping or filter, each component follows torch's own AdamW at its own rate."""
    model = Toy()
    twin = copy.deepcopy(model)
    config = MultiOptimizerConfig(clip_norm=1e9)
    optimizer = make(model, config=config, grokfast=None)
    references = {}
    for component, named in twin.components().items():
        matrices = [p for _, p in named if p.ndim >= 2]
        vectors = [p for _, p in named if p.ndim < 2]
        references[component] = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": getattr(config, f"{component}_weight_decay")},
                {"params": vectors, "weight_decay": 0.0},
            ],
            betas=getattr(config, f"{component}_betas"),
            foreach=False,
            fused=False,
        )
    for step in range(12):
        model.loss(step).backward()
        info = optimizer.step()
        assert info.lr == rate("core", step, config, STAGE)
        twin.loss(step).backward()
        for component, reference in references.items():
            for group in reference.param_groups:
                group["lr"] = rate(component, step, config, STAGE)
            reference.step()
            reference.zero_grad()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, twin.state_dict()[name], rtol=1e-5, atol=1e-7)
    assert not torch.equal(model.core.weight, Toy().core.weight)


def test_no_decay_on_vectors() -> None:
    """With zero gradients matrices shrink by lr x decay, biases keep their bits."""
    model = Toy()
    before = copy.deepcopy(model.state_dict())
    optimizer = make(model, config=MultiOptimizerConfig(core_weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    lr = optimizer.rates()["core"]
    optimizer.step()
    assert torch.equal(model.core.bias, before["core.bias"])
    torch.testing.assert_close(model.core.weight, before["core.weight"] * (1 - lr * 0.5))
    assert torch.equal(model.halting.weight, before["halting.weight"])


def test_clip_is_one_global_norm_and_comes_before_the_filter() -> None:
    """The filter sees gradients whose common norm is the clip norm; no second clip follows."""
    model = Toy()
    optimizer = make(model, config=MultiOptimizerConfig(clip_norm=0.01))
    model.loss(0).backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    raw = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients])).item()
    info = optimizer.step()
    assert info.grad_norm == pytest.approx(norm, rel=1e-6)
    averages = optimizer.filter.state_dict()["average"]
    for name, average in averages.items():
        torch.testing.assert_close(average, raw[name] * (0.01 / norm), rtol=1e-4, atol=1e-9)


def test_clip_equals_torch_clip_grad_norm() -> None:
    """The clipped gradients are those of torch.nn.utils.clip_grad_norm_."""
    ours, theirs = Toy(), Toy()
    optimizer = make(ours, config=MultiOptimizerConfig(clip_norm=0.1))
    for model in (ours, theirs):
        model.loss(3).backward()
    gradients = [p.grad for p in optimizer.parameters if p.grad is not None]
    norm = global_norm(gradients)
    optimizer._clip(gradients, norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.1)
    assert norm == pytest.approx(expected.item(), rel=1e-6)
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, msg=name)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("mode", ["fp32", "bf16", "fp16"])
def test_nonfinite_gradient_changes_nothing(component: str, value: float, mode: str) -> None:
    """NaN or inf in one element of one component leaves every buffer of all of them as it was."""
    model = Toy(torch.bfloat16 if mode == "bf16" else torch.float32)
    optimizer = make(model, precision=mode)
    average = WeightAverage(model, 0.9)
    run(model, optimizer, average, 0, 3, late=99)
    before = bits(optimizer, model)
    rates = optimizer.rates()
    optimizer.scale(model.loss(3)).backward()
    getattr(model, component).weight.grad.view(-1)[-1] = value
    info = optimizer.step()
    assert not info.applied and info.step == 3
    assert_same_bits(before, bits(optimizer, model))
    assert optimizer.rates() == rates
    assert (optimizer.nonfinite, optimizer.applied) == (1, 3)
    assert all(parameter.grad is None for parameter in model.parameters())
    run(model, optimizer, average, 3, 5, late=99)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_nonfinite_steps_in_a_row_stop_the_run() -> None:
    """The limit counts consecutive ones only; the error names the step and the component."""
    model = Toy()
    optimizer = make(model, config=MultiOptimizerConfig(max_nonfinite=3))

    def one(broken: bool) -> None:
        model.loss(0).backward()
        if broken:
            model.memory.bias.grad[0] = float("nan")
        optimizer.step()

    for broken in (True, True, False, True, True):
        one(broken)
    with pytest.raises(CogmentError, match=r"step 6: gradients of memory were not finite in 3"):
        one(True)
    assert optimizer.applied == 1


def test_fp16_scale_search_is_not_an_error_but_its_end_is() -> None:
    """Overflows that lower the scale never stop a run; once it is at 1, they count."""
    model = Toy()
    optimizer = make(model, config=MultiOptimizerConfig(max_nonfinite=2), precision="fp16")
    steps = 0
    with pytest.raises(CogmentError, match="core"):
        for _ in range(40):
            optimizer.scale(model.loss(0)).backward()
            model.core.weight.grad[0, 0] = float("inf")
            optimizer.step()
            steps += 1
    assert steps == 16 + 1  # 65536 = 2^16 halvings down to 1, and the first of two that count


def test_fp16_equals_fp32_where_nothing_overflows() -> None:
    """Scaling by a power of two and back is exact: the same bits as without a scaler."""
    plain, scaled = Toy(), Toy()
    run(plain, make(plain), WeightAverage(plain, 0.9), 0, 6, late=99)
    run(scaled, make(scaled, precision="fp16"), WeightAverage(scaled, 0.9), 0, 6, late=99)
    assert_same_bits(plain.state_dict(), scaled.state_dict())


def test_schedule_counts_applied_steps_only() -> None:
    """A skipped step does not move the learning rate, so it cannot shorten the warm-up."""
    model = Toy()
    optimizer = make(model)
    seen = []
    for step in range(8):
        model.loss(step).backward()
        if step in (1, 2, 5):
            model.core.bias.grad[0] = float("inf")
        seen.append(optimizer.step().lr)
    assert seen == [
        rate("core", n, MultiOptimizerConfig(), STAGE) for n in (0, 1, 1, 1, 2, 3, 3, 4)
    ]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("cut", range(13))
def test_every_resume_is_bitwise(tmp_path: Path, cut: int, kind: str) -> None:
    """12 steps = cut + save + load + the rest: the whole checkpoint files have equal bytes.

    A parameter gets its first gradient at step 6: its state must be born equal on both sides.
    """
    config = MultiOptimizerConfig(core_optimizer=kind, memory_optimizer=kind)
    model = Toy()
    optimizer, average = make(model, config=config), WeightAverage(model, 0.99)
    run(model, optimizer, average, 0, 12, late=6)
    whole = save(tmp_path / "whole.pt", model, optimizer, average)

    model = Toy()
    optimizer, average = make(model, config=config), WeightAverage(model, 0.99)
    run(model, optimizer, average, 0, cut, late=6)
    save(tmp_path / "cut.pt", model, optimizer, average)
    model, optimizer, average = load(tmp_path / "cut.pt", config=config)
    run(model, optimizer, average, cut, 12, late=6)
    assert save(tmp_path / "resumed.pt", model, optimizer, average) == whole
    assert (tmp_path / "resumed.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()


def test_every_saved_field_is_needed(tmp_path: Path) -> None:
    """Zeroing any one saved tensor or count changes the rest of the run: nothing is decoration."""
    model = Toy()
    optimizer, average = make(model), WeightAverage(model, 0.99)
    run(model, optimizer, average, 0, 6, late=99)
    save(tmp_path / "cut.pt", model, optimizer, average)
    run(model, optimizer, average, 6, 9, late=99)
    whole = save(tmp_path / "whole.pt", model, optimizer, average)
    tensors, meta = checkpoint.load(tmp_path / "cut.pt")

    def resumed(tensors: dict, meta: dict) -> str:
        checkpoint.save(tmp_path / "tampered.pt", tensors, meta)
        model, optimizer, average = load(tmp_path / "tampered.pt")
        run(model, optimizer, average, 6, 9, late=99)
        return save(tmp_path / "end.pt", model, optimizer, average)

    assert resumed(tensors, meta) == whole
    for name, tensor in tensors.items():
        assert resumed({**tensors, name: torch.zeros_like(tensor) + 7}, meta) != whole, name
    # set back to 0 by the next applied step whatever it was; it decides only when a run gives up
    redundant = {"optim/nonfinite_in_row"}
    counts = {name for name, value in meta.items() if isinstance(value, int)} - redundant
    assert counts == {"optim/applied", "optim/nonfinite", "ema/updates"}
    for name in counts:
        assert resumed(tensors, {**meta, name: meta[name] + 1}) != whole, name


def test_fp16_scaler_survives_a_resume() -> None:
    """The loss scale and its growth counter are part of the state."""
    model = Toy()
    optimizer = make(model, precision="fp16")
    for step in range(3):
        optimizer.scale(model.loss(step)).backward()
        if step == 1:
            model.core.bias.grad[0] = float("inf")
        optimizer.step()
    again = make(Toy(), precision="fp16")
    again.load_state_dict(optimizer.state_dict())
    assert again.state_dict()["scaler"] == optimizer.state_dict()["scaler"]
    assert again.scale(torch.ones(())).item() == 32768.0


def test_load_clears_what_the_saved_state_does_not_have() -> None:
    """Loading into a used optimizer leaves none of its own moments behind."""
    fresh = make(Toy())
    model = Toy()
    optimizer = make(model)
    run(model, optimizer, WeightAverage(model, 0.9), 0, 3, late=0)
    optimizer.load_state_dict(fresh.state_dict())
    assert optimizer.state_dict() == fresh.state_dict()


def test_loading_does_not_share_memory() -> None:
    """A step after loading must not change the tensors it was loaded from."""
    model = Toy()
    optimizer = make(model)
    run(model, optimizer, WeightAverage(model, 0.9), 0, 2, late=99)
    tensors, _ = checkpoint.flatten("o", optimizer.state_dict())
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    twin = copy.deepcopy(model)
    other = make(twin)
    other.load_state_dict(optimizer.state_dict())
    run(twin, other, WeightAverage(twin, 0.9), 2, 4, late=99)
    assert_same_bits(before, tensors)


def test_foreign_state_is_refused() -> None:
    """Names and shapes that do not fit give an error that says which."""
    model = Toy()
    optimizer = make(model)
    run(model, optimizer, WeightAverage(model, 0.9), 0, 1, late=99)
    for change, message in (
        (lambda m: m["core"]["exp_avg"].update(gone=torch.zeros(1)), "unknown 'gone'"),
        (lambda m: m["core"]["exp_avg"].update({"core.bias": torch.zeros(2)}), r"shape \(2,\)"),
        (lambda m: m.update(extra={}), "unknown components"),
        (lambda m: m["core"].update(mystery={}), "unknown entry 'mystery'"),
        (lambda m: m["core"].pop("step"), r"holds only \['exp_avg', 'exp_avg_sq'\]"),
    ):
        state = copy.deepcopy(optimizer.state_dict())
        change(state["moments"])
        with pytest.raises(ValueError, match=message):
            make(Toy()).load_state_dict(state)


@pytest.mark.parametrize("chosen", ["core", "memory"])
def test_muon_takes_the_matrices_of_its_component_only(chosen: str) -> None:
    """Where asked for, matrices have a momentum buffer; vectors and all else AdamW's moments."""
    model, config = Toy(), MultiOptimizerConfig.model_validate({f"{chosen}_optimizer": "muon"})
    optimizer = make(model, config=config)
    run(model, optimizer, WeightAverage(model, 0.9), 0, 2, late=99)
    moments = optimizer.state_dict()["moments"]
    assert sorted(moments[chosen]["momentum_buffer"]) == [f"{chosen}.weight"]
    assert sorted(moments[chosen]["exp_avg"]) == [f"{chosen}.bias"]
    for other in set(moments) - {chosen}:
        assert "momentum_buffer" not in moments[other]


def test_a_stage_may_change_keys_of_the_optimizer() -> None:
    """What `stage.optimizer` says is as if the section `optimizer` said it; the rest stays."""
    changes = {"core_optimizer": "muon", "core_lr": "6e-4", "clip_norm": 0.01}
    config = MultiOptimizerConfig(memory_lr=2e-4)
    whole = config.model_copy(update={"core_optimizer": "muon", "core_lr": 6e-4, "clip_norm": 0.01})
    own = StageConfig(**{**STAGE.model_dump(), "optimizer": changes})
    results = []
    for settings in ({"config": config, "stage": own}, {"config": whole, "stage": STAGE}):
        model = Toy()
        optimizer = make(model, **settings)
        run(model, optimizer, WeightAverage(model, 0.99), 0, 4, late=0)
        results.append(bits(optimizer, model))
    assert_same_bits(*results)


def test_misuse_is_refused() -> None:
    """No gradients, unknown components, and parameters in two of them are errors, not guesses."""
    model = Toy()
    with pytest.raises(ValueError, match="backward"):
        make(model).step()
    config = MultiOptimizerConfig()
    core = model.components()["core"]
    for components, message in (
        ({"trunk": core}, "unknown components"),
        ({"core": core, "other": core}, "occurs in two"),
        ({"core": core, "other": [("alias", core[0][1])]}, "belongs to two"),
        ({"core": []}, "no parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            JointOptimizer(components, config, None, STAGE, "cpu")
