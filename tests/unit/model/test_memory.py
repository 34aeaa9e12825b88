"""The long-term memory against the gated delta rule written position by position in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cogment_pipe.model.memory import KEY_TAPS, GatedLTM, MemoryState, delta_write
from cogment_pipe.stage_config import MemoryWrites


def one_by_one(matrix: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor) -> Tensor:
    """S <- a S + k beta (v - a S^T k)^T for each position in turn."""
    out = matrix.clone()
    for b in range(matrix.shape[0]):
        for h in range(matrix.shape[1]):
            state = matrix[b, h]
            for i in range(k.shape[2]):
                state = decay[b, h, i] * state
                error = v[b, h, i] - state.T @ k[b, h, i]
                state = state + torch.outer(k[b, h, i], beta[b, h, i] * error)
            out[b, h] = state
    return out


def writes_of(length: int = 9, dtype: torch.dtype = torch.float64, seed: int = 0):
    torch.manual_seed(seed)
    shape = (2, 3, length)
    matrix = torch.randn(2, 3, 4, 5, dtype=dtype)
    k = F.normalize(torch.randn(*shape, 4, dtype=dtype), dim=-1)
    v = torch.randn(*shape, 5, dtype=dtype)
    beta = torch.rand(shape, dtype=dtype)
    decay = 1.0 - 0.3 * torch.rand(shape, dtype=dtype)
    return matrix, k, v, beta, decay


@pytest.mark.parametrize("length", [1, 2, 9, 40])
def test_segment_write_equals_position_by_position(length):
    """One triangular solve gives what a loop over positions gives, to 1e-10."""
    inputs = writes_of(length)
    torch.testing.assert_close(delta_write(*inputs), one_by_one(*inputs), atol=1e-10, rtol=0)


def test_hand_worked_write():
    """An empty memory, key e0, value (2, 4), strength 1/2: M = e0 (1, 2); again: e0 (1.5, 3)."""
    k = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    v = torch.tensor([[[[2.0, 4.0], [2.0, 4.0]]]])
    half, one = torch.full((1, 1, 2), 0.5), torch.ones(1, 1, 2)
    zero = torch.zeros(1, 1, 2, 2)
    first = delta_write(zero, k[:, :, :1], v[:, :, :1], half[..., :1], one[..., :1])
    assert first[0, 0].tolist() == [[1.0, 2.0], [0.0, 0.0]]
    assert delta_write(zero, k, v, half, one)[0, 0].tolist() == [[1.5, 3.0], [0.0, 0.0]]


def test_newest_value_wins():
    """At strength 1 a key that is written again answers with its newest value."""
    k = F.normalize(torch.randn(1, 1, 3, 4), dim=-1)
    k[:, :, 2] = k[:, :, 0]
    v = torch.randn(1, 1, 3, 4)
    ones = torch.ones(1, 1, 3)
    matrix = delta_write(torch.zeros(1, 1, 4, 4), k, v, ones, ones)
    torch.testing.assert_close((k[:, :, 2:] @ matrix), v[:, :, 2:])


def test_positions_without_strength_write_nothing():
    """Padding (beta 0, decay 1) anywhere leaves the result of the others, and alone every bit."""
    matrix, k, v, beta, decay = writes_of(6)
    real = torch.tensor([1, 0, 1, 1, 0, 0], dtype=torch.bool)
    beta = torch.where(real, beta, torch.zeros_like(beta))
    decay = torch.where(real, decay, torch.ones_like(decay))
    kept = delta_write(matrix, k[..., real, :], v[..., real, :], beta[..., real], decay[..., real])
    torch.testing.assert_close(delta_write(matrix, k, v, beta, decay), kept, atol=1e-12, rtol=0)
    nothing = delta_write(matrix, k, v, torch.zeros_like(beta), torch.ones_like(decay))
    assert torch.equal(nothing, matrix)


def test_gradients_through_the_write():
    """Analytic gradients of all five inputs equal finite differences."""
    inputs = [t[:1, :1].detach().requires_grad_() for t in writes_of(4)]
    assert torch.autograd.gradcheck(delta_write, inputs)


@pytest.fixture
def memory() -> GatedLTM:
    torch.manual_seed(1)
    ltm = GatedLTM(12, 3, 8)
    torch.nn.init.normal_(ltm.content.weight, std=0.3)
    torch.nn.init.normal_(ltm.surprise)
    torch.nn.init.normal_(ltm.threshold)
    return ltm


@pytest.mark.parametrize("gate", ["both", "content", "surprise"])
def test_write_equals_a_slow_reference(memory, gate):
    """Gate, surprise, decay and their means over real positions, one position at a time."""
    writes = MemoryWrites(alpha=0.7, decay=0.1, gate=gate)
    hidden = torch.randn(2, 5, 12)
    valid = torch.tensor([[True] * 5, [True, True, True, False, False]])
    state = MemoryState(torch.randn(2, 3, 4, 4))
    after, stats = memory.write(state, hidden, valid, writes)
    for b in range(2):
        for h in range(3):
            part = slice(4 * h, 4 * h + 4)
            matrix = state.matrix[b, h].double()
            gates, errors = [], []
            for i in range(int(valid[b].sum())):
                x = hidden[b, i]
                left = [hidden[b, i - j] for j in range(4) if i >= j]
                mixed = sum(t * n for t, n in zip(memory.key_taps.flip(0), left, strict=False))
                k = F.normalize(memory.key.weight[part] @ mixed, dim=0).double()
                v = F.normalize(memory.value.weight[part] @ x, dim=0).double()
                # the surprise of a whole segment is taken against the state before it
                error = (v - state.matrix[b, h].double().T @ k).norm()
                logit = -memory.threshold[h]
                if gate != "surprise":
                    logit = logit + memory.content.weight[h] @ x + memory.content.bias[h]
                weight = {"both": memory.surprise[h], "content": 0.0}.get(
                    gate, memory.surprise[h] + 1
                )
                strength = torch.sigmoid(logit + weight * error)
                matrix = 0.9 * matrix
                matrix = matrix + torch.outer(k, 0.7 * strength * (v - matrix.T @ k))
                gates.append(strength)
                errors.append(error)
            torch.testing.assert_close(after.matrix[b, h].double(), matrix, atol=1e-5, rtol=0)
            gate_mean, error_mean = torch.stack(gates).mean(), torch.stack(errors).mean()
            torch.testing.assert_close(stats.gate[b, h].double(), gate_mean.double())
            torch.testing.assert_close(stats.surprise[b, h].double(), error_mean, check_dtype=False)


def test_read_returns_what_was_written(memory):
    """Query = key of a pair written at strength 1: the product with M is that value; the answer is
    asked for in turn, and a share of what that finds is added."""
    hidden = torch.randn(1, 3, 12)
    k = F.normalize(memory._heads(memory.key(hidden)), dim=-1)
    v = F.normalize(memory._heads(memory.value(hidden)), dim=-1)
    ones = torch.ones(1, 3, 3)
    state = MemoryState(delta_write(torch.zeros(1, 3, 4, 4), k, v, ones, ones))
    memory.query.weight.data.copy_(memory.key.weight.data)
    answer = memory.read(state, hidden[:, 2:])
    found = v[:, :, 2].flatten(1)
    out = memory.out(memory.read_norm(found))
    asked = F.normalize(memory._heads(memory.query(out[:, None])), dim=-1)
    second = (asked @ state.matrix).transpose(1, 2).flatten(1)
    out = out + memory.hop_share * memory.out(memory.read_norm(second))
    torch.testing.assert_close(answer[:, 0], out + memory.read_ffn(out), atol=1e-5, rtol=1e-4)


def test_alpha_scales_the_write_and_zero_keeps_the_state(memory):
    """A stage that only reads (alpha 0, no decay) changes no bit of M."""
    state = memory.start(2)
    after, _ = memory.write(state, torch.randn(2, 4, 12), None, MemoryWrites())
    assert torch.equal(after.matrix, state.matrix)


def test_figures_of_several_writes_count_positions_alike(memory):
    """Two segments at once or one after the other: the same means; rows that wrote nothing: 0."""
    writes = MemoryWrites(alpha=0.5, gate="content")
    hidden = torch.randn(3, 7, 12)
    memory.key_taps.data[:-1] = 0.0  # each position alone, so that segments may be cut anywhere
    real = torch.tensor([[1] * 7, [1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 0]], dtype=torch.bool)
    state = memory.start(3)
    _, whole = memory.write(state, hidden, real, writes)
    stats = None
    for part in (slice(0, 4), slice(4, 7)):
        stats = memory.write(state, hidden[:, part], real[:, part], writes)[1].after(stats)
    assert stats.positions.tolist() == whole.positions.tolist() == [7.0, 5.0, 2.0]
    torch.testing.assert_close(stats.gate, whole.gate)
    torch.testing.assert_close(stats.surprise, whole.surprise)
    assert not stats.gate.requires_grad
    _, nothing = memory.write(state, hidden, torch.zeros_like(real), writes)
    assert nothing.positions.sum() == 0 and nothing.gate.sum() == 0
    torch.testing.assert_close(nothing.after(whole).gate, whole.gate)


def test_each_document_starts_from_the_bank_and_the_bank_learns(memory):
    """The start is the learned bank for every row, with gradient."""
    state = memory.start(3)
    assert all(torch.equal(state.matrix[i], memory.bank) for i in range(3))
    state.matrix.sum().backward()
    torch.testing.assert_close(memory.bank.grad, torch.full_like(memory.bank, 3.0))


def test_consolidation_is_a_running_mean(memory):
    """b <- (1 - c) b + c mean(M_end)."""
    before = memory.bank.detach().clone()
    ends = torch.randn(4, 3, 4, 4)
    memory.consolidate(MemoryState(ends), 0.25)
    torch.testing.assert_close(memory.bank.detach(), 0.75 * before + 0.25 * ends.mean(0))


def test_untrained_a_read_finds_what_followed():
    """Promise: before any training, asking for a word brings the words after it out of the memory
    as they are; recall is then a matter of leaving out, not of finding."""
    torch.manual_seed(3)
    memory = GatedLTM(64, 4, 32)
    words = torch.randn(1, 24, 64)
    with torch.no_grad():
        state, _ = memory.write(memory.start(1), words, None, MemoryWrites(alpha=1.0))
        memory.hop_share.zero_()
        found = memory.read(state, words)[0]
    alike = F.cosine_similarity(found[:, None], words[0][None], dim=-1)  # (asked, word)
    for ahead in range(1, KEY_TAPS):
        assert alike.diagonal(ahead).mean() > alike.mean() + 3 * alike.std() / 24**0.5
    assert abs(alike.diagonal(KEY_TAPS + 1).mean()) < 0.1
