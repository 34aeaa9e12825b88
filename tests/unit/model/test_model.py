"""What must hold of the whole model whatever its weights: independence, padding, causality."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cogment_pipe.model.feed import GridFeed
from cogment_pipe.model.memory import MemoryState
from cogment_pipe.stage_config import MemoryWrites

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def of_row(encoded, output, row: int) -> list[torch.Tensor]:
    """All that a step says of one row."""
    return [output.logits[encoded.row == row], output.halt[row], output.exact[row]]


def assert_rows(a, b, rows: list[tuple[int, int]], exact: bool) -> None:
    """Row i of run a and row j of run b say the same at every refinement step."""
    for first, second in zip(a[1], b[1], strict=True):
        for i, j in rows:
            for x, y in zip(of_row(a[0], first, i), of_row(b[0], second, j), strict=True):
                if exact:
                    assert torch.equal(x, y)
                else:
                    torch.testing.assert_close(x, y, **CLOSE)


def with_neighbours(feed, other, keep: int):
    """Row `keep` of one feed among the rows of another of the same shape."""
    mixed = {}
    for field in dataclasses.fields(feed):
        a, b = getattr(feed, field.name), getattr(other, field.name)
        if isinstance(a, torch.Tensor):
            b = b.clone()
            b[keep] = a[keep]
        if field.init:
            mixed[field.name] = b
    return type(feed)(**mixed)


# -- batch independence ------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"context": 7}, {"padded": True}])
@torch.no_grad()
def test_a_grid_does_not_depend_on_its_neighbours(model, grids, run, options):
    """At a fixed batch size not a bit changes with the other rows' content."""
    feed, other = grids(seed=0, **options), grids(seed=1, **options)
    mixed = with_neighbours(feed, other, 2)
    a, b = run(model, feed, MemoryWrites()), run(model, mixed, MemoryWrites())
    assert_rows(a, b, [(2, 2)], exact=True)


@torch.no_grad()
def test_a_text_does_not_depend_on_its_neighbours(model, texts, run, writes):
    """The same with text, other lengths beside it, and memory written from other documents."""
    feed = texts(segments=2)
    other = texts((4, 6, 6, 2), (1, 2, 1, 5), seed=1, segments=2, width=feed.tokens.shape[1])
    mixed = with_neighbours(feed, other, 2)
    a, b = run(model, feed, writes), run(model, mixed, writes)
    assert_rows(a, b, [(2, 2)], exact=True)


@torch.no_grad()
def test_batch_size_changes_nothing_but_rounding(model, grids, texts, run, writes):
    """A row alone and the same row in a batch of four agree to 1e-5."""
    for feed in (grids(context=7), texts(segments=2)):
        alone = feed.rows(torch.tensor([1]))
        assert_rows(run(model, feed, writes), run(model, alone, writes), [(1, 0)], exact=False)


# -- padding -----------------------------------------------------------------------------------


@torch.no_grad()
def test_padding_cells_change_nothing(model, grids, run):
    """A 1 x 9 row padded to 1 x 14 gives the logits of the unpadded one."""
    feed = grids(grid=(1, 9))

    def pad(t: torch.Tensor, value: int) -> torch.Tensor:
        return torch.nn.functional.pad(t, (0, 5), value=value)

    wide = GridFeed(1, 3, (1, 14), pad(feed.symbols, 0), pad(feed.targets, -100), padded=True)
    a, b = run(model, feed, MemoryWrites()), run(model, wide, MemoryWrites())
    assert_rows(a, b, [(i, i) for i in range(4)], exact=False)


@torch.no_grad()
def test_padding_demonstrations_change_nothing(model, grids, run):
    """More padding behind the demonstrations of every row."""
    feed = grids(context=6)
    more = torch.zeros(4, 5, 2, dtype=torch.int64)
    places = torch.zeros(4, 5, 3, dtype=torch.int64)
    wide = dataclasses.replace(
        feed,
        context=torch.cat([feed.context, more], 1),
        context_position=torch.cat([feed.context_position, places], 1),
    )
    a, b = run(model, feed, MemoryWrites()), run(model, wide, MemoryWrites())
    assert_rows(a, b, [(i, i) for i in range(4)], exact=False)


@torch.no_grad()
def test_padding_tokens_and_segments_change_nothing(model, texts, run, writes):
    """Wider sequences, wider segments and one more, empty segment."""
    feed = texts(segments=2)
    wide = texts(segments=2, width=feed.tokens.shape[1])
    pad = torch.nn.functional.pad
    wide = dataclasses.replace(
        feed,
        tokens=pad(feed.tokens, (0, 4)),
        targets=pad(feed.targets, (0, 4), value=-100),
        segments=pad(feed.segments, (0, 3, 0, 1)),
    )
    a, b = run(model, feed, writes), run(model, wide, writes)
    assert_rows(a, b, [(i, i) for i in range(4)], exact=False)


@torch.no_grad()
def test_an_empty_segment_writes_nothing(model, texts, writes):
    """A row with fewer segments keeps its memory, and nothing becomes NaN."""
    feed = texts(segments=2)
    short = dataclasses.replace(feed, segments=feed.segments[:, :1])
    feed.segments[1, 1] = 0
    long_state, stats = model.read_document(feed, writes, 2)
    short_state, _ = model.read_document(short, writes, 2)
    torch.testing.assert_close(long_state.matrix[1], short_state.matrix[1], atol=1e-6, rtol=0)
    assert torch.isfinite(long_state.matrix).all() and torch.isfinite(stats.gate).all()
    assert not torch.allclose(long_state.matrix[2], short_state.matrix[2], atol=1e-3)


# -- causality ---------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", [0, 1, 2, 3])
@torch.no_grad()
def test_an_answer_token_changes_nothing_before_it(model, texts, run, writes, changed):
    """Outputs at earlier positions and both stopping logits keep every bit, at every step."""
    feed = texts((5, 6), (5, 4), segments=1)
    other = dataclasses.replace(feed, tokens=feed.tokens.clone())
    place = feed.prompt_length + changed
    rows = torch.arange(2)
    other.tokens[rows, place] = (other.tokens[rows, place] - 5 + 17) % 55 + 5
    a, b = run(model, feed, writes), run(model, other, writes)
    where = a[0].positions % feed.tokens.shape[1]
    before = where < place[a[0].row]
    assert before.any()
    for first, second in zip(a[1], b[1], strict=True):
        assert torch.equal(first.logits[before], second.logits[before])
        assert torch.equal(first.halt, second.halt) and torch.equal(first.exact, second.exact)
        assert not torch.allclose(first.logits[~before], second.logits[~before], atol=1e-4)


@torch.no_grad()
def test_every_prompt_token_reaches_the_first_answer_position(model, texts, run, writes):
    """The prefix is seen in both directions: changing any prompt token changes the prediction."""
    feed = texts((6,), (2,))
    for changed in range(6):
        other = dataclasses.replace(feed, tokens=feed.tokens.clone())
        other.tokens[0, changed] = (other.tokens[0, changed] - 5 + 17) % 55 + 5
        a, b = run(model, feed, writes, 1), run(model, other, writes, 1)
        assert not torch.allclose(a[1][0].logits[0], b[1][0].logits[0], atol=1e-5)


@torch.no_grad()
def test_memory_carries_an_earlier_segment_and_only_writing_does(model, texts, run, writes):
    """Another first segment changes the answer; with writes off or another's memory it cannot."""
    feed = texts(segments=2)
    other = dataclasses.replace(feed, segments=feed.segments.clone())
    other.segments[:, 0, 0] = (other.segments[:, 0, 0] - 5 + 17) % 55 + 5
    a, b = run(model, feed, writes)[1][-1], run(model, other, writes)[1][-1]
    assert not torch.allclose(a.logits, b.logits, atol=1e-4)
    off = MemoryWrites(alpha=0.0)
    a, b = run(model, feed, off)[1][-1], run(model, other, off)[1][-1]
    assert torch.equal(a.logits, b.logits)
    fixed = MemoryState(torch.randn(4, 2, 16, 16))
    encoded = [model.prepare(f, writes, 2, fixed) for f in (feed, other)]
    last = [model.outputs(e, model.step(e, model.start(e))).logits for e in encoded]
    assert torch.equal(*last)


# -- gradients ---------------------------------------------------------------------------------


def test_components_are_disjoint_and_complete(model):
    """Each parameter has exactly one owner; halting owns its two logits and nothing else."""
    groups = model.components()
    names = [name for named in groups.values() for name, _ in named]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert len(names) == len(set(names))
    assert [n for n, _ in groups["halting"]] == [
        "core.exact.bias",
        "core.exact.weight",
        "core.halting.bias",
        "core.halting.weight",
    ]
    assert all(named == sorted(named, key=lambda pair: pair[0]) for named in groups.values())


def everything(outputs) -> torch.Tensor:
    return sum(
        o.logits.float().logsumexp(-1).mean()
        + o.logits.float().std()
        + o.halt.sum()
        + o.exact.sum()
        for o in outputs
    )


def without_gradient(model, loss: torch.Tensor) -> set[str]:
    model.zero_grad()
    loss.backward()
    return {
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    }


def test_gradient_reaches_every_parameter_of_a_grid_stage(build, grids, run):
    """Without one are: text and what memory tells it, other stages' adapters, what writes."""
    model = build()
    _, outputs = run(model, grids(context=7), MemoryWrites())
    left = without_gradient(model, everything(outputs))
    writing = ("key", "value", "content", "surprise", "threshold", "answer_share")
    for name in left:
        part, rest = name.split(".", 1)
        assert (
            part == "text"
            or (part == "adapters" and "stage1_" not in rest)
            or (part == "memory" and rest.startswith(writing))
        ), name
    assert "memory.bank" not in left and "memory.query.weight" not in left


def test_gradient_reaches_every_parameter_of_a_text_stage(build, texts, run, writes):
    """Without one are grid embedding and head and other stages' adapters; writing has one."""
    model = build()
    _, outputs = run(model, texts(segments=2), writes)
    left = without_gradient(model, everything(outputs))
    for name in left:
        part, rest = name.split(".", 1)
        assert part.startswith("grid_") or (part == "adapters" and "stage3_" not in rest), name


@pytest.mark.parametrize("kind", ["grid", "text"])
def test_checkpointing_gives_the_same_gradients(build, grids, texts, run, writes, kind):
    """Activations that are computed again change no gradient."""
    model = build()
    feed = grids(context=5) if kind == "grid" else texts(segments=2)
    found = []
    for recompute in (False, True):
        model.zero_grad()
        _, outputs = run(model, feed, writes, recompute=recompute)
        everything(outputs).backward()
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_checkpointing_keeps_activations_of_one_step_only(build, grids):
    """What autograd keeps for the way back does not grow with the refinement steps but for y, z."""
    model, feed = build(), grids()

    def kept(steps: int, recompute: bool) -> int:
        total = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        encoded = model.prepare(feed, MemoryWrites())
        carry = model.start(encoded)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            for _ in range(steps):
                carry = model.step(encoded, carry, recompute)
        return total

    states = 2 * feed.symbols.numel() * model.config.d_model
    assert kept(8, True) - kept(4, True) <= 4 * states
    assert kept(8, False) - kept(4, False) > 40 * states


@pytest.mark.parametrize("kind", ["grid", "text"])
def test_bf16_is_finite_and_memory_stays_fp32(build, grids, texts, run, writes, kind):
    """Autocast forward and backward: finite, not far from fp32, the memory's state in fp32."""
    model = build()
    feed = grids(context=5) if kind == "grid" else texts(segments=2)
    _, full = run(model, feed, writes)
    with torch.autocast("cpu", torch.bfloat16):
        encoded, outputs = run(model, feed, writes)
        loss = everything(outputs)
    loss.backward()
    assert encoded.memory.matrix.dtype == torch.float32
    assert outputs[-1].halt.dtype == torch.float32
    for p in model.parameters():
        assert p.grad is None or (torch.isfinite(p.grad).all() and p.grad.dtype == torch.float32)
    gap = (outputs[0].logits.float() - full[0].logits).abs().mean()
    assert gap < 0.15 * full[0].logits.std()
