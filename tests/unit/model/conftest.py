"""A small model with random weights everywhere, and batches for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cogment_pipe.model.feed import GridFeed, TextFeed
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import HomeConfig, MemoryWrites, ModelConfig

SIZES = {
    "d_model": 32,
    "n_heads": 2,
    "ffn_hidden": 48,
    "vocab_size": 60,
    "max_side": 16,
    "head_hidden": 24,
    "adapter_rank": 3,
    "memory_hidden": 20,
}


@pytest.fixture(scope="session")
def build() -> Callable[..., Cogment]:
    """Cogment in which no parameter is zero, so that nothing is right by having no effect."""

    def make(seed: int = 0, **sizes: object) -> Cogment:
        torch.manual_seed(seed)
        model = Cogment(ModelConfig(**{**SIZES, **sizes}))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            model.core.halting.weight.mul_(5.0)
            model.core.halting.bias.fill_(-1.0)
        return model

    return make


@pytest.fixture(scope="session")
def model(build: Callable[..., Cogment]) -> Cogment:
    """One such model, shared: tests do not train it."""
    return build()


@pytest.fixture(scope="session")
def writes() -> MemoryWrites:
    """A stage that writes the memory."""
    return MemoryWrites(alpha=1.0, decay=0.01)


@pytest.fixture(scope="session")
def home(writes: MemoryWrites) -> HomeConfig:
    """How items are refined: five steps, halting early at .6."""
    return HomeConfig(
        max_refinement_steps=5,
        act_threshold=0.6,
        batch_size=4,
        update="joint",
        detach=False,
        segment_steps=2,
        memory=writes,
    )


@pytest.fixture
def grids() -> Callable[..., GridFeed]:
    """Random grids with targets at some cells, and demonstrations where asked for."""

    def make(
        batch: int = 4,
        grid: tuple[int, int] = (3, 4),
        *,
        seed: int = 0,
        context: int = 0,
        padded: bool = False,
    ) -> GridFeed:
        random = torch.Generator().manual_seed(seed)
        length = grid[0] * grid[1]
        symbols = torch.randint(1, 12, (batch, length), generator=random)
        targets = torch.randint(1, 12, (batch, length), generator=random)
        targets[torch.rand(batch, length, generator=random) < 0.4] = -100
        targets[:, 0] = 3
        cells = places = None
        if padded:
            symbols[1, -3:], targets[1, -3:] = 0, -100
        if context:
            cells = torch.randint(1, 12, (batch, context, 2), generator=random)
            places = torch.randint(0, 4, (batch, context, 3), generator=random)
            cells[0, -2:], places[0, -2:] = 0, 0
        return GridFeed(1, 3, grid, symbols, targets, cells, places, padded, bool(context))

    return make


@pytest.fixture
def texts() -> Callable[..., TextFeed]:
    """Random prompts of several lengths with answers of several lengths, and earlier segments."""

    def make(
        prompts: tuple[int, ...] = (5, 3, 6, 4),
        answers: tuple[int, ...] = (3, 4, 1, 2),
        *,
        seed: int = 0,
        segments: int = 0,
        width: int = 0,
    ) -> TextFeed:
        random = torch.Generator().manual_seed(seed)
        batch = len(prompts)
        prompt, length = torch.tensor(prompts), torch.tensor(prompts) + torch.tensor(answers)
        width = max(width, int(length.max()))
        place = torch.arange(width)
        tokens = torch.randint(5, 60, (batch, width), generator=random)
        tokens[place >= length.unsqueeze(1)] = 0
        targets = torch.full_like(tokens, -100)
        asked = (place >= prompt.unsqueeze(1) - 1) & (place < length.unsqueeze(1) - 1)
        targets[:, :-1][asked[:, :-1]] = tokens[:, 1:][asked[:, :-1]]
        earlier = None
        if segments:
            earlier = torch.randint(5, 60, (batch, segments, 6), generator=random)
            earlier[0, :, 4:] = 0
        return TextFeed(3, 8, tokens, prompt, length, targets, earlier)

    return make


@pytest.fixture(scope="session")
def run() -> Callable[..., tuple[object, list]]:
    """prepare, then `steps` refinement steps: the encoded batch and the outputs of each step."""

    def go(model: Cogment, feed: object, writes: MemoryWrites, steps: int = 3, **options: object):
        encoded = model.prepare(feed, writes, 2)
        carry, outputs = model.start(encoded), []
        for _ in range(steps):
            carry = model.step(encoded, carry, **options)
            outputs.append(model.outputs(encoded, carry))
        return encoded, outputs

    return go
