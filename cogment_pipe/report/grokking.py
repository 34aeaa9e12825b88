"""Curves of the grokking benchmark: training and validation accuracy over steps, log axis.

Draws both the panels of the report page and the stand-alone figure of the benchmark's folder.
"""

from __future__ import annotations

import re
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from cogment_pipe.report.theme import (
    INK,
    MUTED,
    RULE,
    SERIES,
    STYLE,
    Key,
    Panel,
    canvas,
    inline,
    raw_svg,
    series,
    tick,
)

PER_ROW = 5
TRAINING = (0, (1.2, 1.2))
PRINTED = {INK: "#1d2126", MUTED: "#5b636c", RULE: "#dcd8cf"} | dict(
    zip(SERIES, ("#2c6e9e", "#c26a1e", "#2f8a63", "#7b5aa6", "#b8476b", "#7d7a26"), strict=True)
)

Curves = dict[str, list[list[float]]]


def draw(axes: Axes, by_seed: Curves) -> None:
    """One arm: per seed validation as a full line and training dotted in the same colour."""
    for number, seed in enumerate(sorted(by_seed, key=int)):
        steps, training, validation = zip(*by_seed[seed], strict=True)
        colour = series(number)["color"]
        axes.plot(steps, training, color=colour, linestyle=TRAINING, linewidth=1.0)
        axes.plot(steps, validation, color=colour, linewidth=1.5)
    axes.axhline(0.95, color=MUTED, linewidth=0.7)
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.05)
    axes.xaxis.set_major_formatter(lambda value, place: tick(value))
    axes.xaxis.set_minor_formatter(lambda value, place: "")


def panels(table: dict[str, Any], name: str) -> list[Panel]:
    """A panel per arm for the report page, ids prefixed by `name`."""
    found = []
    for row in table["rows"]:
        arm, by_seed = row["arm"], table["curves"][row["arm"]]
        legend = [Key(f"seed {s}", f"c{n + 1}") for n, s in enumerate(sorted(by_seed, key=int))]
        with canvas("step") as (figure, axes):
            draw(axes, by_seed)
            label = f"Accuracy of arm {arm} over steps; steps to the threshold: {row['median']}"
            svg = inline(figure, f"{name}-{re.sub(r'[^a-z0-9]', '', arm.lower())}", label)
        note = f"{row['title']}. Full: validation, dotted: training."
        found.append(Panel(arm, svg, tuple(legend), note))
    return found


def figure_svg(table: dict[str, Any]) -> str:
    """All arms side by side, as one SVG file; the bytes depend on the table alone."""
    rows = table["rows"]
    down = -(-len(rows) // PER_ROW)
    across = min(PER_ROW, len(rows))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.3 * across, 1.9 * down), layout="constrained")
        FigureCanvasSVG(figure)
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for axes, row in zip(grid.flat, rows, strict=False):
            draw(axes, table["curves"][row["arm"]])
            axes.set_title(f"{row['arm']}: {row['median']} steps", color=INK, fontsize=8.5)
        for axes in grid.flat[len(rows) :]:
            axes.set_visible(False)
        figure.supxlabel("step", color=MUTED, fontsize=8.5)
        figure.supylabel("accuracy: validation full, training dotted", color=MUTED, fontsize=8.5)
        text = raw_svg(figure)
    for drawn, printed in PRINTED.items():
        text = text.replace(drawn, printed)
    return text


def markdown(table: dict[str, Any]) -> str:
    """The table as Markdown, for README and for the benchmark's folder."""
    columns = ["median", "paper_style", "decay_matched", "versus_adamw"]
    heads = ["median", "decay 0 / arm", "decay-matched / arm", "AdamW / arm"]
    if all("published_baseline" in row for row in table["rows"]):
        columns.append("published_baseline")
        heads.append("published 39,890 / arm")
    seeds = " / ".join(f"seed {seed}" for seed in table["seeds"])
    heads = ["arm", f"steps: {seeds}", *heads]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table["rows"]:
        cells = [f"{row['arm']}: {row['title']}", row["steps"]]
        cells += [row[name] for name in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
