"""What a text generator yields: a record in an upstream layout, and label-preserving variants.

Each generator module ends with its `TextGenerator`: checked parameters and an endless stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from cogment_pipe.task_config import Strict

SPLITS = ("train", "validation", "test")


@dataclass
class TextItem:
    """One generated item.

    `key` identifies it for duplicate and leak checks; `variants` maps an augmentation type to the
    augmented record and the augmented record's own key.
    """

    record: dict
    key: str
    variants: dict[str, tuple[dict, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class TextGenerator:
    """One built-in text task.

    `items(params, split, seed=, stage=, purpose=)` is an endless stream of TextItem, a function of
    its arguments. `segmentation` "paragraphs": each paragraph of the context is a segment.
    `shortcuts(test, train)` scores answering without solving, for the manifest.
    """

    layout: str
    metric: str
    params: type[Strict]
    items: Callable[..., Iterator[TextItem]]
    segmentation: str = ""
    shortcuts: Callable[[list[dict], list[dict]], dict[str, float]] | None = None


def split_of(group: str, share: float = 0.1) -> str:
    """The one split that items of `group` may enter: `share` to test, as much to validation."""
    number = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64
    return "test" if number < share else "validation" if number < 2 * share else "train"


def choose(rng: np.random.Generator, values: Sequence, count: int) -> list:
    """`count` distinct members of `values`, in random order."""
    return [values[i] for i in rng.permutation(len(values))[:count]]


def one(rng: np.random.Generator, values: Sequence):
    """One member of `values`."""
    return values[int(rng.integers(len(values)))]
