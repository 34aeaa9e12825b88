"""Records of one text task by split, with all that a manifest says about them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cogment_pipe.data.generators.text_item import SPLITS
from cogment_pipe.rng import stream


@dataclass
class TaskSplits:
    """What a generator or a loader hands over; records are in the upstream `layout`.

    `variants` are label-preserving copies of training records: {"item", "type", "record"}.
    `leaks` counts what two splits share and must end as zeros.
    """

    layout: str
    metric: str
    segmentation: str = ""
    records: dict[str, list[dict]] = field(default_factory=lambda: {s: [] for s in SPLITS})
    dropped: dict[str, dict[str, int]] = field(default_factory=lambda: {s: {} for s in SPLITS})
    variants: list[dict] = field(default_factory=list)
    sources: list[dict] = field(default_factory=list)
    baselines: dict[str, float] = field(default_factory=dict)
    leaks: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def drop(self, split: str, reason: str, count: int = 1) -> None:
        """Count records of `split` that are left out."""
        self.dropped[split][reason] = self.dropped[split].get(reason, 0) + count

    def cap(self, limits: dict[str, int | None], seed: int, stage: int, name: str) -> None:
        """Keep at most `limits[split]` records, drawn by a keyed permutation, in their order."""
        for split, records in self.records.items():
            limit = limits.get(split)
            if limit is None or len(records) <= limit:
                continue
            rng = stream(seed, stage, 0, 0, f"cap/{name}/{split}")
            chosen = np.sort(rng.permutation(len(records))[:limit])
            self.records[split] = [records[i] for i in chosen]
            self.drop(split, "above the number asked for", len(records) - limit)
