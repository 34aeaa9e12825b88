"""A small simulation for docs/scaling.md: when a further GPU pays, and what preemption costs.

Step by step, with jitter: every device starts its kernels, computes its rows, waits for the slowest
and sums gradients. The figures that go in are assumptions, as in `scaling.py`; what comes out is
theirs. `python -m cogment_pipe.scaling_simulation` prints both tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cogment_pipe.config import PipelineConfig, load_config
from cogment_pipe.rng import stream
from cogment_pipe.scaling import PEAK, exchange_seconds, stage_cost

START = 0.05
"""Seconds to start one step's kernels one after another, whatever they compute: an assumption."""
SUSTAINED = 0.2
"""Share of the peak while kernels with many rows compute: an assumption."""
JITTER = 0.05
"""Standard deviation of a device's step time, as a share of it."""
STAGE, STEPS = 2, 2000
ROWS = (8, 32, 128, 512, 2048)
DEVICES = (2, 4, 8)
BETWEEN = (0.5, 2.0, 8.0)
"""Mean hours from one preemption to the next."""
RESTART = 120.0
"""Seconds from a preemption to the next step: scheduler, imports, snapshot."""
RUNS = 2000


@dataclass(frozen=True)
class Machine:
    """What a step costs: seconds to start it, to compute one row, and to sum gradients."""

    start: float
    row: float
    exchange: float = 0.0

    def run(self, rows: int, devices: int, steps: int, rng: np.random.Generator) -> float:
        """Seconds for so many steps; the rows of a batch are shared out as training does."""
        shares = np.array([len(part) for part in np.array_split(np.arange(rows), devices)])
        times = self.start + self.row * shares
        times = times * (1.0 + JITTER * np.abs(rng.standard_normal((steps, devices))))
        return float((times.max(1) + self.exchange).sum())


def preempted(
    steps: int, seconds: float, every: int, between: float, warned: bool, rng: np.random.Generator
) -> float:
    """Seconds for `steps` steps of `seconds` each when preemptions come at random.

    `warned`: a signal comes first, so the step is finished and a snapshot written; else the steps
    since the last periodic snapshot are done again. `between` is in seconds.
    """
    clock, done = 0.0, 0
    while done < steps:
        lasts = float(rng.exponential(between))
        reached = done + int(lasts / seconds)
        if reached >= steps:
            return clock + (steps - done) * seconds
        clock += lasts + RESTART
        done = reached if warned else max(done, reached - reached % every)
    return clock


def speedups(config: PipelineConfig) -> dict[int, list[float]]:
    """Rows of a batch -> how many times faster 2, 4 and 8 devices are than one."""
    cost = stage_cost(config, STAGE)
    row = cost.step / cost.batch / (PEAK * SUSTAINED)
    found = {}
    for rows in ROWS:
        alone = Machine(START, row).run(rows, 1, STEPS, _draws("alone", rows))
        found[rows] = [
            alone
            / Machine(START, row, exchange_seconds(config, n)).run(
                rows, n, STEPS, _draws(f"devices{n}", rows)
            )
            for n in DEVICES
        ]
    return found


def losses(config: PipelineConfig) -> dict[float, list[float]]:
    """Mean hours between preemptions -> share of time lost, warned and not."""
    steps = sum(stage.max_steps for stage in config.stages.values())
    every, plain = config.runtime.snapshot_every, steps * START
    found: dict[float, list[float]] = {}
    for hours in BETWEEN:
        found[hours] = []
        for warned in (True, False):
            draws = _draws("preempted", int(60 * hours))  # the same moments for both
            times = [
                preempted(steps, START, every, hours * 3600, warned, draws) for _ in range(RUNS)
            ]
            found[hours].append(float(np.mean(times)) / plain - 1.0)
    return found


def tables(config: PipelineConfig) -> str:
    """Both tables, in Markdown."""
    lines = ["| rows of a batch | " + " | ".join(f"{n} GPU" for n in DEVICES) + " |"]
    lines.append("|---|" + "---|" * len(DEVICES))
    for rows, factors in speedups(config).items():
        lines.append(f"| {rows} | " + " | ".join(f"{f:.2f}x" for f in factors) + " |")
    lines += ["", "| preempted every | with a signal first | without |", "|---|---|---|"]
    for hours, (warned, unwarned) in losses(config).items():
        lines.append(f"| {hours:g} h | {warned:.1%} | {unwarned:.1%} |")
    return "\n".join(lines)


def _draws(purpose: str, number: int) -> np.random.Generator:
    return stream(0, STAGE, number, 0, f"scaling/{purpose}")


if __name__ == "__main__":
    project = Path(__file__).resolve().parents[1]
    print(tables(load_config(project, project, {"scale": "full"})))
