"""Streams: pure batches, micro-batches, consistency and resuming amid a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cogment_pipe import checkpoint
from cogment_pipe.data.augment import Augmentation, apply_all, image_cells
from cogment_pipe.data.batch import GridBatch, TextBatch
from cogment_pipe.losses import consistency_loss, paired
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import LossWeights, MemoryWrites, ModelConfig, StageConfig
from cogment_pipe.streams import TaskStream

CPU = torch.device("cpu")
PARTS = ("loss", "steps", "mixed", "improvement", "consistency", "ponder", "exact", "accuracy")


class Grids:
    """3 x 3 grids; an augmentation turns the grid and swaps symbols 1 and 2."""

    name, kind, task_id, weight, batch_size = "turned", "grid", 14, 1.0, None
    rate = 0.7

    def __init__(self, items: int = 20) -> None:
        draw = np.random.default_rng(3)
        self.inputs = draw.integers(1, 6, (items, 3, 3))
        self.targets = draw.integers(1, 6, (items, 3, 3))
        self.targets[draw.random(self.targets.shape) < 0.3] = -100

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, index, *, rng=None, augment=False, answers=True) -> GridBatch:
        inputs, targets, rows = self.inputs[index], self.targets[index], None
        if augment:
            symbols = np.arange(64)
            symbols[[1, 2]] = [2, 1]
            rows = [
                Augmentation(image_cells(3)[rng.integers(1, 8)], symbols)
                if rng.random() < self.rate
                else None
                for _ in index
            ]
            inputs, targets = apply_all(rows, inputs), apply_all(rows, targets)
        return GridBatch(self.name, 14, inputs, targets, np.asarray(index), augmented=rows)


class Texts:
    """Two segments, prompts of 2 to 4 tokens, answers of 1 to 3; variants have other segments."""

    name, kind, task_id, weight, batch_size = "said", "text", 8, 1.0, None

    def __len__(self) -> int:
        return 20

    def batch(self, index, *, rng=None, augment=False, answers=True) -> TextBatch:
        n = len(index)
        tokens, targets = np.zeros((n, 8), np.int64), np.full((n, 8), -100)
        segments = np.zeros((n, 2, 5), np.int64)
        prompt, length = np.zeros(n, np.int64), np.zeros(n, np.int64)
        for row, item in enumerate(index):
            draw = np.random.default_rng([9, int(item)])
            prompt[row], extra = draw.integers(2, 5), draw.integers(1, 4)
            length[row] = prompt[row] + extra
            tokens[row, : length[row]] = draw.integers(5, 40, size=length[row])
            place = slice(prompt[row] - 1, length[row] - 1)
            targets[row, place] = tokens[row, prompt[row] : length[row]]
            segments[row] = draw.integers(5, 40, size=(2, 5))
            if augment and rng.random() < 0.6:
                segments[row] = segments[row, ::-1]
        index = np.asarray(index)
        return TextBatch(self.name, 8, segments, tokens, prompt, length, targets, index)


def build(seed: int = 0) -> Cogment:
    sizes = {"d_model": 16, "n_heads": 2, "ffn_hidden": 24, "vocab_size": 40, "max_side": 8}
    torch.manual_seed(seed)
    model = Cogment(ModelConfig(**sizes, head_hidden=8, adapter_rank=2, memory_hidden=8))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model


def config(**change: object) -> StageConfig:
    settings = {"name": "x", "max_steps": 100, "batch_size": 6, "sequence_length": 16}
    settings |= {"learning_rate": 1e-3, "max_refinement_steps": 3, "act_threshold": 0.9}
    settings |= {"memory": MemoryWrites(alpha=0.5), "segment_steps": 1, "tasks": {}}
    settings |= {"loss": LossWeights(improvement=0.5, consistency=0.4, ponder=1.0)}
    return StageConfig(**(settings | change))


def stream(data: object, home: StageConfig, seed: int = 0) -> TaskStream:
    return TaskStream(data, home, 1, seed=seed, training_stage=1, device=CPU)


def one(model: Cogment, s: TaskStream):
    """One update with its gradients; nothing steps."""
    model.zero_grad()
    update = s.update(model, s.home.loss, 0.02, 0.0, lambda loss: loss.backward())
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return update, grads


DATA = [pytest.param(Grids, id="grid"), pytest.param(Texts, id="text")]
SCHEMES = ["joint", "per_step"]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("accumulate", [2, 9])
@pytest.mark.parametrize("consistency", [0.0, 0.4])
def test_micro_batches_have_the_gradient_of_the_whole(data, scheme, accumulate, consistency):
    """Loss parts and every gradient, at each refinement step, with and without twins."""
    model = build()
    loss = LossWeights(improvement=0.5, consistency=consistency, ponder=1.0)
    whole = stream(data(), config(update=scheme, loss=loss))
    split = stream(data(), config(update=scheme, loss=loss, accumulate=accumulate))
    for _ in range(3):
        (a, grads), (b, parts) = one(model, whole), one(model, split)
        assert (a.targets, a.rows) == (b.targets, b.rows)
        for name in PARTS:
            x, y = getattr(a.parts, name).detach(), getattr(b.parts, name)
            torch.testing.assert_close(x, y, atol=1e-6, rtol=1e-5)
        assert grads.keys() == parts.keys()
        for name, grad in grads.items():
            torch.testing.assert_close(grad, parts[name], atol=1e-6, rtol=1e-4, msg=name)
        if a.memory is not None:
            assert a.memory.matrix.shape == b.memory.matrix.shape
    if accumulate <= 6 and whole.chunks:
        assert len(split.chunks) == accumulate


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_consistency_is_part_of_the_loss_and_teaches(data, scheme):
    """Positive at a random model, readable alone, weighed once, with a gradient of its own."""
    model = build()
    only = LossWeights(deep=0, improvement=0, consistency=0.4, ponder=0, exact=0)
    update, grads = one(model, stream(data(), config(update=scheme, loss=only)))
    assert update.parts.consistency > 0
    torch.testing.assert_close(update.parts.loss, 0.4 * update.parts.consistency)
    assert update.parts.detached()["loss_consistency"] == update.parts.consistency
    assert sum(g.abs().sum() for g in grads.values()) > 0


@pytest.mark.parametrize("data", DATA)
def test_no_weight_no_twins(data):
    """consistency 0: the batch is as large as before and the part is zero."""
    model = build()
    off = config(loss=LossWeights(consistency=0.0))
    update, _ = one(model, stream(data(), off))
    assert update.rows == 6 and update.parts.consistency == 0
    with_twins, _ = one(model, stream(data(), config()))
    assert 6 < with_twins.rows <= 12


def test_augmentation_off_means_no_term():
    """A task that draws no augmentation has no twins and no consistency loss."""
    data = Grids()
    data.rate = 0.0
    update, _ = one(build(), stream(data, config()))
    assert update.rows == 6 and update.parts.consistency == 0


def test_an_equivariant_answer_pays_nothing():
    """Where logits depend on the label alone the twin says the same; else it pays."""
    s = stream(Grids(), config())
    (chunk,) = s._batch(0, 64)
    labels = chunk.feed.targets[chunk.feed.targets != -100]
    table = torch.zeros(len(labels), 64)
    table[torch.arange(len(labels)), labels] = 4.0
    assert consistency_loss(*paired(table, chunk.alignment)).abs() < 1e-6
    assert consistency_loss(*paired(torch.randn_like(table), chunk.alignment)) > 0.1


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("done", [1, 3, 5])
def test_resuming_amid_a_batch_is_exact(tmp_path, data, scheme, accumulate, done):
    """After any number of updates, through a file: the next two updates have the same bits."""
    model = build()
    home = config(update=scheme, accumulate=accumulate)
    s = stream(data(), home)
    for _ in range(done):
        one(model, s)
    tensors, meta = checkpoint.flatten("s", s.state_dict())
    checkpoint.save(tmp_path / "s.pt", tensors, meta)
    back = stream(data(), home)
    loaded = checkpoint.unflatten("s", *checkpoint.load(tmp_path / "s.pt"))
    back.load_state_dict(loaded)
    for _ in range(2):
        (a, grads), (b, again) = one(model, s), one(model, back)
        for name in PARTS:
            assert torch.equal(getattr(a.parts, name), getattr(b.parts, name))
        assert all(torch.equal(grad, again[name]) for name, grad in grads.items())


def test_batches_are_functions_of_seed_and_number():
    """The same number gives the same rows and augmentations, another seed others."""
    a, b = (stream(Grids(), config())._batch(5, 64)[0].feed.symbols for _ in range(2))
    c = stream(Grids(), config(), seed=1)._batch(5, 64)[0].feed.symbols
    assert torch.equal(a, b) and (a.shape != c.shape or not torch.equal(a, c))


def test_per_step_refines_one_batch_for_all_its_steps():
    """The carry goes on for max_refinement_steps updates, then a new batch starts afresh."""
    model, s = build(), stream(Grids(), config(update="per_step"))
    feeds, counts, numbers = [], [], []
    for _ in range(7):
        one(model, s)
        numbers.append(s.number)
        if s.phase:
            feeds.append(s.chunks[0].feed)
            counts.append(s.chunks[0].history.count)
            assert not s.chunks[0].carry.y.requires_grad
        else:
            assert not s.chunks
    assert counts == [1, 2, 1, 2, 1] and numbers == [0, 0, 1, 1, 1, 2, 2]
    assert feeds[0] is feeds[1] and feeds[1] is not feeds[2]


def test_depth_grows_over_the_ramp():
    """A batch's steps grow from 1 to the stage's number; a replayed task has them all at once."""
    ramped = stream(Grids(), config(update="per_step", depth_ramp=0.5))
    assert [ramped.depth_at(share) for share in (0.0, 0.2, 0.4, 0.5, 1.0)] == [1, 2, 3, 3, 3]
    plain = stream(Grids(), config(update="per_step"))
    assert plain.depth_at(0.0) == 3
    assert stream(Grids(), config(update="joint", depth_ramp=0.5)).depth_at(1.0) == 1


def test_per_step_equals_the_forward_pass_of_the_whole_model():
    """With frozen weights the carried states are those of an uninterrupted refinement."""
    model, s = build(), stream(Grids(), config(update="per_step"))
    for _ in range(2):
        one(model, s)
    with torch.no_grad():
        encoded = model.prepare(s.chunks[0].feed, s.home.memory)
        carry = model.start(encoded)
        for _ in range(2):
            carry = model.step(encoded, carry)
    torch.testing.assert_close(carry.y, s.chunks[0].carry.y)
    torch.testing.assert_close(carry.z, s.chunks[0].carry.z)


def test_a_batch_longer_than_the_stage_allows_is_refused():
    """Nine cells, sequence_length 8."""
    with pytest.raises(ValueError, match="9 cells; sequence_length allows 8"):
        one(build(), stream(Grids(), config(sequence_length=8)))
