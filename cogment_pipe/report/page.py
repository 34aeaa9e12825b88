"""The report page: reads a results folder, writes one self-contained HTML file.

Nothing in the page is fetched: style, script and figures are inside it, and its own security policy
forbids requests. No clock and no path enters, so the same artifacts give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from cogment_pipe.atomic import write_bytes, write_json
from cogment_pipe.report import facts
from cogment_pipe.report.artifacts import Run, load_run
from cogment_pipe.report.assets import read_asset
from cogment_pipe.report.curves import stage_panels
from cogment_pipe.report.dag import dag_svg
from cogment_pipe.report.extras import extra_sections
from cogment_pipe.report.findings import Finding, findings
from cogment_pipe.report.matrix import kept, matrix_svg, retention
from cogment_pipe.report.provenance_chain import StageChain, stage_chains
from cogment_pipe.report.tasks import (
    TaskView,
    best_baseline,
    compute_rows,
    control_rows,
    exit_rows,
    memory_sections,
    task_views,
)

TITLE = "Cogment: a run of the curriculum"
STAGE_NAMES = ("SANITY", "ARC_VISUAL", "ALGORITHMIC", "MATH_TEXT", "LONG_CONTEXT")


def build_report(results: Path, slice: dict, out: Path) -> None:
    """Write `index.html`, `summary.json` and `retention.svg` into `out`, each atomically.

    Args:
        results: folder of artifacts; only its JSON files are read.
        slice: `scale`, `seed`, `stages` (the ones expected), `report` (`title`, `examples`) and
            optionally `config_diff` (dotted key -> [default, value]).
        out: folder for the page; made if it is not there.

    Raises:
        CogmentError: there is no such results folder, or an artifact is damaged.
    """
    run = load_run(Path(results), slice)
    chains = stage_chains(run)
    found = findings(run, chains)
    views = [task_views(run, record.stage) for record in run.stages]
    out = Path(out)
    write_json(out / "summary.json", digest(run, found, views))
    write_bytes(out / "retention.svg", matrix_svg(run).encode())
    write_bytes(out / "index.html", render(run, chains, found, views).encode())


def render(
    run: Run, chains: list[StageChain], found: list[Finding], views: list[list[TaskView]]
) -> str:
    """The page as text."""
    style, script = read_asset("report.css"), read_asset("report.js")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        num=facts.number,
        plain=facts.plain,
        code=facts.code,
        short=facts.short_digest,
        sentence=facts.sentence,
        thousands=facts.count,
    )
    controls = control_rows(run)
    return environment.get_template("page.html.j2").render(
        title=str((run.slice.get("report") or {}).get("title") or TITLE),
        style=Markup(style),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        summary=facts.summary_paragraph(run, found),
        findings=found,
        run=run,
        run_rows=facts.run_rows(run),
        config_diff=facts.config_diff(run),
        dag=dag_svg(run),
        stages=[
            {
                "record": record,
                "name": stage_name(record.stage, record.name),
                "panels": stage_panels(record),
                "facts": facts.stage_facts(record),
                "tasks": tasks,
            }
            for record, tasks in zip(run.stages, views, strict=True)
        ],
        matrix=retention(run),
        kept=kept(run),
        best_baseline=best_baseline,
        exits=exit_rows([view for tasks in views for view in tasks]),
        bought=compute_rows([view for tasks in views for view in tasks]),
        memories=memory_sections([view for tasks in views for view in tasks]),
        control_names=controls[0],
        control_rows=controls[1],
        ablations=extra_sections(run.extras["ablations"]),
        benchmarks=extra_sections(run.extras["benchmarks"]),
        data_rows=facts.data_rows(run),
        sources=facts.source_rows(run),
        chains=chains,
    )


def stage_name(stage: int, recorded: str) -> str:
    """The name in the artifacts, else the curriculum's."""
    return recorded or (STAGE_NAMES[stage] if stage < len(STAGE_NAMES) else "")


def digest(run: Run, found: list[Finding], views: list[list[TaskView]]) -> dict[str, Any]:
    """The page's main numbers, for tables elsewhere: `report/summary.json`."""
    return {
        "scale": facts.shared(run, "scale"),
        "seed": facts.shared(run, "seed"),
        "warnings": [{"kind": item.kind, "text": item.text} for item in found],
        "stages": [
            {
                "stage": record.stage,
                "name": stage_name(record.stage, record.name),
                "verdict": (record.summary or {}).get("verdict"),
                "steps": (record.summary or {}).get("steps"),
                "tasks": {
                    view.name: {
                        "checkpoint": view.checkpoint,
                        **{
                            name: view.result.get(name)
                            for name in ("metric", "value", "low", "high", "n", "baselines")
                        },
                        "controls": view.result.get("controls"),
                        "more_compute": view.result.get("more_compute") or {},
                        "last": (view.last or {}).get("value"),
                    }
                    for view in tasks
                },
            }
            for record, tasks in zip(run.stages, views, strict=True)
        ],
        "retention": {
            str(checkpoint): [cell.score for cell in cells] for checkpoint, cells in retention(run)
        },
        "kept": kept(run),
        "manifests": {
            name: value for name, value in run.digests.items() if name.endswith("manifest.json")
        },
    }
