"""What a task hands to the trainer: batches of grids or of text, as numpy arrays.

The arrays are int64 and own their memory, so that the trainer may wrap them without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cogment_pipe.data.augment import Augmentation

TASK_IDS = {
    "linear_map": 0,
    "toy_maze": 1,
    "sequence": 2,
    "arc": 3,
    "arc_like": 3,
    "sudoku": 4,
    "maze": 5,
    "listops": 6,
    "word_problem": 7,
    "gsm8k": 7,
    "two_hop": 8,
    "hotpotqa": 8,
    "recall": 9,
    "needle": 10,
    "passage_retrieval": 11,
    "passage_count": 12,
    "long_qa": 13,
    "longbench": 13,
    "scrolls": 13,
    "grids": 14,
    "qa": 15,
}


@dataclass
class GridBatch:
    """Rows of one grid task; B rows of H x W cells, C demonstration cells."""

    task: str
    task_id: int
    inputs: np.ndarray  # (B, H, W) symbols, 0 = PAD
    targets: np.ndarray  # (B, H, W) symbols, -100 = no loss here
    index: np.ndarray  # (B,) item numbers
    context: np.ndarray | None = None  # (B, C, 2) symbol in input and in output; both 0 = padding
    context_position: np.ndarray | None = None  # (B, C, 3) row, column, pair
    augmented: list[Augmentation | None] | None = None

    def __len__(self) -> int:
        return len(self.index)


@dataclass
class TextBatch:
    """Rows of one text task; B rows, L tokens in the last segment, S earlier segments of Ls."""

    task: str
    task_id: int
    segments: np.ndarray | None  # (B, S, Ls) earlier segments, right-padded with 0
    tokens: np.ndarray  # (B, L) last segment: prompt, then answer; right-padded with 0
    prompt_length: np.ndarray  # (B,)
    length: np.ndarray  # (B,) prompt + answer + end token, as present
    targets: np.ndarray  # (B, L) the token that each position must predict, else -100
    index: np.ndarray  # (B,) item numbers

    def __len__(self) -> int:
        return len(self.index)
