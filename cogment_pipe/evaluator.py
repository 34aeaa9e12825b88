"""One checkpoint on the test sets of all stages: the only reader of the test splits.

Answers come from the averaged weights, text is generated (never teacher-forced), every figure has
its bootstrap interval, and the memory and the halting are put to the proof by controls.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cogment_pipe import checkpoint as checkpoint_file
from cogment_pipe import scoring
from cogment_pipe.answers import Answering, TaskAnswers
from cogment_pipe.atomic import write_bytes, write_json
from cogment_pipe.attempts import Bought, roll_out, vote
from cogment_pipe.data.dataset import load_stage
from cogment_pipe.data.tokenizer import load_tokenizer
from cogment_pipe.determinism import set_determinism
from cogment_pipe.errors import CogmentError
from cogment_pipe.evaluation_config import EvaluationSlice
from cogment_pipe.halting_report import by_difficulty, halting_quality, rank_correlation
from cogment_pipe.memory_use import MemoryUse, by_segment, memory_use
from cogment_pipe.model.model import Cogment
from cogment_pipe.provenance import MANIFEST
from cogment_pipe.scoring import arc_cells
from cogment_pipe.scoring.bootstrap import interval
from cogment_pipe.signals import EXIT_RETRY, StopFlag
from cogment_pipe.stage_config import HomeConfig, ModelConfig
from cogment_pipe.stage_run import pick_device, pick_precision, stage_of
from cogment_pipe.stage_trainer import load_weights

log = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """What every task of an evaluation shares."""

    checkpoint: int
    slice: EvaluationSlice
    answering: Answering


class Interrupted(Exception):
    """Somebody asked to stop; an evaluation has nothing to save but time."""


def evaluate_stage(
    *,
    stage: int,
    slice: dict | str,
    checkpoint: Path,
    data: list[Path],
    out: Path,
    device: str = "auto",
) -> int:
    """Score checkpoint `stage` on the test set of each data folder; 0, or 75 when interrupted."""
    content = json.loads(slice) if isinstance(slice, str) else slice
    parsed = EvaluationSlice.model_validate(content)
    set_determinism(parsed.evaluation.threads or parsed.threads, parsed.deterministic)
    target = pick_device(device)
    model = load_model(Path(checkpoint)).to(target)
    folders = {stage_of(Path(folder)): Path(folder) for folder in data}
    text = next(
        (p for p in (f.parent / "tokenizer.json" for f in folders.values()) if p.exists()), None
    )
    tokenizer = None if text is None else load_tokenizer(text)
    results: dict[str, object] = {}
    lines: list[dict] = []
    with StopFlag() as flag:
        precision = pick_precision(parsed.precision, target)
        settings = (parsed.evaluation, parsed.seed, target, precision, tokenizer)
        evaluation = Evaluation(stage, parsed, Answering(model, *settings, lambda: _stop(flag)))
        try:
            for j, folder in sorted(folders.items()):
                results[str(j)] = evaluate_data(evaluation, j, folder, lines)
        except Interrupted:
            log.warning("stopped on request; nothing was written, run it again")
            return EXIT_RETRY
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    text_lines = "".join(
        json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n" for line in lines
    )
    write_bytes(out / "predictions.jsonl", text_lines.encode())
    top = {"checkpoint": stage, "scale": parsed.scale, "seed": parsed.seed, "stages": results}
    write_json(out / "metrics.json", top)
    return 0


def load_model(path: Path) -> Cogment:
    """The model of a checkpoint with its averaged weights."""
    tensors, meta = checkpoint_file.load(path)
    try:
        config = ModelConfig.model_validate(meta["lineage"]["slice"]["model"])
    except KeyError as error:
        raise CogmentError(f"checkpoint {path} does not say which model it is of") from error
    model = Cogment(config)
    average = {
        n.removeprefix("average/"): t for n, t in tensors.items() if n.startswith("average/")
    }
    try:
        load_weights(model, average)
    except ValueError as error:
        raise CogmentError(f"checkpoint {path}: {error}") from error
    return model.eval()


def evaluate_data(run: Evaluation, stage: int, folder: Path, lines: list[dict]) -> dict:
    """All tasks of one stage: their figures, and a line for each prediction into `lines`."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    tasks = {}
    for name, task in load_stage(folder, "test").items():
        baselines = manifest["tasks"][name].get("baselines", {})
        home = run.slice.homes[stage].for_task(name)
        tasks[name] = evaluate_task(run, stage, name, task, home, lines) | {"baselines": baselines}
        value = tasks[name]["value"]
        log.info("stage %d %s: %s %.3f", stage, name, tasks[name]["metric"], value)
    return {"score": _digits(np.mean([t["value"] for t in tasks.values()])), "tasks": tasks}


def evaluate_task(
    run: Evaluation, stage: int, name: str, task: object, home: HomeConfig, lines: list[dict]
) -> dict:
    """Figures of one task's test set.

    What goes beyond a single pass is made of the stage's own checkpoint alone; the others are
    there for the retention matrix.
    """
    settings = run.slice.evaluation
    limits = [settings.items, settings.ahead if stage > run.checkpoint else None]
    count = min([len(task), *(limit for limit in limits if limit)])
    golds = [task.gold(i) for i in range(count)]
    answers = run.answering.answer(task, home, stage, count)
    items, found = _figures(run, f"{stage}/{name}", task, answers.values, golds)
    if task.metric == "arc":
        found["metrics"] |= _rounded(
            arc_cells.compare(
                answers.values, golds, seed=run.slice.seed, resamples=settings.bootstrap
            )
        )
    own = stage == run.checkpoint
    used = (
        memory_use(run.answering, task, home, stage, count) if own and answers.segmented else None
    )
    difficulty = None if task.difficulty is None else np.asarray(task.difficulty[:count])
    found |= {
        "metric": scoring.primary(task.metric),
        "mean_steps": _digits(answers.steps.mean()),
        "by_step": _by_step(answers, task.metric, golds),
        "halting": halting_quality(answers.exact, np.asarray(items)),
        "by_difficulty": by_difficulty(difficulty, items, answers.threshold_steps),
        "controls": _controls(run, task, home, golds, answers, used) if own else {},
        "memory": None if used is None else by_segment(used.traces),
        "more_compute": _more_compute(run, stage, name, task, home, golds) if own else {},
    }
    lines += _prediction_lines(stage, name, task, answers, golds, items, settings.examples, used)
    return found


def _figures(
    run: Evaluation, purpose: str, task: object, values: list, golds: list[dict]
) -> tuple[list[float], dict]:
    """Each item's primary figure, and the primary figure of all with its interval."""
    items = [scoring.per_item(task.metric, p, g) for p, g in zip(values, golds, strict=True)]
    figures = scoring.score(task.metric, values, golds)
    low, high = interval(
        items,
        seed=run.slice.seed,
        purpose=purpose,
        resamples=run.slice.evaluation.bootstrap,
        groups=[g["task"] for g in golds] if "task" in golds[0] else None,
    )
    found = {"value": figures[scoring.primary(task.metric)], "low": low, "high": high}
    return items, _rounded(found) | {"n": len(golds), "metrics": _rounded(figures)}


def _stop(flag: StopFlag) -> None:
    if flag.requested:
        raise Interrupted


def _controls(
    run: Evaluation,
    task: object,
    home: HomeConfig,
    golds: list[dict],
    answers: TaskAnswers,
    used: MemoryUse | None,
) -> dict[str, float]:
    """The same items with a part taken away: early exits, and memory that cannot help.

    A row that leaves early has the answer of that step, which the single pass has on record.
    """
    primary = scoring.primary(task.metric)
    found: dict[str, float] = {}
    if len(answers.by_step) > 1:
        sure = answers.sure_at(run.slice.evaluation.exact_threshold)
        for halting, steps in (("threshold", answers.threshold_steps), ("exact", sure)):
            values = answers.leaving_at(steps)
            found[f"halting_{halting}"] = scoring.score(task.metric, values, golds)[primary]
            found[f"halting_{halting}_steps"] = float(steps.mean())
            if task.difficulty is not None:
                rank = rank_correlation(task.difficulty[: len(golds)], steps)
                found |= {} if rank is None else {f"halting_{halting}_difficulty": rank}
    for mode, values in {} if used is None else used.values.items():
        found[f"memory_{mode}"] = scoring.score(task.metric, values, golds)[primary]
    return _rounded(found)


def _more_compute(
    run: Evaluation, stage: int, name: str, task: object, home: HomeConfig, golds: list[dict]
) -> dict[str, dict]:
    """Votes and rollouts, where they are asked for and fit the task, beside the single pass."""
    settings = run.slice.evaluation
    count = min(len(golds), settings.more_items or len(golds))
    found = {}
    ways = {"votes": settings.votes and hasattr(task, "copies"), "rollouts": settings.rollouts > 1}
    for way, wanted in ways.items():
        if not wanted or task.kind != "grid":
            continue
        bought = (vote if way == "votes" else roll_out)(run.answering, task, home, stage, count)
        found[way] = _bought(run, f"{stage}/{name}/{way}", task, bought, golds[:count])
        log.info("stage %d %s: %s %.3f", stage, name, way, found[way]["value"])
    return found


def _bought(run: Evaluation, purpose: str, task: object, bought: Bought, golds: list[dict]) -> dict:
    _, found = _figures(run, purpose, task, bought.values, golds)
    found |= {"passes": _digits(bought.passes), "steps": _digits(bought.steps)}
    if bought.after:
        primary = scoring.primary(task.metric)
        scores = [scoring.score(task.metric, values, golds)[primary] for values in bought.after]
        found["by_passes"] = [_digits(score) for score in scores]
    if bought.share is not None:
        found["agreement"] = _digits(bought.share.mean())
    return found


def _by_step(answers: TaskAnswers, metric: str, golds: list[dict]) -> list[float]:
    """The primary figure after each refinement step; empty where only the last is known."""
    return [
        _digits(scoring.score(metric, values, golds)[scoring.primary(metric)])
        for values in answers.by_step
    ]


def _prediction_lines(
    stage: int,
    name: str,
    task: object,
    answers: TaskAnswers,
    golds: list[dict],
    items: list[float],
    examples: int,
    used: MemoryUse | None,
) -> list[dict]:
    lines = []
    for i, gold in enumerate(golds):
        line = {
            "stage": stage,
            "task": name,
            "item": i,
            "gold": gold.get("target", gold.get("answers")),
            "prediction": answers.values[i],
            "correct": bool(items[i] >= 1.0),
            "steps": int(answers.steps[i]),
            "difficulty": None if task.difficulty is None else _digits(task.difficulty[i]),
        }
        if i < examples:
            line["input"] = gold.get("input", gold.get("question"))
            line["by_step"] = [values[i] for values in answers.by_step]
            line["halted_at"] = int(answers.threshold_steps[i])
            if used is not None:
                line["memory"] = used.traces[i]
        lines.append(line)
    return lines


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {key: _digits(value) for key, value in sorted(figures.items())}


def _digits(value: float) -> float:
    """Six significant digits: what a reader needs, and no noise of the last bit."""
    return float(f"{float(value):.6g}")
