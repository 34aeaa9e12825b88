"""Records the validation curves that `test_detect` replays: `python -m tests.unit.record_curves`.

Real trainings of a tiny model on 2 x 2 grids, each spoilt in its own way. The curves are tracked
(`curves.json`), so that the verdicts are of fixed numbers and not of this machine's training.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from cogment_pipe.data.batch import GridBatch
from cogment_pipe.model.model import Cogment
from cogment_pipe.stage_config import (
    GrokFastConfig,
    LossWeights,
    ModelConfig,
    MultiOptimizerConfig,
    StageConfig,
    StageSlice,
)
from cogment_pipe.stage_trainer import StageData, StageTrainer

FILE = Path(__file__).with_name("curves.json")
EVERY, STEPS = 10, 400
MODEL = ModelConfig(
    d_model=16,
    n_heads=2,
    ffn_hidden=24,
    vocab_size=20,
    max_side=8,
    head_hidden=8,
    adapter_rank=2,
    memory_hidden=8,
)
# what each curve is of: settings of the stage, and what is done to the data or the weights
CASES: dict[str, dict] = {
    "converged": {"learning_rate": 5e-3},
    "improving": {"learning_rate": 3e-4},
    "noisy": {"learning_rate": 2e-2, "batch_size": 2, "ema": 0.0, "wrong": 0.6},
    "collapsing_halting": {
        "learning_rate": 5e-3,
        "ponder_start": 1.0,
        "ponder_end": 1.0,
        "loss": LossWeights(ponder=5.0),
        "wrong": 1.0,
    },
    "nan": {"learning_rate": 5e-3, "poison_at": 60},
}


class Copying:
    """2 x 2 grids whose answer is the grid itself; a share `wrong` of training rows has another."""

    kind, name, task_id, batch_size, weight = "grid", "copy", 14, None, 1.0

    def __init__(self, seed: int, wrong: float = 0.0) -> None:
        draws = np.random.default_rng(seed)
        self.inputs = draws.integers(1, 5, (64, 2, 2))
        other = draws.integers(1, 5, (64, 2, 2))
        self.targets = np.where(draws.random((64, 1, 1)) < wrong, other, self.inputs)

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, index: np.ndarray, **_options: object) -> GridBatch:
        """Rows by number; no augmentation."""
        targets = self.targets[index].copy()
        return GridBatch("copy", 14, self.inputs[index].copy(), targets, np.asarray(index))


def record(case: dict) -> list[list[float | None]]:
    """Validation points [step, accuracy, loss, ponder] of a training; None where not finite."""
    settings = {"name": "x", "max_steps": STEPS, "batch_size": 8, "sequence_length": 16}
    settings |= {"max_refinement_steps": 4, "tasks": {}, "eval_items": 64, "ema": 0.9}
    settings |= {"act_threshold": 0.9, "warmup_steps": 5}
    wrong, poison_at = case.pop("wrong", 0.0), case.pop("poison_at", None)
    content = StageSlice(
        seed=0,
        scale="tiny",
        model=MODEL,
        optimizer=MultiOptimizerConfig(),
        grokfast=GrokFastConfig(enabled=False),
        stage=StageConfig(**(settings | case)),
    )
    torch.manual_seed(0)
    train = StageData(0, {"copy": Copying(0, wrong)})
    held_out = StageData(0, {"copy": Copying(1, wrong if wrong == 1.0 else 0.0)})
    trainer, points = StageTrainer(Cogment(MODEL), content, 0, [train], held_out), []
    for step in range(1, STEPS + 1):
        trainer.train_step()
        if step == poison_at:
            with torch.no_grad():
                trainer.average.weights()["core.y_start"].fill_(torch.nan)
        if step % EVERY == 0:
            seen = trainer.validate()
            figures = [seen[name] for name in ("accuracy", "loss", "ponder")]
            points.append([step, *(round(f, 4) if np.isfinite(f) else None for f in figures)])
    return points


def main() -> None:
    """Write all curves."""
    torch.set_num_threads(1)
    curves = {name: record(dict(case)) for name, case in CASES.items()}
    lines = [f'"{name}": {json.dumps(points)}' for name, points in curves.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
