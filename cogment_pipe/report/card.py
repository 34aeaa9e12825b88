"""The model card: markdown about one stage's weights, made from manifests and evaluations alone.

Whatever no artifact records is left out; a stage that was not evaluated gets a card that says so.
"""

from __future__ import annotations

from pathlib import Path

from cogment_pipe.errors import CogmentError
from cogment_pipe.report import facts
from cogment_pipe.report.artifacts import Run, StageRecord, load_run, read_json
from cogment_pipe.report.findings import findings
from cogment_pipe.report.provenance_chain import stage_chains
from cogment_pipe.report.tasks import best_baseline

LEFT_OUT = ("Missing",)  # kinds of finding that are about the folder, not about the weights


def model_card(folder: Path, usage: str = "") -> str:
    """Markdown for the weights in a stage's folder.

    Args:
        folder: `results/stage{k}`; evaluation and data manifests are looked for beside it.
        usage: markdown on how to load the exported files, put under "Use".

    Raises:
        CogmentError: the folder is no stage's folder, or an artifact is damaged.
    """
    folder = Path(folder).resolve()
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise CogmentError(f"{manifest}: not found; a card is made from a finished stage's folder")
    content = read_json(manifest)
    stage = content.get("stage")
    if "slice" not in content or not isinstance(stage, int) or folder.name != f"stage{stage}":
        raise CogmentError(f"{manifest}: not the manifest of a stage's own folder")
    run = load_run(folder.parent, {"stages": list(range(stage + 1))})
    record = run.stages[stage]
    parts = [
        "---\nlibrary_name: cogment-pipe\ntags:\n- reasoning\n- iterative-refinement\n"
        "- adaptive-computation-time\n---",
        f"# Cogment, stage {stage}: {record.name}",
        facts.summary_paragraph(run, []),
        *_section("Use", [usage]),
        *_section("What it is", [_model(record)]),
        *_section("Training", [_training(run, record)]),
        *_section("Evaluation", [_scores(run, record)]),
        *_section("Limits", [_limits(run)]),
        *_section("Data", [_data(run)]),
        *_section("Provenance", [_provenance(run)]),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, parts: list[str]) -> list[str]:
    kept = [part for part in parts if part]
    return [f"## {title}", *kept] if kept else []


def _table(header: list[str], rows: list[list[object]]) -> str:
    """A markdown table; bars in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _model(record: StageRecord) -> str:
    model = ((record.manifest or {}).get("slice") or {}).get("model") or {}
    parameters = (record.summary or {}).get("parameters") or {}
    text = (
        "An iterative-refinement reasoner: one weight-tied stack refines an answer step by step, "
        "decides itself when to stop (adaptive computation time), and reads and writes a "
        "surprise-gated long-term memory. Weights are the exponential moving average."
    )
    rows = [[f"parameters, {name}", facts.count(parameters[name])] for name in sorted(parameters)]
    rows += [[name, facts.plain(model[name])] for name in sorted(model)]
    return f"{text}\n\n{_table(['what', 'value'], rows)}" if rows else text


def _training(run: Run, record: StageRecord) -> str:
    rows = []
    for each in run.trained:
        summary = each.summary or {}
        verdict = summary.get("verdict", "not recorded")
        steps, reason = facts.count(summary.get("steps")), summary.get("reason", "")
        rows.append([each.stage, each.name, steps, verdict, reason])
    manifest = record.manifest or {}
    versions = manifest.get("versions") or {}
    listed = ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
    text = (
        f"Device {manifest.get('device')}, precision {manifest.get('precision')}, "
        f"threads {manifest.get('threads')}; {listed}."
    )
    return f"{_table(['stage', 'name', 'steps', 'ended', 'reason'], rows)}\n\n{text}"


def _scores(run: Run, record: StageRecord) -> str:
    if not record.evaluation:
        return "These weights were not evaluated: no evaluation was found beside them."
    rows = []
    for stage in range(len(run.stages)):
        tasks = (run.result(record.stage, stage) or {}).get("tasks") or {}
        for name, result in tasks.items():
            baseline = best_baseline(result)
            rows.append(
                [
                    stage,
                    name,
                    result.get("metric"),
                    facts.number(result.get("value")),
                    f"{facts.number(result.get('low'))} to {facts.number(result.get('high'))}",
                    f"{facts.number(baseline[1])} ({baseline[0]})" if baseline else facts.NONE,
                    facts.count(result.get("n")),
                ]
            )
    header = ["stage", "task", "metric", "value", "95% interval", "strongest baseline", "items"]
    return f"On unseen test items of every stage so far.\n\n{_table(header, rows)}"


def _limits(run: Run) -> str:
    found = [item for item in findings(run, stage_chains(run)) if item.kind not in LEFT_OUT]
    lines = [f"- {item.text}" for item in found]
    return "\n".join(lines) or "No warning was recorded."


def _data(run: Run) -> str:
    rows = [
        [
            *(row["stage"], row["task"], row["origin"], row["settings"]),
            *(facts.count(row["train"]), row["licence"]),
        ]
        for row in facts.data_rows(run)
    ]
    if not rows:
        return "No data manifests were found beside these weights."
    return _table(["stage", "task", "origin", "settings", "training items", "licence"], rows)


def _provenance(run: Run) -> str:
    rows = []
    for chain in stage_chains(run):
        outputs = {name: digest for name, digest, _ in chain.outputs}
        digest = outputs.get("checkpoint.pt", facts.NONE)
        exact = {True: "yes", False: "no"}.get(chain.bit_identical, facts.NONE)
        rows.append([chain.stage, f"`{digest}`", chain.parent_state, exact])
    header = ["stage", "sha256 of checkpoint.pt", "parent link", "bit-identical"]
    return _table(header, rows)
