"""Which optimizer takes which parameter, and with what decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cogment_pipe.moments import build_optimizers
from cogment_pipe.stage_config import MultiOptimizerConfig


@pytest.mark.parametrize(("kind", "kept"), [("adamw", 0.9), ("muon", 1.0)])
def test_muon_leaves_convolutions_without_decay(kind: str, kept: float) -> None:
    """Mazes beside other tasks need their kernels: only AdamW's decay reaches them."""
    kernel = nn.Parameter(torch.ones(4, 1, 3, 3))
    config = MultiOptimizerConfig.model_validate({"core_optimizer": kind, "core_weight_decay": 1.0})
    (optimizer,) = build_optimizers("core", [("conv.weight", kernel)], config)
    optimizer.param_groups[0]["lr"] = 0.1
    kernel.grad = torch.zeros_like(kernel)
    optimizer.step()
    torch.testing.assert_close(kernel.detach(), torch.full_like(kernel, kept))
