"""The warnings at the top: each problem has one, a clean run has none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cogment_pipe.report.artifacts import load_run
from cogment_pipe.report.findings import findings
from cogment_pipe.report.provenance_chain import stage_chains


def warnings(results: Path, report_slice: dict) -> dict[str, list[str]]:
    """Texts by kind."""
    run = load_run(results, report_slice)
    found: dict[str, list[str]] = {}
    for item in findings(run, stage_chains(run)):
        found.setdefault(item.kind, []).append(item.text)
    return found


def change(path: Path, **values: object) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_the_fixture_has(results: Path, report_slice: dict) -> None:
    """Unmet criteria, spent budgets, skipped steps, stand-ins for corpora are all said."""
    found = warnings(results, report_slice)
    assert set(found) == {"Unmet", "Budget", "Numerics", "Stage", "Generated"}
    assert len(found["Budget"]) == 2
    assert "Stage 3" in found["Unmet"][0]
    assert "two_hop" in found["Generated"][0]
    assert "stage 1: arc_like;" in found["Generated"][0]  # real ARC is not among them


def test_stage_says_it_itself(copied: Path, report_slice: dict) -> None:
    """What the stage's own warnings tell is not told twice."""
    own = ["plateau without the criteria: accuracy 0.5, asked for 0.7"]
    change(copied / "stage3/summary.json", warnings=own)
    found = warnings(copied, report_slice)
    assert found["Unmet"] == [f"Stage 3: {own[0]}."]


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("versions", {"torch": "2.14.0"}, "library versions"),
        ("device", "cuda", "devices"),
        ("precision", "bf16", "precisions"),
        ("threads", 8, "thread counts"),
    ],
)
def test_mixed_environments(
    copied: Path, report_slice: dict, key: str, value: object, word: str
) -> None:
    """Stages trained with different versions, devices, precisions or threads are named."""
    change(copied / "stage2/manifest.json", **{key: value})
    assert f"Stages were trained with different {word}." in warnings(copied, report_slice)["Mixed"]


def test_mixed_scales(copied: Path, report_slice: dict) -> None:
    """An evaluation left over from another scale is named."""
    change(copied / "eval/stage0/metrics.json", scale="tiny")
    found = warnings(copied, report_slice)["Mixed"]
    assert found == ["Artifacts of different scales lie here: 'small', 'tiny'."]


def test_continued_run(copied: Path, report_slice: dict) -> None:
    """A run continued in another environment is not called bit-identical."""
    change(copied / "stage1/manifest.json", bit_identical=False)
    assert "not bit-identical" in warnings(copied, report_slice)["Bits"][0]


def test_below_baseline(copied: Path, report_slice: dict) -> None:
    """A score that a trivial answer reaches as well is said to be one."""
    path = copied / "eval/stage4/metrics.json"
    scores = json.loads(path.read_text())
    scores["stages"]["4"]["tasks"]["recall"]["baselines"] = {"commonest": 0.9, "first": 0.1}
    path.write_text(json.dumps(scores))
    found = warnings(copied, report_slice)["Baseline"]
    assert found == ["No better than a baseline: stage 4 recall (0.670 against 0.900, commonest)."]


def test_tiny(copied: Path, report_slice: dict) -> None:
    """Nobody is to quote the scores of the scale that only tests the machinery."""
    path = copied / "stage0/manifest.json"
    content = json.loads(path.read_text())
    content["slice"]["scale"] = "tiny"
    path.write_text(json.dumps(content))
    assert "say nothing about the model" in warnings(copied, report_slice)["Scale"][0]


def test_leak(copied: Path, report_slice: dict) -> None:
    """Test items found in training are the gravest thing the page can say."""
    change(copied / "data/stage2/manifest.json", leaks={"train_test": 4})
    assert "4 test items leak" in warnings(copied, report_slice)["Leak"][0]
