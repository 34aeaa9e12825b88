"""Adaptive computation time after Graves (arXiv 1603.08983), per sequence and without Python loops.

Step t halts with probability p_t = sigmoid(halt logit). The last step N is the first one at which
the running sum of p reaches the threshold, or the last one allowed; it gets the remainder
1 - sum_{t<N} p_t, which stays inside autograd, so that the weights sum to exactly one.
"""

from __future__ import annotations

import torch
from torch import Tensor

HALT_BIAS = -3.0  # 0 or positive traps most runs in a shallow equilibrium (arXiv 2604.21999)


def halting_weights(halt_logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Weights of the refinement steps and the step at which each sequence halts.

    Args:
        halt_logits: (B, T) one logit per step.
        threshold: running sum of halting probabilities that ends the sequence, in (0, 1].

    Returns:
        weights (B, T), non-negative and summing to 1, zero after the halting step;
        steps (B,) int64, the halting step N in 1..T.
    """
    if halt_logits.ndim != 2:
        raise ValueError(f"halt_logits must be (batch, steps), got {tuple(halt_logits.shape)}")
    p = torch.sigmoid(halt_logits.float())
    before = p.cumsum(1) - p  # sum of the probabilities of earlier steps
    reached = (before + p) >= threshold
    reached[:, -1] = True
    steps = reached.int().argmax(1)  # first step that reaches the threshold, from 0
    order = torch.arange(p.shape[1], device=p.device)
    is_before = order < steps.unsqueeze(1)
    is_last = order == steps.unsqueeze(1)
    weights = torch.where(is_before, p, torch.zeros_like(p))
    weights = torch.where(is_last, 1.0 - weights.sum(1, keepdim=True), weights)
    return weights, steps + 1


def ponder_cost(weights: Tensor) -> Tensor:
    """Expected number of refinement steps sum_t t w_t, (B,), in [1, T]."""
    order = torch.arange(1, weights.shape[1] + 1, device=weights.device, dtype=weights.dtype)
    return (weights * order).sum(1)


def ponder_price(applied: int, total: int, start: float, end: float) -> float:
    """Price tau of a refinement step after `applied` of `total` optimizer steps: linear warm-up."""
    share = min(max(applied / max(total, 1), 0.0), 1.0)
    return start + (end - start) * share
