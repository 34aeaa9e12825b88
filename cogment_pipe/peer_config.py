"""What the comparison with peers is configured by; torch-free."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cogment_pipe.task_config import Count, NonNegative, Positive, Rate, Strict


class PeerSetting(Strict):
    """What is tuned of a peer's training."""

    learning_rate: Positive = Field(1e-3, description="peak; warm-up, then cosine to a twentieth")
    batch_size: Count = Field(16, description="puzzles of an update")
    ema: Rate = Field(0.99, description="decay of the weight average that is tested")
    weight_decay: NonNegative = Field(0.1, description="AdamW's, on all parameters")


class PeerClass(Strict):
    """A class of the clone, with the interface of HRM's and TRM's `(carry, batch)` models."""

    module: str = Field(description="as imported from the clone's folder")
    name: str = Field(description="of the class")
    arch: dict[str, Any] = Field({}, description="what it is made with; sizes of the puzzles apart")


class PeersConfig(Strict):
    """The comparison with peers."""

    checkout: str | None = Field(None, description="folder of the clone; nothing runs without it")
    classes: dict[str, PeerClass] = Field({}, description="by name")
    search: list[PeerSetting] = Field(
        [PeerSetting()], min_length=1, description="settings that are tried on the first seed"
    )
    tasks: dict[str, list[str]] = Field(
        {}, description="names of benchmarks.puzzles.tasks: classes that train on them"
    )

    def runs(self, seconds: dict[str, list[int]], seeds: list[int]) -> list[str]:
        """Names of all runs that are tested, CLASS-TASK-SECONDSs/seedN."""
        return [
            f"{peer}-{task}-{budget}s/seed{seed}"
            for task, peers in self.tasks.items()
            for peer in peers
            for budget in seconds[task]
            for seed in seeds
        ]


class PeerSlice(Strict):
    """All that one run of a peer depends on, besides puzzles, clone and machine."""

    peer: PeerClass
    settings: list[PeerSetting] = Field(min_length=1, description="one is trained")
    seconds: Positive
    seed: int = Field(ge=0)
    threads: Count = 2
    augment: list[str] = []
    views: Count = 1
