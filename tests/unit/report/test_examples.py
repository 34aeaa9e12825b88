"""Worked examples: the refinement is shown step by step, with the step that halted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cogment_pipe.report.artifacts import StageRecord, load_run
from cogment_pipe.report.examples import LONGEST, task_examples


def test_frames_of_a_puzzle(results: Path, report_slice: dict) -> None:
    """Input, one drawing for each refinement step, solution; exactly one step halts."""
    run = load_run(results, report_slice)
    examples = task_examples(run.stages[2], 2, "sudoku", 2)
    assert [example.item for example in examples] == ["0", "1"]
    frames = examples[0].frames
    assert len(frames) == 1 + 8 + 1
    assert [frame.state for frame in frames].count("halts") == 1
    assert frames[7].state == "halts"
    assert frames[8].state == ""  # the step that was scored, though the model had halted before
    assert (examples[0].halted, examples[0].steps) == ("7", "8")
    assert frames[8].caption == "step 8 · all right"


def test_steps_after_the_answer(results: Path, report_slice: dict) -> None:
    """Where rows stop by themselves, the steps after that are shown as not taken."""
    record = load_run(results, report_slice).stages[2]
    rows = [row | {"steps": 3, "halted_at": 3} for row in record.examples]
    example = task_examples(replace(record, examples=rows), 2, "sudoku", 1)[0]
    states = [frame.state for frame in example.frames]
    assert states == ["", "", "", "halts", *["after"] * 5, ""]


def test_listops_is_text(results: Path, report_slice: dict) -> None:
    """An expression is written as an expression, its answer as one digit."""
    run = load_run(results, report_slice)
    example = task_examples(run.stages[2], 2, "listops", 1)[0]
    assert example.prompt == "[MAX 2 9 [MIN 4 7 ] 0 ] = ?"
    assert example.gold == "9"
    assert example.frames == ()


def test_text_keeps_changes_only() -> None:
    """Refinement steps are listed where the answer changed, and long texts lose their middle."""
    row = {
        "stage": 3,
        "task": "qa",
        "item": 5,
        "gold": {"answers": ["Rome", "Roma"]},
        "prediction": "Rome",
        "correct": True,
        "steps": 4,
        "input": "x" * (LONGEST + 100),
        "by_step": ["Paris", "Paris", "Rome", "Rome"],
    }
    example = task_examples(StageRecord(3, examples=[row]), 3, "qa", 1)[0]
    assert example.attempts == ((1, "Paris"), (3, "Rome"))
    assert "[100 characters left out]" in example.prompt
    assert example.gold == "Rome / Roma"
