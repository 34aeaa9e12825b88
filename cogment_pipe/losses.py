"""The four losses and their combination, outside the model.

    L = w_deep (L_steps + L_mixed) / 2 + w_imp L_imp + w_cons L_cons + w_ponder tau E[steps]
        + w_exact BCE_exact

All are means per valid target (or per row) of the whole optimizer step. `joint_loss` sees all
refinement steps at once; `step_loss` is the same for one optimizer step per refinement step, where
only the newest step carries a gradient and the halting logit is trained by looking one step ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from cogment_pipe.model.act import halting_weights, ponder_cost
from cogment_pipe.model.model import StepOutput
from cogment_pipe.stage_config import LossWeights


@dataclass
class Alignment:
    """Predictions that must agree under an augmentation: (P,) places among the N targets each.

    symbols: (P, V) column of the augmented logits that belongs to each original symbol, or None
    where symbols keep their names.
    """

    original: Tensor
    augmented: Tensor
    symbols: Tensor | None = None


@dataclass(frozen=True)
class Share:
    """What share of an optimizer step's targets, rows and aligned pairs a micro-batch holds."""

    targets: float = 1.0
    rows: float = 1.0
    pairs: float = 1.0


WHOLE = Share()


@dataclass
class LossParts:
    """The loss and what it is made of; every field a scalar tensor."""

    loss: Tensor
    steps: Tensor
    mixed: Tensor
    improvement: Tensor
    consistency: Tensor
    ponder: Tensor
    exact: Tensor
    accuracy: Tensor
    solved: Tensor

    @classmethod
    def total(cls, chunks: list[LossParts]) -> LossParts:
        """Sum over the micro-batches of an optimizer step, without graphs."""
        names = [f.name for f in fields(cls)]
        return cls(*(torch.stack([getattr(c, n).detach() for c in chunks]).sum(0) for n in names))

    def detached(self) -> dict[str, Tensor]:
        """Each part without its graph, by its name in metrics.jsonl."""
        names = {"loss": "loss", "ponder": "ponder", "accuracy": "accuracy", "solved": "exact"}
        names |= {n: f"loss_{n}" for n in ("steps", "mixed", "improvement", "consistency", "exact")}
        return {key: getattr(self, field).detach() for field, key in names.items()}


@dataclass
class History:
    """What earlier refinement steps of a batch left behind, without gradient (`per_step` only).

    logits (N, V) and right (N,) of the last step; mixed (N, V) = sum of p_i o_i and spent (B,) =
    sum of p_i over the steps before the last; steps (B,) = sum of i p_i over them; y (B, L, D) the
    last answer state; count: refinement steps done.
    """

    logits: Tensor
    right: Tensor
    mixed: Tensor
    spent: Tensor
    steps: Tensor
    y: Tensor
    count: int


def deep_weights(n_steps: int, decay: float, emphasis: str) -> Tensor:
    """Weights v_t of the refinement steps (T,), sum 1.

    `last`: proportional to max(decay^(T-t), .1); `first`: to max(decay^(t-1), .1).
    """
    power = torch.arange(n_steps, dtype=torch.float32)
    weights = torch.clamp(torch.tensor(decay) ** power, min=0.1)
    if emphasis == "last":
        weights = weights.flip(0)
    return weights / weights.sum()


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy per target in fp32: logits (..., N, V), labels (N,) -> (..., N)."""
    labels = labels.expand(logits.shape[:-1])
    flat = F.cross_entropy(
        logits.float().flatten(0, -2), labels.flatten(), reduction="none", label_smoothing=smoothing
    )
    return flat.view(labels.shape)


def mean(values: Tensor) -> Tensor:
    """Mean that is 0 (and differentiable) where nothing is left to average."""
    return values.sum() / max(values.numel(), 1)


def row_solved(logits: Tensor, labels: Tensor, row: Tensor, batch: int) -> Tensor:
    """Rows (B,) with every target right under logits (N, V); without targets a row is right."""
    wrong = (logits.argmax(-1) != labels).to(torch.float32)
    return torch.zeros(batch, device=row.device).index_add_(0, row, wrong) == 0


def improvement_loss(right: Tensor, before: Tensor, margin: float) -> Tensor:
    """relu(min(m, 1 - p_{t-1}) - (p_t - p_{t-1})) with p_{t-1} held fixed, mean over targets.

    `right` and `before` are the probabilities of the right symbol at steps t and t - 1. The fixed
    p_{t-1} matters: with its gradient the loss would pay for making the earlier step worse.
    """
    before = before.detach()
    return mean(F.relu(torch.clamp(1.0 - before, max=margin) - (right - before)))


def _combine(
    weights: LossWeights,
    price: float,
    *,
    steps: Tensor,
    mixed: Tensor,
    improvement: Tensor,
    ponder: Tensor,
    exact: Tensor,
    accuracy: Tensor,
    solved: Tensor,
    consistency: Tensor | None,
    share: Share,
) -> LossParts:
    consistency = torch.zeros_like(steps) if consistency is None else consistency
    steps, mixed, improvement = (t * share.targets for t in (steps, mixed, improvement))
    ponder, exact, consistency = ponder * share.rows, exact * share.rows, consistency * share.pairs
    accuracy, solved = accuracy * share.targets, solved * share.rows
    loss = (
        weights.deep * (steps + mixed) / 2
        + weights.improvement * improvement
        + weights.consistency * consistency
        + weights.ponder * price * ponder
        + weights.exact * exact
    )
    return LossParts(loss, steps, mixed, improvement, consistency, ponder, exact, accuracy, solved)


def joint_loss(
    outputs: list[StepOutput],
    labels: Tensor,
    row: Tensor,
    *,
    weights: LossWeights,
    threshold: float,
    price: float,
    smoothing: float = 0.0,
    alignment: Alignment | None = None,
    share: Share = WHOLE,
) -> LossParts:
    """Loss of all refinement steps together. labels, row: (N,); price: tau of the ponder cost.

    `alignment` pairs predictions for the consistency loss; `share` weighs a micro-batch.
    """
    batch = outputs[0].halt.shape[0]
    logits = torch.stack([o.logits for o in outputs])  # (T, N, V)
    per_target = cross_entropy(logits, labels, smoothing)  # (T, N)
    deep = deep_weights(len(outputs), weights.decay, weights.emphasis).to(logits.device)
    halt = torch.stack([o.halt for o in outputs], 1)  # (B, T)
    spread, _ = halting_weights(halt, threshold)
    mixed = torch.einsum("nt,tnv->nv", spread[row], logits.float())
    right = torch.exp(-cross_entropy(logits, labels)) if smoothing else torch.exp(-per_target)
    gains = [improvement_loss(right[t], right[t - 1], weights.margin) for t in range(1, len(right))]
    solved = torch.stack([row_solved(o.logits, labels, row, batch) for o in outputs], 1)
    exact = F.binary_cross_entropy_with_logits(
        torch.stack([o.exact for o in outputs], 1), solved.float()
    )
    return _combine(
        weights,
        price,
        steps=(deep * per_target.sum(1) / max(labels.numel(), 1)).sum(),
        mixed=mean(cross_entropy(mixed, labels, smoothing)),
        improvement=torch.stack(gains).mean() if gains else logits.sum() * 0.0,
        ponder=ponder_cost(spread).mean(),
        exact=exact,
        accuracy=mean((logits[-1].argmax(-1) == labels).float()),
        solved=solved[:, -1].float().mean(),
        consistency=None if alignment is None else consistency_loss(*paired(logits, alignment)),
        share=share,
    )


def step_loss(
    output: StepOutput,
    y: Tensor,
    labels: Tensor,
    row: Tensor,
    history: History | None,
    halt_before: Tensor | None,
    *,
    weights: LossWeights,
    threshold: float,
    price: float,
    smoothing: float = 0.0,
    alignment: Alignment | None = None,
    share: Share = WHOLE,
) -> tuple[LossParts, History]:
    """Loss of one refinement step whose predecessors are behind a detached carry.

    The halting logit is trained one step ahead: with p = p_{t-1}, recomputed from the detached
    state as `halt_before` (B,), and r the share not yet spent, the output that Graves' rule would
    mix if step t were the last one allowed is sum_{i<t-1} p_i o_i + p o_{t-1} + (r - p) o_t. Its
    cross-entropy pays p for stopping early where o_{t-1} is as good, and the ponder cost
    (t - 1) p + t (r - p) adds the price of going on. Rows that have halted before drop out.
    """
    batch = output.halt.shape[0]
    per_target = cross_entropy(output.logits, labels, smoothing)
    right = (
        torch.exp(-cross_entropy(output.logits, labels)) if smoothing else torch.exp(-per_target)
    )
    solved = row_solved(output.logits, labels, row, batch)
    if history is None:
        mixed_loss, improvement = mean(per_target), per_target.sum() * 0.0
        ponder = torch.ones_like(output.halt).mean()
        zeros = torch.zeros_like(output.halt)
        spent, steps, count = zeros, zeros, 1
        behind = torch.zeros_like(output.logits, dtype=torch.float32)
    else:
        p, rest = torch.sigmoid(halt_before), 1.0 - history.spent
        going = ((history.spent + p.detach()) < threshold) & (rest > 0)
        p = torch.where(going, p, rest)  # a row that halts here spends all that is left
        count = history.count + 1
        mixed = (
            history.mixed
            + p[row].unsqueeze(-1) * history.logits.float()
            + (rest - p)[row].unsqueeze(-1) * output.logits.float()
        )
        mixed_loss = mean(cross_entropy(mixed, labels, smoothing))
        improvement = improvement_loss(right, history.right, weights.margin)
        expected = history.steps + history.count * p + count * (rest - p)
        ponder = expected.mean()
        fixed = p.detach()
        spent = history.spent + fixed
        steps = history.steps + history.count * fixed
        behind = history.mixed + fixed[row].unsqueeze(-1) * history.logits.float()
    parts = _combine(
        weights,
        price,
        steps=mean(per_target),
        mixed=mixed_loss,
        improvement=improvement,
        ponder=ponder,
        exact=F.binary_cross_entropy_with_logits(output.exact, solved.float()),
        accuracy=mean((output.logits.argmax(-1) == labels).float()),
        solved=solved.float().mean(),
        consistency=(
            None if alignment is None else consistency_loss(*paired(output.logits, alignment))
        ),
        share=share,
    )
    left = History(output.logits.detach(), right.detach(), behind, spent, steps, y.detach(), count)
    return parts, left


def paired(logits: Tensor, alignment: Alignment) -> tuple[Tensor, Tensor]:
    """Logits (..., P, V) of originals and of their copies mapped back, out of (..., N, V)."""
    other = logits[..., alignment.augmented, :]
    if alignment.symbols is not None:
        other = other.gather(-1, alignment.symbols.expand(other.shape))
    return logits[..., alignment.original, :], other


def consistency_loss(original: Tensor, augmented: Tensor) -> Tensor:
    """KL(sg(original) || augmented mapped back), mean per valid cell; logits (..., P, V) each.

    With leading refinement steps it is the mean over them too.
    """
    target = F.log_softmax(original.detach().float(), -1)
    other = F.log_softmax(augmented.float(), -1)
    return mean(F.kl_div(other, target, log_target=True, reduction="none").sum(-1))
