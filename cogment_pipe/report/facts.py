"""Plain facts of a run as text and table rows: summary, run, stages, data, sources."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from markupsafe import Markup, escape

from cogment_pipe.report.artifacts import Run, StageRecord
from cogment_pipe.report.findings import Finding
from cogment_pipe.report.matrix import kept

NONE = "\u2013"  # shown where there is no value


def number(value: Any, digits: int = 3) -> str:
    """A score as text; an en dash where there is none."""
    if isinstance(value, bool) or value is None:
        return NONE if value is None else ("yes" if value else "no")
    if isinstance(value, int):
        return f"{value}"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def count(value: Any) -> str:
    """A whole number with thousands marked."""
    return f"{value:,}" if isinstance(value, int) else NONE


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def plain(value: Any) -> str:
    """A value of unknown kind, with four significant digits where it is a fraction."""
    return f"{value:.4g}" if isinstance(value, float) else number(value)


def code(text: str) -> Markup:
    """What stands between two backquotes, as code; everything is escaped."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def short_digest(value: str | None) -> str:
    """The first twelve hex digits."""
    return value[:12] if value else NONE


def shared(run: Run, name: str) -> Any:
    """A key of the stage slices, as the artifacts have it, else as the report was asked."""
    for record in run.trained:
        value = ((record.manifest or {}).get("slice") or {}).get(name)
        if value is not None:
            return value
    for record in run.stages:
        if record.evaluation and record.evaluation.get(name) is not None:
            return record.evaluation[name]
    return run.slice.get(name)


def summary_paragraph(run: Run, found: list[Finding]) -> str:
    """What was trained and what came of it, in a few sentences made from the artifacts."""
    trained = run.trained
    if not trained:
        return "No trained stage was found in this results folder."
    steps = sum((record.summary or {}).get("steps") or 0 for record in trained)
    parameters = ((trained[-1].summary or {}).get("parameters") or {}).get("total")
    size = f"a model of {parameters:,} parameters" if isinstance(parameters, int) else "the model"
    converged = [r.stage for r in trained if (r.summary or {}).get("verdict") == "converged"]
    device = (trained[-1].manifest or {}).get("device")
    text = (
        f"Cogment, {size}, was trained at scale {shared(run, 'scale')} with seed "
        f"{shared(run, 'seed')} through {len(trained)} of {len(run.stages)} curriculum stages, "
        f"{steps:,} optimizer steps in all"
    )
    text += f", on {device}. " if device else ". "
    text += f"{len(converged)} of {len(trained)} stages converged. "
    rows = [row for row in kept(run) if row["last"] is not None]
    if rows and run.last is not None:
        scores = ", ".join(f"{row['last']:.3f} on stage {row['stage']}" for row in rows)
        text += f"The last checkpoint evaluated (stage {run.last.stage}) scores {scores}. "
    if found:
        text += f"{len(found)} {'warning' if len(found) == 1 else 'warnings'} below apply."
    return text.strip()


def run_rows(run: Run) -> list[tuple[str, str]]:
    """Name and value of everything that holds for the run as a whole."""
    manifests = [(r.stage, r.manifest) for r in run.trained if r.manifest]
    rows = [
        ("scale", str(shared(run, "scale"))),
        ("seed", str(shared(run, "seed"))),
        ("stages trained", f"{len(run.trained)} of {len(run.stages)}"),
    ]
    for name, words in (("device", "device"), ("precision", "precision"), ("threads", "threads")):
        rows.append((words, _over_stages(manifests, lambda m, name=name: m.get(name))))
    rows.append(
        (
            "deterministic algorithms",
            _over_stages(manifests, lambda m: (m.get("slice") or {}).get("deterministic")),
        )
    )
    cpu = _over_stages(manifests, lambda m: (m.get("environment") or {}).get("cpu"))
    rows.append(("processor", cpu))
    rows.append(("bit-identical", _over_stages(manifests, lambda m: m.get("bit_identical"))))
    names = sorted({name for _, m in manifests for name in m.get("versions") or {}})
    for name in names:
        rows.append(
            (
                name,
                _over_stages(manifests, lambda m, name=name: (m.get("versions") or {}).get(name)),
            )
        )
    return rows


def _over_stages(manifests: list[tuple[int, dict]], get: Any) -> str:
    """One value where all stages agree, else every stage's."""
    values = [(stage, number(get(manifest))) for stage, manifest in manifests]
    if not values:
        return NONE
    if len({value for _, value in values}) == 1:
        return values[0][1]
    return "; ".join(f"stage {stage}: {value}" for stage, value in values)


def config_diff(run: Run) -> list[tuple[str, str, str]]:
    """Key, default and value of what the configuration changes, where the slice tells."""
    diff = run.slice.get("config_diff") or {}
    return [(key, _plain(diff[key][0]), _plain(diff[key][1])) for key in sorted(diff)]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def stage_facts(record: StageRecord) -> list[tuple[str, str]]:
    """The line of facts under a stage's heading."""
    summary = record.summary or {}
    best, final = summary.get("best") or {}, summary.get("final") or {}
    rows = [("steps", count(summary.get("steps")))]
    if best.get("accuracy") is not None:
        rows.append(("best validation", f"{best['accuracy']:.3f} at step {best['step']:,}"))
    for name, words in (("accuracy", "final validation"), ("loss", "final loss")):
        rows.append((words, number(final.get(name))))
    rows.append(("refinement steps", number(final.get("ponder"), 2)))
    config = ((record.manifest or {}).get("slice") or {}).get("stage") or {}
    for name, words in (("learning_rate", "learning rate"), ("batch_size", "batch size")):
        if config.get(name) is not None:
            rows.append((words, f"{config[name]:g}"))
    if "grokfast" in config:
        # A stage asks for the filter; the switch for all stages decides too.
        enabled = ((record.manifest or {}).get("slice") or {}).get("grokfast") or {}
        on = config["grokfast"] and enabled.get("enabled", True)
        rows.append(("GrokFast", "on" if on else "off"))
    grokking = summary.get("grokking") or {}
    if grokking.get("step") is not None:
        rows.append(("grokking", f"step {grokking['step']:,}"))
    total = (summary.get("parameters") or {}).get("total")
    rows.append(("parameters", count(total)))
    return rows


def data_rows(run: Run) -> list[dict]:
    """One row for each task of each stage's data."""
    rows = []
    for record in run.stages:
        for name, task in ordered_tasks(record).items():
            splits = task.get("splits") or {}
            licences = {str(s.get("licence") or "not stated") for s in task.get("sources") or []}
            rows.append(
                {
                    "stage": record.stage,
                    "task": name,
                    "origin": data_origin(name, task),
                    "settings": _settings(record, name),
                    "metric": task.get("metric") or NONE,
                    **{
                        split: (splits.get(split) or {}).get("items")
                        for split in ("train", "validation", "test")
                    },
                    "dropped": dropped(splits),
                    "licence": ", ".join(sorted(licences)) or "generated here",
                    "leaks": _leaks(record.data, name),
                }
            )
    return rows


def _settings(record: StageRecord, task: str) -> str:
    """The generator's or reader's settings, as the stage was configured."""
    stage = ((record.manifest or {}).get("slice") or {}).get("stage") or {}
    found = (stage.get("tasks") or {}).get(task) or (stage.get("corpora") or {}).get(task) or {}
    params = found.get("params") or {}
    said = [f"{name.replace('_', ' ')} {plain(params[name])}" for name in sorted(params)]
    return ", ".join(said) or "default"


def dropped(splits: dict) -> str:
    """Items left out or cut, by reason, over all splits."""
    said = []
    for field, verb in (("dropped", ""), ("shortened", "shortened: ")):
        total: Counter[str] = Counter()
        for split in splits.values():
            total.update(split.get(field) or {})
        said += [
            f"{verb}{reason.replace('_', ' ')} ({total[reason]:,})"
            for reason in sorted(total)
            if total[reason]
        ]
    return "; ".join(said) or "none"


def data_origin(name: str, task: dict) -> str:
    """Where a task's items come from; a generator by name where the task has another one."""
    if task.get("corpus"):
        return f"corpus {task['corpus']}"
    if task.get("sources"):
        return "files of a package"
    generator = task.get("generator")
    if not generator:
        return NONE
    return "generated" if generator == name else f"generator {generator}"


def _leaks(data: dict | None, task: str) -> str:
    """Leaks that name the task, or all of the stage's where none names any."""
    leaks = (data or {}).get("leaks") or {}
    own = {name: count for name, count in leaks.items() if name.startswith(f"{task}:")}
    counts = [count for count in (own or leaks).values() if isinstance(count, int)]
    return str(sum(counts)) if counts else NONE


def ordered_tasks(record: StageRecord) -> dict[str, dict]:
    """The tasks of a stage's data, in the order in which the stage takes them."""
    tasks = (record.data or {}).get("tasks") or {}
    order = [name for name in (record.data or {}).get("order") or [] if name in tasks]
    return {name: tasks[name] for name in dict.fromkeys([*order, *tasks])}


def source_rows(run: Run) -> list[dict]:
    """Every source file once, with the stages and tasks that read it."""
    rows: dict[tuple[str, str], dict] = {}
    for record in run.stages:
        for task, content in ordered_tasks(record).items():
            for source in content.get("sources") or []:
                place = (str(source.get("path")), str(source.get("sha256")))
                row = rows.setdefault(place, {**source, "used": []})
                row["used"].append(f"{record.stage} {task}")
    return [rows[place] for place in sorted(rows)]
