"""Results of each task: figure panels, the interval drawing, and the tables' rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from cogment_pipe.report.artifacts import Run
from cogment_pipe.report.examples import Example, task_examples
from cogment_pipe.report.extras import Extra, extra_sections
from cogment_pipe.report.theme import MUTED, SERIES, Key, Panel, canvas, inline, key, series

MEMORY = "memory_"  # prefix of the controls that tamper with the memory
WAYS = ("threshold", "exact")  # ways of halting early that the evaluation tries
CURVE = 2  # points: fewer make no curve
EXAMPLES = 4  # of each task, where the config does not say


@dataclass(frozen=True)
class TaskView:
    """One task of one stage, as its own checkpoint (or the next one there is) answers it."""

    stage: int
    name: str
    checkpoint: int
    result: dict
    last: dict | None  # result of the last checkpoint, where that is another one
    last_checkpoint: int | None
    panels: list[Panel]
    examples: list[Example]
    interval: Markup

    @property
    def anchor(self) -> str:
        return f"task-{self.stage}-" + "".join(c if c.isalnum() else "-" for c in self.name)


def task_views(run: Run, stage: int) -> list[TaskView]:
    """Every evaluated task of a stage, in the order of the stage's data."""
    later = [record.stage for record in run.stages if record.stage >= stage]
    checkpoint = next((number for number in later if run.result(number, stage)), None)
    if checkpoint is None:
        return []
    final = run.last.stage if run.last else checkpoint
    last = (run.result(final, stage) or {}).get("tasks") or {}
    tasks = run.result(checkpoint, stage).get("tasks") or {}
    order = (run.stages[stage].data or {}).get("order") or []
    names = [name for name in order if name in tasks]
    names += [name for name in tasks if name not in names]
    return [
        _view(run, stage, name, checkpoint, tasks[name], final, last.get(name)) for name in names
    ]


def _view(
    run: Run, stage: int, name: str, checkpoint: int, result: dict, final: int, last: dict | None
) -> TaskView:
    last = last if final != checkpoint else None
    most = (run.slice.get("report") or {}).get("examples", EXAMPLES)
    prefix = f"t{stage}-" + "".join(c if c.isalnum() else "-" for c in name)
    where = f"{name}, checkpoint {checkpoint}"
    panels = [
        step_panel(result, last, checkpoint, final, prefix, name),
        difficulty_panel(result, "accuracy", "Accuracy by difficulty", prefix, where),
        difficulty_panel(result, "mean_steps", "Steps by difficulty", prefix, where),
        reliability_panel(result, prefix, where),
    ]
    return TaskView(
        stage=stage,
        name=name,
        checkpoint=checkpoint,
        result=result,
        last=last,
        last_checkpoint=final if last else None,
        panels=[panel for panel in panels if panel is not None],
        examples=task_examples(run.stages[checkpoint], stage, name, most),
        interval=interval(result),
    )


def step_panel(
    result: dict, last: dict | None, checkpoint: int, final: int, prefix: str, name: str
) -> Panel | None:
    """Accuracy if the answer were taken at each refinement step."""
    curves = [(checkpoint, result.get("by_step") or [])]
    if last:
        curves.append((final, last.get("by_step") or []))
    curves = [(number, values) for number, values in curves if len(values) >= CURVE]
    if not curves:
        return None
    legend = []
    with canvas("refinement step") as (figure, axes):
        for order, (number, values) in enumerate(curves):
            axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, **series(order))
            legend.append(key(f"checkpoint {number}", order))
        axes.set_ylim(-0.03, max(1.05, 1.1 * max(max(values) for _, values in curves)))
        axes.set_xticks(range(1, max(len(values) for _, values in curves) + 1))
        listed = ", ".join(f"{value:.3f}" for value in curves[0][1])
        svg = inline(figure, f"{prefix}-steps", f"Accuracy of {name} by refinement step: {listed}")
    return Panel("Accuracy by step", svg, tuple(legend))


def difficulty_panel(result: dict, field: str, title: str, prefix: str, where: str) -> Panel | None:
    """One value over the difficulty bins, with the number of items in each."""
    bins = [row for row in result.get("by_difficulty") or [] if row.get(field) is not None]
    if len(bins) < CURVE:
        return None
    with canvas("difficulty") as (figure, axes):
        places = np.arange(len(bins))
        values = [row[field] for row in bins]
        axes.bar(places, values, width=0.62, color=SERIES[0], alpha=0.8)
        for place, row in zip(places, bins, strict=True):
            axes.annotate(
                f"{row['n']}",
                (place, row[field]),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=6.8,
                color=MUTED,
            )
        axes.set_xticks(places, [_tick(row["difficulty"]) for row in bins])
        axes.set_ylim(0, 1.15 * max(max(values), 1.0))
        axes.grid(visible=False, axis="x")
        listed = ", ".join(f"{_short(row['difficulty'])}: {row[field]:.3g}" for row in bins)
        svg = inline(figure, f"{prefix}-{field.replace('_', '-')}", f"{title}, {where}: {listed}")
    return Panel(title, svg, note="Over the bars: items.")


def reliability_panel(result: dict, prefix: str, where: str) -> Panel | None:
    """How often the answer is right when the model says that it is."""
    halting = result.get("halting") or {}
    bins = [row for row in halting.get("reliability") or [] if row[2]]
    if not bins:
        return None
    with canvas("confidence", "right") as (figure, axes):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
        confidence, accuracy, count = (np.array(column) for column in zip(*bins, strict=True))
        sizes = 12 + 120 * count / count.max()
        axes.scatter(confidence, accuracy, s=sizes, color=SERIES[0], alpha=0.75, linewidths=0)
        axes.set_xlim(-0.04, 1.04)
        axes.set_xticks([0, 0.5, 1])
        axes.set_ylim(-0.06, 1.1)
        auroc = halting.get("auroc")
        said = f"AUROC {auroc:.3f}" if isinstance(auroc, int | float) else "AUROC not defined"
        svg = inline(figure, f"{prefix}-halting", f"Halting reliability of {where}, {said}")
    legend = (Key("bin, area: items", "c1"), Key("calibrated", "muted", 2))
    return Panel(f"Halting: {said}", svg, legend)


def interval(result: dict) -> Markup:
    """Value, 95% interval and the best baseline on one line from 0 to the metric's full scale."""
    value, low, high = (result.get(name) for name in ("value", "low", "high"))
    if not isinstance(value, int | float):
        return Markup("")
    baseline = best_baseline(result)
    numbers = [value, high or 0.0, baseline[1] if baseline else 0.0]
    scale = 100.0 / (1.0 if max(numbers) <= 1.0 else 100.0)

    def place(number: float) -> str:
        return f"{4 + 1.12 * min(max(number * scale, 0.0), 100.0):.1f}"

    parts = ['<path class="axis" d="M4 8H116"/>']
    if baseline:
        parts.append(f'<path class="baseline" d="M{place(baseline[1])} 2v12"/>')
    if isinstance(low, int | float) and isinstance(high, int | float):
        parts.append(f'<path class="whisker" d="M{place(low)} 8H{place(high)}"/>')
    parts.append(f'<circle class="value" cx="{place(value)}" cy="8" r="3.4"/>')
    return Markup(
        f'<svg class="interval" viewBox="0 0 120 16" width="120" height="16" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def best_baseline(result: dict) -> tuple[str, float] | None:
    """Name and value of the strongest baseline."""
    known = {
        name: value
        for name, value in (result.get("baselines") or {}).items()
        if isinstance(value, int | float)
    }
    if not known:
        return None
    name = max(sorted(known), key=lambda entry: known[entry])
    return name, known[name]


def control_rows(run: Run) -> tuple[list[str], list[dict]]:
    """Names of all memory controls, and per checkpoint and task the score with each of them."""
    rows = []
    names: list[str] = []
    for record in run.stages:
        for stage in range(len(run.stages)):
            if stage != record.stage and record is not run.last:
                continue
            tasks = (run.result(record.stage, stage) or {}).get("tasks") or {}
            for task, result in tasks.items():
                controls = result.get("controls") or {}
                controls = {n: v for n, v in controls.items() if n.startswith(MEMORY)}
                if not controls:
                    continue
                names += [name for name in controls if name not in names]
                rows.append(
                    {
                        "checkpoint": record.stage,
                        "stage": stage,
                        "task": task,
                        "value": result.get("value"),
                        "controls": controls,
                    }
                )
    return names, rows


def memory_sections(views: list[TaskView]) -> list[Extra]:
    """What the evaluation recorded of the memory itself, by task."""
    recorded = {view.name: view.result["memory"] for view in views if view.result.get("memory")}
    return extra_sections(recorded)


def exit_rows(views: list[TaskView]) -> list[dict]:
    """What stopping early saves and costs: score and mean steps under each way of halting."""
    rows = []
    for view in views:
        controls = view.result.get("controls") or {}
        ways = [(controls.get(f"halting_{n}"), controls.get(f"halting_{n}_steps")) for n in WAYS]
        if any(score is not None for score, _ in ways):
            full = (view.result.get("value"), view.result.get("mean_steps"))
            rows.append({"stage": view.stage, "task": view.name, "ways": [full, *ways]})
    return rows


def compute_rows(views: list[TaskView]) -> list[dict]:
    """Single pass, votes and rollouts side by side, where the evaluation spent more compute.

    `n` items may be fewer than the single pass has; `steps` are refinement steps per item.
    """
    rows = []
    for view in views:
        more = view.result.get("more_compute") or {}
        if not more:
            continue
        own = {name: view.result.get(name) for name in ("value", "low", "high", "n")}
        ways = {"single pass": own | {"passes": 1, "steps": view.result.get("mean_steps")}, **more}
        rows += [{"stage": view.stage, "task": view.name, "way": w, **f} for w, f in ways.items()]
    return rows


def _tick(value: object) -> str:
    """A difficulty under its bar: two digits or whole, so that neighbours do not touch."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.2g}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)
