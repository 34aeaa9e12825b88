"""Evaluation as a whole: the same bytes twice, whatever the batch size, and what it records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cogment_pipe import scoring
from cogment_pipe.evaluation_config import EvaluationSlice
from cogment_pipe.evaluator import evaluate_stage
from cogment_pipe.inference import refine
from tests.unit.evaluated import TEST, Evaluated


def evaluate(evaluation: Evaluated, stage: int, out: Path, **settings: object) -> dict:
    """metrics.json of an evaluation."""
    change = {"evaluation": {**evaluation.slice["evaluation"], **settings}}
    code = evaluate_stage(
        stage=stage,
        slice=json.dumps({**evaluation.slice, **change}),
        checkpoint=evaluation.root / "checkpoint.pt",
        data=evaluation.data,
        out=out,
        device="cpu",
    )
    assert code == 0
    return json.loads((out / "metrics.json").read_text())


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def test_twice_the_same_bytes(evaluation, tmp_path):
    """Every file of an evaluation with votes, rollouts and controls, run again."""
    for name in ("one", "two"):
        for stage in (1, 4):
            evaluate(evaluation, stage, tmp_path / name / str(stage), votes=3, rollouts=2)
    for stage in (1, 4):
        for file in ("metrics.json", "predictions.jsonl"):
            one, two = (tmp_path / name / str(stage) / file for name in ("one", "two"))
            assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(("asked", "used"), [(None, 2), (1, 1)])
def test_an_evaluation_has_threads_of_its_own(evaluation, tmp_path, asked, used):
    """Part of what fixes the bits; where none are given, those of the scale."""
    before = torch.get_num_threads()
    wide = replace(evaluation, slice={**evaluation.slice, "threads": 2})
    try:
        evaluate(wide, 0, tmp_path, threads=asked)
        assert torch.get_num_threads() == used
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("stage", [1, 2, 4])
def test_predictions_are_the_same_at_batch_1_and_32(evaluation, stage):
    """fp32: equal answers after every refinement step; the model's confidence to 1e-5."""
    small, large = (
        evaluation.answering(batch_size=size).answer(
            evaluation.task(stage), evaluation.home(stage), stage, TEST
        )
        for size in (1, 32)
    )
    assert small.values == large.values and small.by_step == large.by_step
    assert len({str(value) for value in small.values}) > 1  # else equality would show little
    assert np.array_equal(small.steps, large.steps)
    assert np.array_equal(small.threshold_steps, large.threshold_steps)
    np.testing.assert_allclose(small.exact, large.exact, atol=1e-5)


@pytest.mark.parametrize("stage", [1, 4])
def test_a_whole_evaluation_does_not_depend_on_the_batch_size(evaluation, tmp_path, stage):
    """Scores, votes, rollouts and memory controls at batch 1 and 32; real numbers to 1e-4."""
    found = [
        evaluate(evaluation, stage, tmp_path / str(n), batch_size=n, votes=2, rollouts=2)["stages"]
        for n in (1, 32)
    ]
    assert found[0].keys() == found[1].keys() == {"1", "2", "4"}
    assert flat(found[0]).keys() == flat(found[1]).keys()
    for key, value in flat(found[0]).items():
        close = pytest.approx(value, abs=1e-4, rel=1e-3) if isinstance(value, float) else value
        assert flat(found[1])[key] == close, key
    a, b = lines(tmp_path / "1"), lines(tmp_path / "32")
    assert [row["prediction"] for row in a] == [row["prediction"] for row in b]


def flat(value: object, path: str = "") -> dict[str, object]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for name, one in items for k, v in flat(one, f"{path}/{name}").items()}
    return {path: value}


def test_early_exits_have_the_answer_of_their_step(evaluation):
    """`leaving_at` on the full pass is what `refine` says when rows really leave."""
    run, task, home = evaluation.answering(), evaluation.task(2), evaluation.home(2)
    full = run.answer(task, home, 2, TEST)
    threshold = float(np.median(full.exact_by_step[0]))
    for halting, steps in (("threshold", full.threshold_steps), ("exact", full.sure_at(threshold))):
        with torch.no_grad():
            feed = run.feed(task, 2, np.arange(TEST))
            left = refine(run.model, feed, home, halting=halting, exact_threshold=threshold)
        assert left.steps.tolist() == steps.tolist()
        assert left.prediction.view(-1, *feed.grid).tolist() == full.leaving_at(steps)
        assert halting == "threshold" or len(set(steps.tolist())) > 1


def test_more_compute_is_of_the_own_stage_and_beside_the_single_pass(evaluation, tmp_path):
    """Off by default; on, the single pass keeps its figures and each way says what it costs."""
    plain = evaluate(evaluation, 1, tmp_path / "off")["stages"]
    assert all(task["more_compute"] == {} for s in plain.values() for task in s["tasks"].values())
    asked = {"votes": 4, "rollouts": 3, "more_items": 6}
    found = evaluate(evaluation, 1, tmp_path / "on", **asked)["stages"]
    assert found["2"]["tasks"]["sudoku"]["more_compute"] == {}
    task = found["1"]["tasks"]["arc"]
    more = task.pop("more_compute")
    assert plain["1"]["tasks"]["arc"] == {**task, "more_compute": {}}
    assert more.keys() == {"votes", "rollouts"}
    votes, rollouts = more["votes"], more["rollouts"]
    assert votes["n"] == rollouts["n"] == 6
    depth = evaluation.home(1).max_refinement_steps
    assert 1 < votes["passes"] <= 5 and votes["steps"] == pytest.approx(depth * votes["passes"])
    assert rollouts["passes"] == 3 and rollouts["steps"] == 3 * depth
    assert len(rollouts["by_passes"]) == 3 and rollouts["by_passes"][-1] == rollouts["value"]
    assert {"task", "input", "input_first_attempt"} == votes["metrics"].keys()
    assert 0 < votes["agreement"] <= 1


def test_it_records_what_the_memory_did(evaluation, tmp_path):
    """Stage 4's own checkpoint: controls, use by segment, and by document for the examples."""
    found = evaluate(evaluation, 4, tmp_path)["stages"]
    assert found["1"]["tasks"]["arc"]["memory"] is None
    task = found["4"]["tasks"]["recall"]
    assert {f"memory_{mode}" for mode in ("zeroed", "swapped", "unwritten")} <= task[
        "controls"
    ].keys()
    segments = task["memory"]["segments"]
    assert [row["segment"] for row in segments] == [1, 2, 3]
    assert all(row["documents"] == TEST for row in segments)
    assert sum(row["read_share"] for row in segments) == pytest.approx(1.0, abs=1e-3)
    assert all(0 < row["gate"] < 1 and row["change"] > 0 for row in segments)
    rows = [row for row in lines(tmp_path) if row["stage"] == 4]
    assert [len(row["memory"]) for row in rows[:2]] == [3, 3] and "memory" not in rows[2]
    other = evaluate(evaluation, 1, tmp_path / "other")["stages"]["4"]["tasks"]["recall"]
    assert other["memory"] is None and other["controls"] == {}


def test_figures_are_those_of_the_predictions_on_disk(evaluation, tmp_path):
    """A reader who scores predictions.jsonl comes to the published value, item by item."""
    found = evaluate(evaluation, 2, tmp_path)
    rows = [row for row in lines(tmp_path) if row["stage"] == 2]
    task = evaluation.task(2)
    golds = [task.gold(row["item"]) for row in rows]
    assert [row["gold"] for row in rows] == [gold["target"] for gold in golds]
    said = [row["prediction"] for row in rows]
    value = found["stages"]["2"]["tasks"]["sudoku"]["value"]
    assert value == scoring.score(task.metric, said, golds)["exact"]
    assert [row["correct"] for row in rows] == [
        scoring.per_item(task.metric, p, g) == 1.0 for p, g in zip(said, golds, strict=True)
    ]
    assert EvaluationSlice.model_validate(evaluation.slice).evaluation.votes == 0
