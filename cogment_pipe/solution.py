"""What a model answers: grids with its confidence in them, or a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Solution:
    """Answers to grids; for a single grid without the leading axis B.

    grid: (B, H, W) symbols; steps: (B,) refinement steps used; halted_at: (B,) step at which the
    halting threshold was reached; confidence: (B,) the model's probability of being wholly right;
    by_step: (T, B, H, W) after each step, None where rows may stop early.
    """

    grid: np.ndarray
    steps: np.ndarray
    halted_at: np.ndarray
    confidence: np.ndarray
    by_step: np.ndarray | None


@dataclass
class Answer:
    """A generated text, the refinement steps spent per token, and the model's confidence in it."""

    text: str
    steps: int
    confidence: float

    def __str__(self) -> str:
        return self.text
