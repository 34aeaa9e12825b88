"""What every grid generator shares: keyed draws, blocks, deduplication and splits by group.

A generator makes blocks of candidates. Block b of a split draws from its own stream, so the
result never depends on how many processes made the blocks. The split of a candidate is decided
by the canonical hash of its group, before any item is kept: no group can be in two splits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from cogment_pipe.errors import CogmentError
from cogment_pipe.rng import stream

SPLITS = ("train", "validation", "test")
SHARES = (0.7, 0.1, 0.2)
PATIENCE = 60

Model = TypeVar("Model", bound="Params")


class Params(BaseModel):
    """Parameters of one generator; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Draws:
    """Where a task's random streams come from."""

    seed: int
    stage: int
    task: str

    def stream(self, split: str, block: int | str) -> np.random.Generator:
        """The stream of one block of one split."""
        return stream(self.seed, self.stage, 0, 0, f"data/{self.task}/{split}/{block}")


@dataclass
class GridSplit:
    """Items of one split; targets hold 255 where there is no loss."""

    inputs: np.ndarray  # (N, H, W) uint8
    targets: np.ndarray  # (N, H, W) uint8
    difficulty: np.ndarray  # (N,) float32
    item: np.ndarray  # (N,) uint64 canonical hash of the item
    group: np.ndarray  # (N,) uint64 canonical hash of what a split must not share
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: np.ndarray) -> GridSplit:
        """The chosen items, in the given order."""
        return GridSplit(
            self.inputs[index],
            self.targets[index],
            self.difficulty[index],
            self.item[index],
            self.group[index],
            dict(self.dropped),
        )


def parse_params(model: type[Model], params: dict, *, stage: int, task: str) -> Model:
    """Validate a task's params; the error names stages.K.tasks.TASK.params.KEY."""
    try:
        return model.model_validate(params)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["stages", str(stage), "tasks", task, "params", *map(str, first["loc"])])
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(model.model_fields)) or "none"
            raise CogmentError(f"{where}: unknown key; this task knows: {known}") from None
        raise CogmentError(f"{where}: {first['msg']}, not {first.get('input')!r}") from None


def mix(words: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser on uint64 words: a good hash of each (wraps on purpose)."""
    z = np.asarray(words, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def hash_rows(rows: np.ndarray) -> np.ndarray:
    """(N, ...) integers -> (N,) uint64: hash of each row's values in their order."""
    flat = np.ascontiguousarray(rows).reshape(len(rows), -1).astype(np.uint64)  # (N, K)
    return mix(mix(flat + _places(flat.shape[1])).sum(axis=1, dtype=np.uint64))


@lru_cache(maxsize=256)
def _places(width: int) -> np.ndarray:
    return mix(np.arange(width, dtype=np.uint64) + np.uint64(0xC09))


def dihedral(grids: np.ndarray) -> list[np.ndarray]:
    """The 8 images of square grids (N, S, S) under rotations and flips; the first is the same."""
    turns = [np.rot90(grids, k, axes=(-2, -1)) for k in range(4)]
    return turns + [turn[..., ::-1] for turn in turns]


def dihedral_hash(grids: np.ndarray) -> np.ndarray:
    """(N, S, S) -> (N,) uint64: equal for the 8 images of a grid."""
    return np.min([hash_rows(image) for image in dihedral(grids)], axis=0)


def split_of(group: np.ndarray, shares: tuple[float, float, float] = SHARES) -> np.ndarray:
    """(N,) uint64 group hashes -> (N,) split number 0..2, by the hash alone."""
    point = mix(group ^ np.uint64(0x5EED)) / np.float64(2**64)
    return np.searchsorted(np.cumsum(shares)[:2], point, side="right")


def collect(
    draws: Draws,
    split: str,
    need: int,
    make_block: Callable[[np.random.Generator, str], GridSplit],
    *,
    caps: Callable[[GridSplit], np.ndarray] | None = None,
    cap: int = 0,
) -> GridSplit:
    """Ask for blocks in order until `need` distinct items are found, then shuffle them.

    `caps` gives each item a class, of which at most `cap` items are kept. Raises CogmentError when
    PATIENCE blocks in a row bring nothing new: the task has fewer items than were asked for.
    """
    seen: set[int] = set()
    per_class: dict[int, int] = {}
    parts: list[GridSplit] = []
    duplicates = found = idle = block = 0
    while found < need:
        candidates = make_block(draws.stream(split, block), split)
        classes = caps(candidates).tolist() if caps else None
        keep: list[int] = []
        for i, item in enumerate(candidates.item.tolist()):
            if item in seen:
                duplicates += 1
                continue
            if classes is not None:
                if per_class.get(classes[i], 0) >= cap:
                    continue
                per_class[classes[i]] = per_class.get(classes[i], 0) + 1
            seen.add(item)
            keep.append(i)
            if found + len(keep) == need:
                break
        parts.append(candidates.take(np.array(keep, dtype=np.int64)))
        found += len(keep)
        idle = 0 if keep else idle + 1
        block += 1
        if idle == PATIENCE:
            raise CogmentError(
                f"stages.{draws.stage}.tasks.{draws.task}.{split}: {need} items asked for, but "
                f"only {found} distinct ones were found; ask for fewer or widen params"
            )
    order = draws.stream(split, "order").permutation(need)
    merged = join(parts).take(order)
    merged.dropped = {"duplicate": duplicates} if duplicates else {}
    return merged


def join(parts: list[GridSplit]) -> GridSplit:
    """Concatenate parts of one split; grids of equal size."""
    return GridSplit(
        np.concatenate([p.inputs for p in parts]),
        np.concatenate([p.targets for p in parts]),
        np.concatenate([p.difficulty for p in parts]).astype(np.float32),
        np.concatenate([p.item for p in parts]),
        np.concatenate([p.group for p in parts]),
    )
