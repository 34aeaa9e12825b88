"""Low-rank adapters: what each stage may change for itself around the shared weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SITES = ("input", "scratch", "answer", "output")


class StageAdapters(nn.Module):
    """x + up_s(down_s(x)) for stage s (arXiv 2106.09685); each starts as the identity."""

    def __init__(self, n_stages: int, d_model: int, rank: int) -> None:
        super().__init__()
        self.down = nn.ParameterDict()
        self.up = nn.ParameterDict()
        for stage in range(n_stages):
            for site in SITES:
                name = f"stage{stage}_{site}"
                self.down[name] = nn.Parameter(torch.randn(rank, d_model) / d_model**0.5)
                self.up[name] = nn.Parameter(torch.zeros(d_model, rank))

    def forward(self, x: Tensor, stage: int, site: str) -> Tensor:
        """Adapt x (..., D) at one of `SITES` for one stage."""
        name = f"stage{stage}_{site}"
        down = nn.functional.linear(x, self.down[name])
        return x + nn.functional.linear(down, self.up[name])
