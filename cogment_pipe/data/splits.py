"""Leak checks: what two splits of a task, or two stages, must never share.

A group hash is computed on canonical forms (symmetries, relabelling, order of commuting arguments
taken away), so a group that is in two splits is a leak even where the bytes differ.
"""

from __future__ import annotations

import hashlib
import re
from itertools import combinations
from pathlib import Path

import numpy as np

from cogment_pipe.data.storage import read_array
from cogment_pipe.errors import CogmentError

SPLITS = ("train", "validation", "test")


def shared(a: np.ndarray, b: np.ndarray) -> int:
    """How many distinct hashes two arrays of hashes have in common."""
    return len(np.intersect1d(a, b))


def task_leaks(out: Path, name: str) -> dict[str, int]:
    """Groups and items that two splits of a prepared grid task share, and repeated items."""
    counts: dict[str, int] = {}
    for what in ("group", "item"):
        hashes = {split: read_array(out / f"{name}.{split}.{what}.npy") for split in SPLITS}
        for a, b in combinations(SPLITS, 2):
            counts[f"{name}: {what}s in {a} and {b}"] = shared(hashes[a], hashes[b])
        if what == "item":
            for split, values in hashes.items():
                counts[f"{name}: repeated in {split}"] = len(values) - len(np.unique(values))
    return counts


def normalised_question(text: str) -> str:
    """Lower case, letters and digits only, single blanks: how questions are compared."""
    return " ".join(re.sub(r"[^\w]+", " ", text.lower()).split())


def question_hash(text: str) -> str:
    """sha256 of the normalised question."""
    return hashlib.sha256(normalised_question(text).encode()).hexdigest()


def refuse_leaks(stage: int, leaks: dict[str, int]) -> None:
    """Raise CogmentError naming the first leak that is not 0."""
    for what, count in leaks.items():
        if count:
            raise CogmentError(
                f"stage {stage}: leak between splits: {count} x {what}; "
                f"mend the corpus or its params, nothing was accepted"
            )
