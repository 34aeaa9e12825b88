"""What the model is fed: batches as tensors, checked against the model's limits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cogment_pipe.stage_config import ModelConfig


@dataclass
class GridFeed:
    """A batch of equal-sized grids.

    symbols, targets: (B, L) with L = H * W; targets -100 = no loss.
    context: (B, C, 2) demonstration cells (input symbol, output symbol), both 0 = padding;
    context_position: (B, C, 3) row, column, pair. padded: some cells are 0 (padding).
    """

    stage: int
    task: int
    grid: tuple[int, int]
    symbols: Tensor
    targets: Tensor | None = None
    context: Tensor | None = None
    context_position: Tensor | None = None
    padded: bool = False
    context_padded: bool = False

    def rows(self, rows: Tensor) -> GridFeed:
        """Some rows of the batch."""
        pick = [None if t is None else t[rows] for t in self._tensors()]
        return GridFeed(self.stage, self.task, self.grid, *pick, self.padded, self.context_padded)

    def _tensors(self) -> list[Tensor | None]:
        return [self.symbols, self.targets, self.context, self.context_position]

    def check(self, config: ModelConfig) -> None:
        """Raise ValueError where a shape or a symbol is outside the model's limits."""
        height, width = self.grid
        if self.symbols.ndim != 2 or self.symbols.shape[1] != height * width:
            raise ValueError(
                f"symbols {tuple(self.symbols.shape)} are not (batch, {height * width})"
            )
        if min(height, config.max_side) < height and width > 1:
            raise ValueError(f"grid has {height} rows; model.max_side allows {config.max_side}")
        for name, tensor in (("symbols", self.symbols), ("context", self.context)):
            if tensor is not None and tensor.numel() and int(tensor.max()) >= config.grid_symbols:
                raise ValueError(
                    f"{name} hold {int(tensor.max())}; the cell alphabet ends at "
                    f"{config.grid_symbols - 1} (model.grid_symbols)"
                )
            if tensor is not None and tensor.numel() and int(tensor.min()) < 0:
                raise ValueError(f"{name} hold a negative symbol")


@dataclass
class TextFeed:
    """A batch of prefix-LM sequences, right-padded with 0.

    tokens: (B, L) prompt then answer; prompt_length, length: (B,); targets (B, L), -100 = no loss;
    segments: (B, S, Ls) earlier segments of the same document, or None.
    """

    stage: int
    task: int
    tokens: Tensor
    prompt_length: Tensor
    length: Tensor
    targets: Tensor | None = None
    segments: Tensor | None = None

    def rows(self, rows: Tensor) -> TextFeed:
        """Some rows of the batch."""
        pick = [
            None if t is None else t[rows]
            for t in (self.tokens, self.prompt_length, self.length, self.targets, self.segments)
        ]
        return TextFeed(self.stage, self.task, *pick)

    def check(self, config: ModelConfig, limit: int | None = None) -> None:
        """Raise ValueError where a length or a token is outside the model's limits."""
        if self.tokens.ndim != 2:
            raise ValueError(f"tokens must be (batch, length), got {tuple(self.tokens.shape)}")
        if limit is not None and self.tokens.shape[1] > limit:
            raise ValueError(f"{self.tokens.shape[1]} tokens; sequence_length allows {limit}")
        top = int(self.tokens.max())
        if top >= config.vocab_size or int(self.tokens.min()) < 0:
            raise ValueError(f"token {top} is outside the vocabulary of {config.vocab_size}")


Feed = GridFeed | TextFeed


def to_feed(batch: object, stage: int, device: torch.device | str = "cpu") -> Feed:
    """Tensors of a numpy batch, `data.batch.GridBatch` or `TextBatch` (told apart by fields)."""

    def tensor(array: object) -> Tensor | None:
        return None if array is None else torch.as_tensor(array, dtype=torch.int64).to(device)

    if hasattr(batch, "tokens"):
        return TextFeed(
            stage,
            batch.task_id,
            tensor(batch.tokens),
            tensor(batch.prompt_length),
            tensor(batch.length),
            tensor(batch.targets),
            tensor(batch.segments),
        )
    context = batch.context
    return GridFeed(
        stage,
        batch.task_id,
        (int(batch.inputs.shape[1]), int(batch.inputs.shape[2])),
        tensor(batch.inputs).flatten(1),
        None if batch.targets is None else tensor(batch.targets).flatten(1),
        tensor(context),
        tensor(batch.context_position),
        bool((batch.inputs == 0).any()),
        context is not None and bool((context[..., 0] + context[..., 1] == 0).any()),
    )
