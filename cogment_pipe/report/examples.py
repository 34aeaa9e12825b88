"""Worked examples: the first recorded items of each task, as drawings or as text.

The items are the first of the test set that the evaluation kept whole; none is picked by result.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from cogment_pipe.report import grids
from cogment_pipe.report.artifacts import StageRecord

LONGEST = 700  # characters of a text that are shown; the middle of a longer one is left out


@dataclass(frozen=True)
class Frame:
    """One drawing of a worked example."""

    caption: str
    svg: Markup
    state: str = ""  # "", "halts" or "after"


@dataclass(frozen=True)
class Example:
    """One test item with what the model made of it."""

    item: str
    correct: bool
    halted: str  # step at which the model would stop by itself
    steps: str  # step whose answer was scored
    difficulty: str
    frames: tuple[Frame, ...] = ()
    prompt: str = ""
    answer: str = ""
    gold: str = ""
    attempts: tuple[tuple[int, str], ...] = ()  # refinement step, answer; changes only
    trace: tuple[dict, ...] = ()  # memory by segment, where the evaluation recorded it


def task_examples(record: StageRecord, stage: int, task: str, most: int) -> list[Example]:
    """The first `most` examples of a task as checkpoint `record.stage` answered them."""
    rows = [row for row in record.examples if row.get("stage") == stage and row.get("task") == task]
    task_id = ((record.data or {}).get("tasks") or {}).get(task, {}).get("task_id")
    return [_example(row, task_id) for row in rows[:most]]


def _example(row: dict, task_id: int | None) -> Example:
    gold = _gold(row.get("gold"))
    common = {
        "item": str(row.get("item", "?")),
        "correct": bool(row.get("correct")),
        "halted": _number(halting_step(row)),
        "steps": _number(row.get("steps")),
        "difficulty": _number(row.get("difficulty")),
        "trace": tuple(row.get("memory") or ()),
    }
    given, prediction = row["input"], row.get("prediction")
    if grids.is_grid(given) and grids.is_grid(gold):
        kind = grids.family(str(row.get("task")), given, task_id)
        if kind != "words":
            return Example(frames=_frames(row, kind, given, gold), **common)
        prediction, gold = _asked(prediction, gold, given), _asked(gold, gold, given)
        attempts = [_asked(attempt, row_gold(row), given) for attempt in row.get("by_step") or []]
        given = grids.as_words(given)
    else:
        attempts = [_text(attempt) for attempt in row.get("by_step") or []]
    return Example(
        prompt=_middle_out(_text(given)),
        answer=_middle_out(_text(prediction)),
        gold=_middle_out(_text(gold)),
        attempts=_changes([_middle_out(attempt) for attempt in attempts]),
        **common,
    )


def halting_step(row: dict) -> int | None:
    """The step at which the halting threshold was reached; the scored one where not recorded."""
    return row.get("halted_at", row.get("steps"))


def row_gold(row: dict) -> object:
    """The solution of a prediction record, whichever way its task wrote it."""
    return _gold(row.get("gold"))


def _gold(value: object) -> object:
    if isinstance(value, dict):
        for name in ("target", "answer_text", "answers", "answer"):
            if value.get(name) is not None:
                return value[name]
    return value


def _frames(row: dict, kind: str, given: grids.Grid, gold: grids.Grid) -> tuple[Frame, ...]:
    """Input, the answer at each refinement step, and the solution."""
    where = f"{row.get('task')}, item {row.get('item')}"
    frames = [Frame("input", grids.draw(given, kind, f"Input of {where}"))]
    halted, scored = halting_step(row), row.get("steps")
    attempts = row.get("by_step") or [row.get("prediction")]
    for number, attempt in enumerate(attempts, start=1):
        if not grids.is_grid(attempt):
            continue
        wrong = grids.wrong_cells(attempt, gold)
        verdict = "other shape" if wrong is None else f"{wrong} wrong" if wrong else "all right"
        name = f"step {number}" if row.get("by_step") else "answer"
        state = ""
        if row.get("by_step"):
            after = isinstance(scored, int) and number > scored
            state = "halts" if number == halted else "after" if after else ""
        label = f"{name.capitalize()} of {where}: {verdict}"
        attempt = grids.asked_only(attempt, gold, given)
        frames.append(
            Frame(f"{name} · {verdict}", grids.draw(attempt, kind, label, given, gold), state)
        )
    solution = grids.filled(gold, given)
    frames.append(
        Frame("solution", grids.draw(solution, kind, f"Solution of {where}", given=given))
    )
    return tuple(frames)


def _asked(grid: object, gold: object, given: grids.Grid) -> str:
    """The words of the cells that the task asks for."""
    if not (grids.is_grid(grid) and grids.is_grid(gold)):
        return _text(grid)
    wanted = [
        cell
        for row, rights, unders in zip(grid, gold, given, strict=False)
        for cell, right, under in zip(row, rights, unders, strict=False)
        if right > grids.PAD and (under == grids.QUERY or right != under)
    ]
    return grids.as_words([wanted]) if wanted else grids.as_words(grid)


def _text(value: object) -> str:
    if value is None:
        return ""
    if grids.is_grid(value):
        return grids.as_words(value)
    if isinstance(value, list):
        return " / ".join(_text(part) for part in value)
    return str(value)


def _number(value: object) -> str:
    return "" if not isinstance(value, int | float) else f"{value:.3g}"


def _middle_out(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} … [{len(text) - 2 * half} characters left out] … {text[-half:]}"


def _changes(attempts: list[str]) -> tuple[tuple[int, str], ...]:
    """Steps at which the answer changed; nothing where it never did."""
    kept = [
        (number, attempt)
        for number, attempt in enumerate(attempts, start=1)
        if number == 1 or attempt != attempts[number - 2]
    ]
    return tuple(kept) if len(kept) > 1 else ()
