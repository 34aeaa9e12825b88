"""What the model is fed: batches as tensors, checked against the model's limits."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cogment_pipe.stage_config import ModelConfig

IGNORED = -100  # label of a position without a loss


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
    checked: ModelConfig | None = field(default=None, init=False, repr=False, compare=False)

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
        if min(height, width) > 1 and max(height, width) > config.max_side:
            raise ValueError(f"grid is {height} x {width}; model.max_side allows {config.max_side}")
        if config.mixer != "attention" and self.context is not None:
            raise ValueError(
                f"demonstrations need model.mixer attention; {config.mixer} has no keys"
            )
        if not 0 <= self.task < config.max_tasks:
            raise ValueError(
                f"task {self.task}; model.max_tasks allows 0 to {config.max_tasks - 1}"
            )
        _check_ids("symbols", self.symbols, config.grid_symbols, "cell alphabet", "grid_symbols")
        if self.targets is not None:
            _check_like("targets", self.targets, self.symbols)
            labels = self.targets.masked_fill(self.targets == IGNORED, 0)
            _check_ids("targets", labels, config.grid_symbols, "cell alphabet", "grid_symbols")
        if self.context is not None:
            self._check_context(config)

    def _check_context(self, config: ModelConfig) -> None:
        context, place = self.context, self.context_position
        if place is None or (*context.shape[:2], 3) != place.shape or context.shape[-1] != 2:
            shapes = [None if t is None else tuple(t.shape) for t in (context, place)]
            raise ValueError(f"context and its positions {shapes} are not (B, C, 2) and (B, C, 3)")
        _check_ids("context", context, config.grid_symbols, "cell alphabet", "grid_symbols")
        _check_ids("context places", place[..., :2], config.max_side, "grid", "max_side")
        _check_ids("context pairs", place[..., 2], config.max_pairs, "pairs", "max_pairs")

    def check_length(self, limit: int) -> None:
        """Raise ValueError where a grid has more cells than the stage's sequence_length."""
        if self.symbols.shape[1] > limit:
            raise ValueError(f"{self.symbols.shape[1]} cells; sequence_length allows {limit}")


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
    checked: ModelConfig | None = field(default=None, init=False, repr=False, compare=False)

    def rows(self, rows: Tensor) -> TextFeed:
        """Some rows of the batch."""
        pick = [
            None if t is None else t[rows]
            for t in (self.tokens, self.prompt_length, self.length, self.targets, self.segments)
        ]
        return TextFeed(self.stage, self.task, *pick)

    def check(self, config: ModelConfig) -> None:
        """Raise ValueError where a length or a token is outside the model's limits."""
        if self.tokens.ndim != 2:
            raise ValueError(f"tokens must be (batch, length), got {tuple(self.tokens.shape)}")
        if config.mixer != "attention":
            raise ValueError(f"text needs model.mixer attention, not {config.mixer}")
        _check_ids("tokens", self.tokens, config.vocab_size, "vocabulary", "vocab_size")
        batch, width = self.tokens.shape
        for name, given in (("prompt_length", self.prompt_length), ("length", self.length)):
            if given.shape != (batch,):
                raise ValueError(f"{name} must be ({batch},), got {tuple(given.shape)}")
        if batch and bool(
            ((self.prompt_length < 1) | (self.prompt_length > self.length)).any()
            | (self.length > width).any()
        ):
            raise ValueError(f"1 <= prompt_length <= length <= {width} does not hold in every row")
        if self.targets is not None:
            _check_like("targets", self.targets, self.tokens)
            labels = self.targets.masked_fill(self.targets == IGNORED, 0)
            _check_ids("targets", labels, config.vocab_size, "vocabulary", "vocab_size")
        if self.segments is not None:
            if self.segments.ndim != 3 or self.segments.shape[0] != batch:
                shape = tuple(self.segments.shape)
                raise ValueError(f"segments must be ({batch}, segments, length), got {shape}")
            _check_ids("segments", self.segments, config.vocab_size, "vocabulary", "vocab_size")

    def check_length(self, limit: int) -> None:
        """Raise ValueError where a row has more tokens than the stage's sequence_length."""
        longest = int(self.length.max()) if len(self.length) else 0
        if longest > limit:
            raise ValueError(f"{longest} tokens; sequence_length allows {limit}")


def _check_ids(name: str, ids: Tensor, end: int, what: str, key: str) -> None:
    if not ids.numel():
        return
    low, high = ids.aminmax()
    if int(high) >= end:
        raise ValueError(f"{name} hold {int(high)}; the {what} ends at {end - 1} (model.{key})")
    if int(low) < 0:
        raise ValueError(f"{name} hold {int(low)}; ids start at 0")


def _check_like(name: str, tensor: Tensor, other: Tensor) -> None:
    if tensor.shape != other.shape:
        raise ValueError(f"{name} must be {tuple(other.shape)}, got {tuple(tensor.shape)}")


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
