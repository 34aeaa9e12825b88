"""The retention matrix: score of checkpoint k on the test sets of stage j."""

from __future__ import annotations

from dataclasses import dataclass

from cogment_pipe.report.artifacts import Run
from cogment_pipe.report.theme import INK, MUTED, SERIES, canvas, raw_svg

LIGHT = {INK: "#1d2126", MUTED: "#5d656e", SERIES[0]: "#2c6e9e"}


@dataclass(frozen=True)
class Cell:
    """One score; `own` on the diagonal, `ahead` where the stage was not yet trained on."""

    score: float | None
    own: bool
    ahead: bool

    @property
    def share(self) -> int:
        """Strength of the cell's tint in percent."""
        if self.score is None:
            return 0
        scaled = self.score if self.score <= 1.0 else self.score / 100.0
        return round(100 * min(max(scaled, 0.0), 1.0))


def retention(run: Run) -> list[tuple[int, list[Cell]]]:
    """Rows of the matrix, one for each evaluated checkpoint."""
    rows = []
    for record in run.stages:
        if not record.evaluation:
            continue
        cells = []
        for stage in range(len(run.stages)):
            score = (run.result(record.stage, stage) or {}).get("score")
            cells.append(Cell(score, stage == record.stage, stage > record.stage))
        rows.append((record.stage, cells))
    return rows


def kept(run: Run) -> list[dict]:
    """Per stage: its own checkpoint's score, the last checkpoint's, and the share that is kept."""
    rows = []
    for record in run.stages:
        own = (run.result(record.stage, record.stage) or {}).get("score")
        last = (run.result(run.last.stage, record.stage) or {}).get("score") if run.last else None
        if own is None:
            continue
        share = last / own if last is not None and own > 0 else None
        rows.append({"stage": record.stage, "own": own, "last": last, "kept": share})
    return rows


def matrix_svg(run: Run) -> str:
    """The matrix as a stand-alone SVG file for `snakemake --report`; fixed, light colours."""
    rows = retention(run)
    with canvas("test set of stage", "checkpoint") as (figure, axes):
        figure.set_size_inches(4.4, 3.2)
        axes.grid(visible=False)
        axes.set_xlim(0, len(run.stages))
        axes.set_ylim(max(len(rows), 1), 0)
        axes.set_xticks([n + 0.5 for n in range(len(run.stages))], range(len(run.stages)))
        axes.set_yticks([n + 0.5 for n in range(len(rows))], [str(k) for k, _ in rows])
        for y, (_, cells) in enumerate(rows):
            for x, cell in enumerate(cells):
                if cell.score is None:
                    continue
                tint = (x, x + 1), y, y + 1
                axes.fill_between(*tint, color=SERIES[0], alpha=0.75 * cell.share / 100, lw=0)
                axes.text(x + 0.5, y + 0.5, f"{cell.score:.3f}", ha="center", va="center")
        if not rows:
            axes.text(0.1, 0.5, "no evaluation found", color=MUTED)
        text = raw_svg(figure)
    for sentinel, colour in LIGHT.items():
        text = text.replace(sentinel, colour)
    return text.replace("#000003", "#d9d5cc")
