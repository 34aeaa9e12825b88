"""Symmetric views of a grid: each is solved by itself, turned back, and votes on the answer.

A grid may be turned, its bands and symbols may trade places; the answer turns with it, the mistakes
of a network do not. K views are K times the work of one, which is said wherever they are counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cogment_pipe.data.augment import Augmentation, own_draw
from cogment_pipe.data.generators.sudoku_solver import BOX_SHAPE
from cogment_pipe.data.symbols import DIGIT0
from cogment_pipe.errors import CogmentError
from cogment_pipe.inference import Refined
from cogment_pipe.rng import stream

TRIES = 64  # draws per view before there are taken to be no more different ones


@dataclass(frozen=True)
class Symmetries:
    """Under what the answers of a kind of puzzle turn with it.

    types: as in a stage's `augmentation_types`; labels: symbols that may trade names.
    """

    types: tuple[str, ...]
    labels: tuple[int, ...] = ()

    def views(self, shape: tuple[int, int], count: int, seed: int) -> list[Augmentation]:
        """`count` different views of grids (H, W), the first as they are.

        All grids are shown alike, so that an answer does not depend on its batch. ValueError where
        there are not so many.
        """
        blank = np.zeros((1, *shape), dtype=np.int64)
        draw = own_draw({"labels": list(self.labels)}, shape[0], self.types)
        if draw is None or shape[0] != shape[1]:
            raise ValueError(f"grids of {shape[0]} x {shape[1]} have no symmetries that are known")
        rng = stream(seed, 0, 0, 0, "views")
        first, symbols = np.arange(blank.size), draw(rng, blank)[1][0]
        found = [Augmentation(first, np.arange(len(symbols)))]
        known = {_key(found[0])}
        for _ in range(TRIES * count):
            if len(found) == count:
                break
            cells, symbols = draw(rng, blank)
            view = Augmentation(cells[0], symbols[0])
            if _key(view) not in known:
                known.add(_key(view))
                found.append(view)
        if len(found) < count:
            raise ValueError(f"views: these grids have {len(found)}, not {count}")
        return found


def _key(view: Augmentation) -> tuple[bytes, bytes]:
    return view.cells.tobytes(), view.symbols.tobytes()


def built_in(task: str, shape: tuple[int, int]) -> Symmetries | None:
    """Those of the pipeline's own puzzles; None for a task that has none."""
    if task == "sudoku" and shape[0] in BOX_SHAPE:
        digits = tuple(range(DIGIT0 + 1, DIGIT0 + 1 + shape[0]))
        return Symmetries(("permute_bands", "relabel_digits"), digits)
    return Symmetries(("dihedral",)) if task in ("maze", "toy_maze") else None


def read_symmetries(record: Path) -> Symmetries | None:
    """What fit.json says of its folder's puzzles; None where there is none or it says nothing."""
    if not record.is_file():
        return None
    try:
        found = json.loads(record.read_text(encoding="utf-8")).get("symmetries")
        return found and Symmetries(tuple(found["types"]), tuple(found["labels"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CogmentError(f"{record}: damaged, or of a run that has not ended") from None


def refine_views(
    one: Callable[[np.ndarray], Refined], grids: np.ndarray, views: list[Augmentation]
) -> Refined:
    """Solve grids (B, H, W) by `one` in every view; the answers that the views agree on most.

    Steps are the most that any view took; `exact` is the mean trust that an answer got from all
    views. ValueError for a symbol that no view can show.
    """
    flat = grids.reshape(len(grids), -1)
    known = len(views[0].symbols)
    if flat.min() < 0 or flat.max() >= known:  # a table would take -1 for its last entry
        raise ValueError(f"symbols must lie in 0..{known - 1}")
    found = []
    for view in views:
        shown = view.symbols[flat[:, view.cells]]
        refined = one(shown.reshape(grids.shape))
        refined.prediction = _restore(view, refined.prediction)
        if refined.by_step is not None:
            refined.by_step = _restore(view, refined.by_step)
        found.append(refined)
    prediction, exact = vote(*_stacked(found, "prediction", "exact"))
    steps, halted_at = (part.amax(0) for part in _stacked(found, "steps", "halted_at"))
    by_step = (None, None)
    if found[0].by_step is not None:
        by_step = vote(*_stacked(found, "by_step", "exact_by_step"))
    return Refined(prediction, steps, halted_at, exact, *by_step)


def vote(answers: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
    """Answers (K, ..., L) of K views, trusted (K, ...) -> those that have most trust together.

    Returns the answers (..., L) and the sum of their views' trust over K; of equals the first.
    """
    equal = torch.stack([(answers == one).all(-1) for one in answers])  # (K, K, ...)
    total = (equal * trust).sum(1)  # (K, ...)
    best = total.argmax(0, keepdim=True)
    chosen = answers.gather(0, best.unsqueeze(-1).expand(1, *answers.shape[1:]))
    return chosen[0], total.gather(0, best)[0] / len(answers)


def _stacked(found: list[Refined], *names: str) -> list[Tensor]:
    return [torch.stack([getattr(one, name) for one in found]) for name in names]


def _restore(view: Augmentation, answers: Tensor) -> Tensor:
    """Answers (..., L) to a view as answers to the grid itself."""
    back = torch.from_numpy(np.argsort(view.symbols))[answers]
    return back[..., torch.from_numpy(np.argsort(view.cells))]
