"""Into and out of the states: grid embedding and head, and the tied text embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cogment_pipe.model.blocks import DepthwiseConv, RMSNorm, SwiGLU, linear
from cogment_pipe.stage_config import ModelConfig


class GridEmbedding(nn.Module):
    """Symbol + learned row + learned column + task; demonstrations add pair and output symbol."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        self.max_side = config.max_side
        self.symbol = nn.Embedding(config.grid_symbols, d)
        self.row = nn.Embedding(config.max_side, d)
        self.column = nn.Embedding(config.max_side, d)
        self.task = nn.Embedding(config.max_tasks, d)
        self.pair = nn.Embedding(config.max_pairs, d)
        self.output_symbol = nn.Embedding(config.grid_symbols, d)
        for table in (self.symbol, self.row, self.column, self.task, self.pair, self.output_symbol):
            nn.init.normal_(table.weight, std=0.5)

    def _place(self, rows: Tensor, columns: Tensor, grid: tuple[int, int] | None) -> Tensor:
        """Learned absolute place; a side longer than the table has its rotary angles alone."""
        place = torch.zeros((), device=rows.device)
        if grid is None or grid[0] <= self.max_side:
            place = place + self.row(rows)
        if grid is None or grid[1] <= self.max_side:
            place = place + self.column(columns)
        return place

    def forward(
        self, symbols: Tensor, rows: Tensor, columns: Tensor, grid: tuple[int, int], task: int
    ) -> Tensor:
        """Embed a batch of grids: symbols (B, L), rows and columns (L,) -> (B, L, D)."""
        place = self._place(rows, columns, grid)
        return self.symbol(symbols) + place + self.task.weight[task]

    def context(self, cells: Tensor, position: Tensor, task: int) -> Tensor:
        """Embed demonstration cells: cells (B, C, 2), position (B, C, 3) -> (B, C, D)."""
        row, column, pair = position.unbind(-1)
        return (
            self.symbol(cells[..., 0])
            + self.output_symbol(cells[..., 1])
            + self._place(row, column, None)
            + self.pair(pair)
            + self.task.weight[task]
        )


class GridHead(nn.Module):
    """States to logits over the cell alphabet: SwiGLU, short convolution, linear."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ffn = SwiGLU(config.d_model, config.head_hidden)
        self.conv = DepthwiseConv(config.d_model)
        self.norm = RMSNorm(config.d_model)
        self.out = linear(config.d_model, config.grid_symbols)

    def forward(self, y: Tensor, grid: tuple[int, int], valid: Tensor | None = None) -> Tensor:
        """(B, L, D) -> (B, L, grid_symbols)."""
        around = self.conv(y if valid is None else y * valid, grid)
        return self.out(self.norm(y + self.ffn(y) + around))


class TextHead(nn.Module):
    """Token embedding, tied to the output: one matrix (vocab_size, D) both ways."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.norm = RMSNorm(config.d_model)
        nn.init.normal_(self.embedding.weight, std=0.5)
        # unit-variance states meet rows of norm .5 sqrt(D): this keeps first logits near unit size
        self.scale = 2.0 / config.d_model**0.5

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, L) -> (B, L, D)."""
        return self.embedding(tokens)

    def forward(self, y: Tensor) -> Tensor:
        """States of the positions that predict (N, D) -> logits (N, vocab_size)."""
        return F.linear(self.norm(y) * self.scale, self.embedding.weight)
