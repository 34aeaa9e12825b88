"""What a task hands to the trainer: batches of grids or of text, as numpy arrays.

The arrays are int64 and own their memory, so that the trainer may wrap them without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cogment_pipe.data.augment import Augmentation

ROUND = 8  # widths of text batches are multiples of this

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

    def trimmed(self) -> GridBatch:
        """Without the columns on the right that are padding in every row of a one-row grid."""
        if self.inputs.shape[1] > 1:
            return self
        width = int(row_lengths(self.inputs[:, 0]).max(initial=1))
        cut = (np.ascontiguousarray(grid[:, :, :width]) for grid in (self.inputs, self.targets))
        return replace(self, inputs=next(cut), targets=next(cut), augmented=None)


def row_lengths(rows: np.ndarray) -> np.ndarray:
    """Cells of each of the rows (N, W) up to the last one that is no padding: (N,) int64."""
    filled = rows[:, ::-1] != 0
    return np.where(filled.any(1), rows.shape[1] - filled.argmax(1), 0)


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

    def trimmed(self) -> TextBatch:
        """Without the columns on the right that are padding in every row."""
        width = rounded(self.length)
        segments = self.segments
        if segments is not None:
            lengths = row_lengths(segments.reshape(-1, segments.shape[-1]))
            segments = np.ascontiguousarray(segments[:, :, : rounded(lengths)])
        cut = {
            name: np.ascontiguousarray(getattr(self, name)[:, :width])
            for name in ("tokens", "targets")
        }
        return replace(self, segments=segments, **cut)


def rounded(lengths: np.ndarray) -> int:
    """Width of a batch of rows of these lengths: few shapes occur."""
    longest = max(1, int(lengths.max(initial=1)))
    return -(-longest // ROUND) * ROUND
