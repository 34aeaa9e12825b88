"""Figures and tables of the benchmark of speed, for the report page and for docs/performance.md.

Reads the benchmark's table alone; a cell that could not run is a cell with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from cogment_pipe.report.grokking import PRINTED
from cogment_pipe.report.theme import (
    INK,
    MUTED,
    SERIES,
    STYLE,
    Key,
    Panel,
    canvas,
    inline,
    key,
    raw_svg,
    series,
)

Draw = Callable[[Axes, dict[str, Any]], tuple[Key, ...]]


def draw_shares(axes: Axes, table: dict[str, Any]) -> tuple[Key, ...]:
    """Bars: share of the matrix rate of each stage, the largest scale, an arm each."""
    rows = [row for row in table["rows"] if row["error"] is None]
    scale = rows[-1]["scale"] if rows else ""
    shown = [row for row in rows if row["scale"] == scale]
    arms = list(dict.fromkeys(row["arm"] for row in shown))
    width = 0.8 / max(len(arms), 1)
    for number, arm in enumerate(arms):
        own = [row for row in shown if row["arm"] == arm]
        places = [row["stage"] + (number - (len(arms) - 1) / 2) * width for row in own]
        heights = [row["share"] for row in own]
        axes.bar(places, heights, width * 0.9, color=SERIES[number % len(SERIES)])
    axes.axhline(1.0, color=MUTED, linewidth=0.7)
    axes.set_xticks(sorted({row["stage"] for row in shown}))
    axes.set_xlabel(f"stage at {scale}", labelpad=2)
    return tuple(Key(arm, f"c{number + 1}") for number, arm in enumerate(arms))


def draw_refinement(axes: Axes, table: dict[str, Any]) -> tuple[Key, ...]:
    """Seconds of a step against its refinement steps, with and without checkpointing."""
    return _refinement(axes, table, "step_seconds")


def draw_memory(axes: Axes, table: dict[str, Any]) -> tuple[Key, ...]:
    """MiB above the start that a step needs, against its refinement steps."""
    return _refinement(axes, table, "step_mib")


def draw_segments(axes: Axes, table: dict[str, Any]) -> tuple[Key, ...]:
    """Seconds of a step against the segments of its document."""
    points = table["segments"]
    x = [point["earlier"] + 1 for point in points]
    axes.plot(x, [point["step_seconds"] for point in points], marker="o", ms=3, **series(0))
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("segments", labelpad=2)
    return (key("checkpointing", 0),)


def _refinement(axes: Axes, table: dict[str, Any], name: str) -> tuple[Key, ...]:
    legend = []
    for number, recompute in enumerate((False, True)):
        points = [p for p in table["refinement"] if p["checkpointing"] is recompute]
        points = [p for p in points if p[name] is not None]
        x, y = [p["steps"] for p in points], [p[name] for p in points]
        axes.plot(x, y, marker="o", ms=3, **series(number))
        legend.append(key("checkpointing" if recompute else "plain", number))
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("refinement steps", labelpad=2)
    return tuple(legend)


FIGURES: dict[str, tuple[Draw, str]] = {
    "Share of the matrix rate": (
        draw_shares,
        "Operations over time and over the fp32 matrix rate measured beside each step.",
    ),
    "Seconds of a step": (draw_refinement, "Against refinement steps in one optimizer step."),
    "Seconds by segments": (draw_segments, "Against the segments of a document."),
    "Memory of a step, MiB": (draw_memory, "Peak resident memory above what was held before."),
}


def panels(table: dict[str, Any], name: str) -> list[Panel]:
    """Panels for the report page, ids prefixed by `name`."""
    found = []
    for title, (draw, note) in FIGURES.items():
        with canvas() as (figure, axes):
            legend = draw(axes, table)
            place = f"{name}-{re.sub(r'[^a-z]', '', title.lower())}"
            found.append(Panel(title, inline(figure, place, f"{title}. {note}"), legend, note))
    return found


def figure_svg(table: dict[str, Any]) -> str:
    """All panels side by side, as one SVG file; the bytes depend on the table alone."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.2, 2.6), layout="constrained")
        FigureCanvasSVG(figure)
        for axes, (title, (draw, _)) in zip(figure.subplots(1, 4), FIGURES.items(), strict=True):
            legend = draw(axes, table)
            axes.set_title(title, color=INK, fontsize=8.5)
            handles = axes.containers or axes.lines
            axes.legend(handles[: len(legend)], [k.label for k in legend], frameon=False)
        text = raw_svg(figure)
    for drawn, printed in PRINTED.items():
        text = text.replace(drawn, printed)
    return text


def markdown(table: dict[str, Any]) -> str:
    """The tables as Markdown: claims, steps, floors, growth, start."""
    parts = (_claims, _steps, _floors, _profiles, _growth, _start)
    blocks = [part(table) for part in parts]
    if not table["quiet"]:
        busy = max(cell["others"] for cell in table["cells"])
        blocks.insert(0, f"**Other work took up to {busy:.0%} of the machine: read ratios only.**")
    return "\n\n".join(blocks)


def _table(heads: list[str], rows: list[list[Any]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join("-" if c is None else str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines)


def _claims(table: dict[str, Any]) -> str:
    rows = [
        [c["claim"], c["bound"], c["value"], "yes" if c["holds"] else "**no**"]
        for c in table["claims"]
    ]
    return _table(["to show", "bound", "measured", "holds"], rows)


def _steps(table: dict[str, Any]) -> str:
    heads = ["scale", "stage", "arm", "rows", "s a step", "samples/s", "refinement steps/s"]
    heads += ["GFLOP/s", "share", "counted", "times plain", "peak MiB"]
    rows = []
    for row in table["rows"]:
        cells = [row["scale"], row["stage"], row["arm"] + "*" * row["trained_with"], row["rows"]]
        if row["error"] is not None:
            rows.append([*cells, f"did not run: {row['error'].replace('|', '/')}", *[None] * 7])
            continue
        names = ("step_seconds", "samples_per_second", "refinement_steps_per_second")
        cells += [row[name] for name in names]
        cells.append(f"{row['operations_per_second'] / 1e9:.1f}")
        cells += [f"{row['share']:.2f}", f"{row['share_counted']:.2f}", row["times_plain"]]
        rows.append([*cells, row["peak_mib"]])
    return _table(heads, rows) + "\n\n\\* as the configuration trains on a CPU."


def _floors(table: dict[str, Any]) -> str:
    heads = ["scale", "stage", "rows", "GFLOP", "GB", "arithmetic s", "bytes s", "measured s"]
    heads += ["kernels", "reads by the host", "H100 predicted, ms"]
    rows = []
    for f in table["floors"]:
        row = [f["scale"], f["stage"], f["rows"], f"{f['counted'] / 1e9:.1f}"]
        row += [f"{f['bytes'] / 1e9:.2f}", f["arithmetic_seconds"], f["bytes_seconds"]]
        row += [f["measured_seconds"], f["kernels"], f["host_reads"]]
        rows.append([*row, f"{1000 * f['h100_predicted_seconds']:.1f}"])
    return _table(heads, rows)


def _profiles(table: dict[str, Any]) -> str:
    kinds = dict.fromkeys(kind for found in table["profiles"].values() for kind in found)
    rows = [
        [kind, *(_percent(found.get(kind)) for found in table["profiles"].values())]
        for kind in kinds
        if any(found.get(kind, 0.0) >= 0.01 for found in table["profiles"].values())
    ]
    return _table(["time of a plain step", *table["profiles"]], rows)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"


def _growth(table: dict[str, Any]) -> str:
    heads = ["against", "s fixed", "s each", "worst distance", "MiB fixed", "MiB each"]
    names = ("step_seconds_fixed", "step_seconds_each", "worst", "step_mib_fixed", "step_mib_each")
    rows = [[line["against"], *(line.get(name) for name in names)] for line in table["growth"]]
    return _table(heads, rows)


def _start(table: dict[str, Any]) -> str:
    rows = [
        [
            found["what"].replace("_", " "),
            found["seconds"],
            "yes" if found["imports_torch"] else "no",
        ]
        for found in table["start"]
    ]
    rows += [
        [f"first training step done: {c['scale']}, stage {c['stage']}", seconds, "yes"]
        for c in table["cells"]
        if (seconds := c["first_step_done_after_seconds"]) is not None
    ]
    run = table["pipeline"]
    words = (
        f"A whole run at `{run['scale']}` ({run['stages']} stages, {run['jobs']} commands, one at "
        f"a time): {run['wall_seconds']} s, of which {run['inside_seconds']} s in the commands' "
        f"main functions and {run['outside_seconds']} s around them, "
        f"{run['outside_seconds_per_job']} s a command."
    )
    return _table(["start", "s", "imports torch"], rows) + "\n\n" + words
