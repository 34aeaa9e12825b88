"""Training at the size of these tests, and the machine's settings for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch

from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import (
    GrokFastConfig,
    ModelConfig,
    MultiOptimizerConfig,
    StageConfig,
    StageSlice,
)
from cogment_pipe.stage_trainer import StageData, StageTrainer


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterable[None]:
    """One thread: the sizes are small, and so the sums have one order on any machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trainer() -> Callable[..., StageTrainer]:
    """A stage's engine over one task, with the learning rate taken as it is for every part."""

    def make(
        model: ModelConfig,
        stage: StageConfig,
        train: object,
        held_out: object,
        *,
        seed: int,
        number: int,
    ) -> StageTrainer:
        rates = {f"{part}_lr": 3e-4 for part in ("core", "memory", "other")}
        content = StageSlice(
            seed=seed,
            scale="small",
            model=model,
            optimizer=MultiOptimizerConfig(**rates),
            grokfast=GrokFastConfig(enabled=False),
            stage=stage,
            threads=1,
        )
        torch.manual_seed(seed)
        tasks = (StageData(number, {d.name: d}) for d in (train, held_out))
        own, validation = tasks
        return StageTrainer(Cogment(model), content, number, [own], validation)

    return make
