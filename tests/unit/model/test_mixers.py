"""Ways in which the cells of a grid exchange content, besides attention."""

from __future__ import annotations

import pytest
import torch

from cogment_pipe.model.feed import GridFeed
from cogment_pipe.stage_config import MemoryWrites


@pytest.mark.parametrize("mixer", ["token_mlp", "convolution"])
def test_without_attention_no_text_and_no_demonstrations(build, texts, grids, mixer):
    """A token mixer would mix later tokens into earlier ones, and neither has keys."""
    model = build(mixer=mixer, mixer_cells=12)
    with pytest.raises(ValueError, match=r"text needs model\.mixer attention"):
        model.prepare(texts(), MemoryWrites())
    with pytest.raises(ValueError, match=r"demonstrations need model\.mixer attention"):
        model.prepare(grids(context=4), MemoryWrites())


@torch.no_grad()
def test_a_token_mixer_solves_grids(build, grids, run):
    """The optional mixer runs, and says something of every cell asked for."""
    model = build(mixer="token_mlp", mixer_cells=12)
    encoded, outputs = run(model, grids(), MemoryWrites())
    assert outputs[-1].logits.shape == (len(encoded.labels), 64)
    assert torch.isfinite(outputs[-1].logits).all()


@torch.no_grad()
def test_a_convolution_reaches_two_cells_in_a_step(build, run):
    """One block, one update of z: a cell knows 2t cells around it after t steps."""
    model = build(mixer="convolution", n_blocks=1, z_updates=1)
    symbols = torch.full((1, 9), 5)
    changed = symbols.clone()
    changed[0, 8] = 6
    said = []
    for one in (symbols, changed):
        feed = GridFeed(0, 0, (1, 9), one, torch.full((1, 9), 7))
        said.append([o.logits for o in run(model, feed, MemoryWrites(read=False))[1]])
    for step, (a, b) in enumerate(zip(*said, strict=True), start=1):
        far = 8 - (2 * step + 1)  # the head looks one cell further
        assert torch.equal(a[:far], b[:far]) and not torch.equal(a[far], b[far])


def test_a_convolution_mixer_needs_its_convolution(build):
    """Else cells would never meet."""
    with pytest.raises(ValueError, match=r"needs model\.conv true"):
        build(mixer="convolution", conv=False)


@pytest.mark.parametrize(("cells", "hidden"), [(4, 16), (81, 24)])
def test_a_token_mixer_is_no_wider_than_its_grid_needs(build, cells, hidden):
    """Hidden width over positions: that of the channels (24 here), at most four times the cells."""
    model = build(mixer="token_mlp", mixer_cells=cells, ffn_hidden=24)
    mixer = model.core.blocks[0].mixer
    assert mixer.mix.gate_up.weight.shape == (2 * hidden, cells)
    assert mixer.mix.down.weight.shape == (cells, hidden)
