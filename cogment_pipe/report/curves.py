"""Training curves of one stage: loss parts, accuracy, ponder, learning rate, memory gate.

Training lines are means over consecutive records, so that 32,000 steps fit a small drawing;
steps of replayed tasks are left out, since they belong to earlier stages.
"""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import FuncFormatter

from cogment_pipe.report.artifacts import StageRecord
from cogment_pipe.report.theme import (
    GOOD,
    INK,
    MUTED,
    Key,
    Panel,
    canvas,
    inline,
    key,
    mark_line,
    series,
    tick,
)

POINTS = 200
FEW = 60  # points of a noisy line that shares its drawing with others
LOSS_PARTS = (
    ("loss_steps", "steps"),
    ("loss_mixed", "mixed"),
    ("loss_improvement", "improvement"),
    ("loss_consistency", "consistency"),
    ("loss_exact", "exactness"),
)
LOG_RATIO = 20.0  # a line that spans more than this is unreadable on a linear axis


def column(events: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and finite values of one field, both (N,)."""
    pairs = [
        (event["step"], event[name])
        for event in events
        if isinstance(event.get(name), int | float) and isinstance(event.get("step"), int)
    ]
    array = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    array = array[np.isfinite(array[:, 1])]
    return array[:, 0], array[:, 1]


def thin(
    steps: np.ndarray, values: np.ndarray, points: int = POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """At most `points` means over consecutive records, in order."""
    if len(steps) <= points:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), points)
    return (
        np.array([steps[part].mean() for part in parts]),
        np.array([values[part].mean() for part in parts]),
    )


def own_events(record: StageRecord) -> list[dict]:
    """Training records of the stage's own tasks (all of them where validation names no task)."""
    own = {name for event in record.validation for name in event.get("tasks") or {}}
    if not own:
        return record.train
    return [event for event in record.train if event.get("task") in own]


def stage_panels(record: StageRecord) -> list[Panel]:
    """Every curve that the stage's `metrics.jsonl` has values for."""
    events = own_events(record)
    makers = (
        lambda: loss_panel(record, events),
        lambda: accuracy_panel(record, events),
        lambda: task_panel(record),
        lambda: ponder_panel(record, events),
        lambda: simple_panel(record, record.train, "lr", "Learning rate", "rate"),
        lambda: simple_panel(record, events, "memory_gate", "Memory gate", "mean gate"),
        lambda: simple_panel(record, record.train, "grad_norm", "Gradient norm", "before clipping"),
    )
    return [panel for panel in (make() for make in makers) if panel is not None]


def loss_panel(record: StageRecord, events: list[dict]) -> Panel | None:
    """Total loss and its parts, unweighted as logged."""
    lines = [("total", *thin(*column(events, "loss")))]
    lines += [(label, *thin(*column(events, name))) for name, label in LOSS_PARTS]
    lines = [line for line in lines if len(line[1]) and np.any(line[2] != 0)]
    if not lines:
        return None
    positive = np.concatenate([values[values > 0] for _, _, values in lines])
    legend = []
    with canvas("step") as (figure, axes):
        if len(positive) and positive.max() > LOG_RATIO * positive.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(tick))
            axes.set_ylim(max(positive.min(), positive.max() * 1e-4) * 0.8, positive.max() * 1.3)
            lines = [(label, x, np.where(y > 0, y, np.nan)) for label, x, y in lines]
        for number, (label, x, y) in enumerate(lines):
            if label == "total":
                axes.plot(x, y, color=INK, linewidth=1.9, zorder=5)
                legend.append(Key(label, "ink"))
            else:
                axes.plot(x, y, linewidth=1.2, **series(number - 1))
                legend.append(key(label, number - 1))
        _marks(axes, record, labels=False)
        first, last = lines[0][2][0], lines[0][2][-1]
        text = f"Loss of stage {record.stage} over steps, {first:.3g} at first, {last:.3g} at last"
        svg = inline(figure, f"s{record.stage}-loss", text)
    return Panel("Loss and its parts", svg, tuple(legend))


def accuracy_panel(record: StageRecord, events: list[dict]) -> Panel | None:
    """Share of right cells in training, and the validation metric with its best step."""
    train = thin(*column(events, "accuracy"))
    validation = column(record.validation, "accuracy")
    if not len(train[0]) and not len(validation[0]):
        return None
    legend = []
    with canvas("step") as (figure, axes):
        if len(train[0]):
            axes.plot(*train, linewidth=1.1, **series(1))
            legend.append(key("training, right cells", 1))
        if len(validation[0]):
            axes.plot(*validation, marker="o", markersize=2.4, **series(0))
            legend.append(key("validation, task metric", 0))
            best = (record.summary or {}).get("best") or {}
            if best.get("step") is not None and best.get("accuracy") is not None:
                axes.plot(
                    [best["step"]], [best["accuracy"]], "o", mfc="none", mec=INK, markersize=7
                )
        axes.set_ylim(-0.03, 1.05)
        _marks(axes, record)
        end = f", validation {validation[1][-1]:.3f} at last" if len(validation[1]) else ""
        text = f"Accuracy of stage {record.stage} over steps{end}"
        svg = inline(figure, f"s{record.stage}-accuracy", text)
    return Panel("Accuracy", svg, tuple(legend), "Ring: best step.")


def task_panel(record: StageRecord) -> Panel | None:
    """Validation metric of each task, where there are several."""
    names = sorted({name for event in record.validation for name in event.get("tasks") or {}})
    if len(names) < 2:
        return None
    legend = []
    with canvas("step") as (figure, axes):
        for number, name in enumerate(names):
            events = [
                {"step": event.get("step"), "value": event["tasks"][name].get("exact")}
                for event in record.validation
                if name in (event.get("tasks") or {})
            ]
            axes.plot(*column(events, "value"), **series(number))
            legend.append(key(name, number))
        axes.set_ylim(-0.03, 1.05)
        _marks(axes, record, labels=False)
        text = f"Items wholly right in validation of stage {record.stage}: {', '.join(names)}"
        svg = inline(figure, f"s{record.stage}-tasks", text)
    return Panel("Validation by task", svg, tuple(legend), "Share of items wholly right.")


def ponder_panel(record: StageRecord, events: list[dict]) -> Panel | None:
    """Expected refinement steps, one line for each task: tasks differ in how many they may take."""
    names = sorted({str(event.get("task")) for event in events if event.get("ponder") is not None})
    if len(names) < 2:
        title = "Refinement steps (ponder)"
        return simple_panel(record, events, "ponder", title, "expected steps")
    legend = []
    with canvas("step") as (figure, axes):
        for number, name in enumerate(names):
            own = [event for event in events if str(event.get("task")) == name]
            axes.plot(*thin(*column(own, "ponder"), FEW), linewidth=1.3, **series(number))
            legend.append(key(name, number))
        _marks(axes, record, labels=False)
        text = f"Expected refinement steps of stage {record.stage} by task: {', '.join(names)}"
        svg = inline(figure, f"s{record.stage}-ponder", text)
    return Panel("Refinement steps (ponder)", svg, tuple(legend), "In training, by task.")


def simple_panel(
    record: StageRecord, events: list[dict], name: str, title: str, unit: str
) -> Panel | None:
    """One training field over steps, with validation beside it where that has the field too."""
    train = thin(*column(events, name))
    validation = column(record.validation, name)
    if not len(train[0]) and not len(validation[0]):
        return None
    legend = []
    with canvas("step") as (figure, axes):
        if len(train[0]):
            axes.plot(*train, linewidth=1.3, **series(1 if len(validation[0]) else 0))
        if len(validation[0]):
            axes.plot(*validation, marker="o", markersize=2.4, **series(0))
            legend = [key("training", 1), key("validation", 0)]
        values = np.concatenate([train[1], validation[1]])
        if np.ptp(values) < 1e-9:
            axes.set_ylim(values[0] - 0.5 * abs(values[0]) - 1e-9, values[0] * 1.5 + 1e-9)
        _marks(axes, record, labels=False)
        text = f"{title} of stage {record.stage} over steps ({unit}), {values[0]:.3g} at first"
        svg = inline(figure, f"s{record.stage}-{name.replace('_', '-')}", text)
    return Panel(title, svg, tuple(legend))


def _marks(axes, record: StageRecord, labels: bool = True) -> None:
    """Where the stage generalised late, and where it converged."""
    summary = record.summary or {}
    grokking = summary.get("grokking") or {}
    if grokking.get("step") is not None:
        mark_line(axes, grokking["step"], "grokking" if labels else "", MUTED, 0.15)
    if summary.get("verdict") == "converged" and summary.get("steps") is not None:
        mark_line(axes, summary["steps"], "converged" if labels else "", GOOD)
