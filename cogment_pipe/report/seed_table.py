"""The table of finished runs that differ in their seed: figures side by side, and the worst."""

from __future__ import annotations

from collections.abc import Callable

from cogment_pipe.errors import CogmentError

# What stands below a task's own row, where the evaluation has it: (where, key, words, worst).
BELOW = (
    ("also", "cells_gain", "cells above the best of copy, background, majority", min),
    ("also", "cells_gain_low", "the same, lower 95% bound", min),
    # a control that must fail: the more it has, the worse
    ("controls", "memory_zeroed", "the same, memory read as zero", max),
)
GRIDS = "2"  # the stage whose score the last checkpoint has to keep


def name(runs: list[dict]) -> str:
    """The marks of the table; CogmentError where the runs do not belong side by side."""
    scales = {str(run.get("scale")) for run in runs}
    seeds = [run.get("seed") for run in runs]
    if len(scales) != 1 or len(set(seeds)) != len(seeds) or any("own_test" not in r for r in runs):
        raise CogmentError("evidence: several files must be runs of one scale and different seeds")
    return scales.pop()


def markdown(runs: list[dict]) -> str:
    """A row per task, its further figures below it, and what training took."""
    runs = sorted(runs, key=lambda run: run["seed"])
    seeds = " / ".join(str(run["seed"]) for run in runs)
    lines = [
        f"| stage | task | metric | seed {seeds} | worst | items |",
        "|---|---|---|---|---|---|",
    ]
    for k, tasks in sorted(runs[0]["own_test"].items()):
        for task in tasks:
            each = [run["own_test"][k][task] for run in runs]
            values = [one["value"] for one in each]
            lines.append(_row(k, task, each[0]["metric"], values, each[0]["n"]))
            for where, key, words, worst in BELOW:
                if key in each[0][where]:
                    values = [one[where][key] for one in each]
                    lines.append(_row("", "", words, values, "", worst))
    kept = [run["kept"].get(GRIDS) for run in runs]
    if None not in kept:
        words = f"last checkpoint on stage {GRIDS}, of that stage's own score"
        lines.append(_row("", "", words, kept, ""))
    seconds = [list(run["seconds"].values()) for run in runs]
    if all(None not in stages for stages in seconds):
        taken = " / ".join(f"{sum(stages):.0f}" for stages in seconds)
        lines.append(f"| | | seconds of training, all stages | {taken} | | |")
    return "\n".join(lines)


def _row(
    stage: str,
    task: str,
    metric: str,
    values: list[float],
    items: int | str,
    worst: Callable[[list[float]], float] = min,
) -> str:
    each = " / ".join(f"{value:.3f}" for value in values)
    return f"| {stage} | {task} | {metric} | {each} | {worst(values):.3f} | {items} |"
