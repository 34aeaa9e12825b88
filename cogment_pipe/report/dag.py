"""The pipeline's graph as one inline SVG, tall rather than wide so that it fits a phone."""

from __future__ import annotations

from markupsafe import Markup, escape

from cogment_pipe.report.artifacts import Run

WIDTH, BOX, GAP, ROW = 372, 104, 30, 66
HEIGHT = 40
TONES = {"converged": "good", "plateau_unmet": "warn", "budget": "warn"}


def dag_svg(run: Run) -> Markup:
    """Data, stages and evaluations in rows, corpora and tokenizer above, the report below."""
    top = 58
    bottom = top + ROW * len(run.stages)
    columns = [0, BOX + GAP, 2 * (BOX + GAP)]
    parts = [_box(0, 0, "corpora", "sources", bool(_sources(run)), "plain")]
    tokenizer = "data/tokenizer.json" in run.digests
    parts.append(_box(columns[1], 0, "tokenizer", "stages 3 and 4", tokenizer, "plain"))
    parts.append(_arrow(f"M{BOX} 20H{columns[1] - 3}"))
    parts.append(_arrow(f"M{BOX / 2} {HEIGHT}V{top - 3}"))
    for number, record in enumerate(run.stages):
        y = top + ROW * number
        verdict = (record.summary or {}).get("verdict")
        said = {"plateau_unmet": "plateau, unmet"}.get(verdict, verdict or "not trained")
        score = (run.result(number, number) or {}).get("score")
        items = _items(record.data)
        parts.append(_box(columns[0], y, f"data {number}", items, record.data is not None, "plain"))
        tone = TONES.get(str(verdict), "plain")
        parts.append(_box(columns[1], y, f"stage {number}", said, record.present, tone))
        scored = f"score {score:.3f}" if score is not None else "no score"
        present = record.evaluation is not None
        parts.append(_box(columns[2], y, f"eval {number}", scored, present, "plain"))
        middle = y + HEIGHT / 2
        parts.append(_arrow(f"M{BOX} {middle}H{columns[1] - 3}"))
        parts.append(_arrow(f"M{columns[1] + BOX} {middle}H{columns[2] - 3}"))
        if number:
            x = columns[1] + BOX / 2
            parts.append(_arrow(f"M{x} {y - ROW + HEIGHT}V{y - 3}"))
        rail = columns[0] + BOX / 2
        if number:
            parts.append(_arrow(f"M{rail} {y - ROW + HEIGHT}V{y - 3}", "faint"))
    parts.append(_box(columns[2], bottom, "report", "this page", True, "plain"))
    parts += [
        _arrow(
            f"M{columns[2] + BOX} {top + ROW * n + HEIGHT / 2}h6V{bottom + HEIGHT / 2}h-3", "faint"
        )
        for n in range(len(run.stages))
    ]
    done = sum(record.present for record in run.stages)
    label = (
        f"Graph of the pipeline: corpora, tokenizer, then for each stage data, training, "
        f"evaluation, and the report; {done} of {len(run.stages)} stages trained"
    )
    return Markup(
        f'<svg class="dag" viewBox="-1 -1 {WIDTH + 18} {bottom + HEIGHT + 2}" role="img" '
        f'aria-label="{escape(label)}"><title>{escape(label)}</title>'
        '<defs><marker id="dag-tip" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )


def _box(x: float, y: float, title: str, note: str, present: bool, tone: str) -> str:
    css = f"node {tone}" + ("" if present else " absent")
    middle = x + BOX / 2
    return (
        f'<g class="{css}"><rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{middle}" y="{y + 17}">{escape(title)}</text>'
        f'<text class="note" x="{middle}" y="{y + 31}">{escape(note)}</text></g>'
    )


def _arrow(path: str, css: str = "") -> str:
    return f'<path class="edge {css}" d="{path}" marker-end="url(#dag-tip)"/>'


def _items(data: dict | None) -> str:
    if data is None:
        return "not here"
    tasks = (data.get("tasks") or {}).values()
    train = sum((task.get("splits") or {}).get("train", {}).get("items", 0) for task in tasks)
    return f"{train:,} to train on"


def _sources(run: Run) -> list[dict]:
    return [
        source
        for record in run.stages
        for task in ((record.data or {}).get("tasks") or {}).values()
        for source in task.get("sources") or []
    ]
