"""How figures look: matplotlib SVG that takes its colours from the page, so light and dark fit.

Figures are drawn in sentinel colours, which `inline` turns into CSS variables of `report.css`.
The bytes depend on the drawing alone: fixed hash salt, no date, text kept as text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

INK = "#000001"
MUTED = "#000002"
RULE = "#000003"
GOOD = "#000004"
BAD = "#000005"
SERIES = ("#000011", "#000012", "#000013", "#000014", "#000015", "#000016")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 3)), (0, (3, 1)))
VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", GOOD: "good", BAD: "bad"} | {
    colour: f"c{number}" for number, colour in enumerate(SERIES, start=1)
}
REMOVED = (
    r"<!--.*?-->",
    r"<metadata>.*?</metadata>",
    r"<defs>\s*<style.*?</style>\s*</defs>",  # would reach every element of the page
    r'<path d="[^"]*" style="fill: none; opacity: 0"/>',
    r' id="(?:figure|axes|patch|line2d|text|[xy]tick|matplotlib|Path|Poly|Line|Fill)[\w.]*"',
    r"font-family: [^;\"]*;? ?",
    r"\s*\n\s*(?=<)",
)
STYLE = {
    "svg.hashsalt": "cogment",
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 2.5,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "xtick.minor.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "path.simplify": True,
}


@dataclass(frozen=True)
class Key:
    """One entry of a panel's legend; `colour` and `dash` number the styles of the page."""

    label: str
    colour: str  # name of a CSS variable without its dashes
    dash: int = 0


@dataclass(frozen=True)
class Panel:
    """One small figure: title, drawing, legend and the sentence under it."""

    title: str
    svg: Markup
    legend: tuple[Key, ...] = ()
    note: str = ""


@contextmanager
def canvas(xlabel: str = "", ylabel: str = "") -> Iterator[tuple[Figure, Axes]]:
    """A styled pair of axes of 3.1 x 2.1 inches, drawn with the report's settings only."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.1, 2.1))
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0.0)
        axes = figure.add_axes((0.155, 0.19, 0.825, 0.77))
        axes.patch.set_alpha(0.0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(tick))
        axes.set_xlabel(xlabel, labelpad=2)
        axes.set_ylabel(ylabel, labelpad=3)
        yield figure, axes


def tick(value: float, _place: int | None = None) -> str:
    """A short tick label; an exponent rather than four zeros."""
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.4g}"


def series(number: int) -> dict:
    """Colour and dash of the n-th line of a panel, as keywords of `Axes.plot`."""
    return {"color": SERIES[number % len(SERIES)], "linestyle": DASHES[number % len(DASHES)]}


def key(label: str, number: int) -> Key:
    """The legend entry of the n-th line."""
    return Key(label, f"c{number % len(SERIES) + 1}", number % len(DASHES))


def raw_svg(figure: Figure) -> str:
    """The figure as matplotlib writes it, without clock or version."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    return buffer.getvalue()


def inline(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an SVG element for the page.

    Args:
        figure: drawn within `canvas`.
        name: unique in the page; prefixes the ids inside, which matplotlib repeats over figures.
        label: what the figure shows, for those who do not see it.
    """
    text = raw_svg(figure)
    text = text[text.index("<svg") :]
    for pattern in REMOVED:
        text = re.sub(pattern, "", text, flags=re.S)
    text = re.sub(r"<[^>]*>", _shorten, text, flags=re.S)
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text).replace("xlink:", "")
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    box = re.search(r'viewBox="([^"]*)"', text)
    if box is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    opening = Markup('<svg viewBox="{}" role="img" aria-label="{}"><title>{}</title>').format(
        box[1], label, label
    )
    return Markup(opening + Markup(text[text.index(">") + 1 :].strip()))


def _shorten(tag: re.Match) -> str:
    """A tag on one line with two decimals; text between tags, such as tick labels, is kept."""
    line = re.sub(r"\s+", " ", tag[0])
    return re.sub(r"(?<=\d)\.(\d{2})\d+", r".\1", line)


def mark_line(axes: Axes, x: float, label: str, colour: str, height: float = 0.04) -> None:
    """A vertical mark with its name beside it, on the side where there is room."""
    low, high = axes.get_xlim()
    right = x > low + 0.6 * (high - low)
    axes.axvline(x, color=colour, linewidth=1.0, linestyle=(0, (2, 2)))
    axes.annotate(
        label,
        (x, height),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        color=colour,
        fontsize=8,
    )
