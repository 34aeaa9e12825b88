"""Table of the grokking benchmark: bounds of censored runs, ratios, claims, figure."""

from __future__ import annotations

import json

import pytest

from cogment_pipe.benchmark_config import GrokkingArm, GrokkingSlice, GrokkingTask, References
from cogment_pipe.benchmarks.grokking.summary import (
    _median,
    _ratio,
    bounded,
    read_run,
    summarise,
    write_summary,
)
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import verify_manifest
from cogment_pipe.report.grokking import figure_svg, markdown, panels

REFERENCES = References()


def make_run(arm: str, seed: int, reached: int | None, steps: int = 2000, **task: object) -> dict:
    """A run that reaches the threshold at `reached`, or never within `steps`."""
    part = GrokkingSlice(
        task=GrokkingTask(**task), arm=GrokkingArm(title=f"arm {arm}", max_steps=steps)
    )
    end = steps if reached is None else reached + 40
    looks = [
        {
            "event": "look",
            "step": step,
            "train_accuracy": 1.0,
            "train_loss": 0.1,
            "validation_accuracy": 0.96 if reached is not None and step >= reached else 0.3,
            "validation_loss": 1.0,
        }
        for step in range(20, end + 1, 20)
    ]
    head = {
        "event": "run",
        "arm": arm,
        "seed": seed,
        "slice": part.model_dump(mode="json"),
        "source": "s",
        "parameters": 422784,
        "environment": {"threads": 1},
        "versions": {"torch": "2"},
    }
    last = {
        "event": "end",
        "steps": end,
        "train_reached": 20,
        "reached": reached,
        "held": reached,
        "finite": True,
        "all_validation_accuracy": looks[-1]["validation_accuracy"],
        "all_validation_loss": 1.0,
    }
    return {"run": head, "looks": looks, "end": last, "sha256": f"{arm}{seed}"}


def three(arm: str, *reached: int | None, **more: object) -> list[dict]:
    return [make_run(arm, seed, step, **more) for seed, step in enumerate(reached)]


RUNS = [
    *three("A", None, None, None),
    *three("B", 1000, 1200, 1100),
    *three("C", 1500, None, 1650),
    *three("D", 1200, 1000, 1100),
    *three("E", None, None, None, steps=1500),
    *three("muon", 500, 600, 780),
]


def row(table: dict, arm: str) -> dict:
    return next(r for r in table["rows"] if r["arm"] == arm)


def test_a_censored_arm_is_at_least_its_steps() -> None:
    """`>=` in the steps, in the median and in each ratio above it; never a bare number."""
    table = summarise(RUNS, REFERENCES)
    a, b = row(table, "A"), row(table, "B")
    assert a["steps"] == ">= 2,000 / >= 2,000 / >= 2,000"
    assert a["median"] == ">= 2,000"
    assert b["steps"] == "1,000 / 1,200 / 1,100"
    assert b["paper_style"] == ">= 1.82"  # 2000 / 1100
    assert b["decay_matched"] == "1.50"  # 1.50, >= 1.67, 1.50: the bound is above the middle
    assert b["versus_adamw"] == "1.00"  # 1.2, .83, 1
    assert b["published_baseline"] == "36.3"
    assert a["published_baseline"] == "-"


def test_two_censored_runs_have_no_ratio() -> None:
    """A against E says nothing; E against AdamW is a bound from above."""
    table = summarise(RUNS, REFERENCES)
    assert row(table, "E")["paper_style"] == "-"
    assert row(table, "E")["versus_adamw"] == "<= 0.73"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(1, "="), (2, "="), (9, ">=")], (2, "=")),  # the censored one is beyond the middle
        ([(1, ">="), (2, "="), (9, "=")], (2, ">=")),  # it may be beyond, too
        ([(1, "="), (2, ">="), (9, ">=")], (2, ">=")),
        ([(1, "="), (2, "=")], (1.5, "=")),
        ([(1, "="), (2, ">=")], (1.5, ">=")),
        ([(1, "<="), (2, "="), (3, "=")], (2, "=")),
        ([(1, "<="), (2, ">=")], (None, "=")),
        ([], (None, "=")),
    ],
)
def test_the_median_keeps_its_bound(values, expected) -> None:
    """A median is exact only where the censored values cannot move it."""
    assert _median(values) == expected


def test_ratio_and_number_carry_bounds() -> None:
    """The helpers under the table."""
    assert _ratio((4.0, "="), (2.0, "=")) == (2.0, "=")
    assert _ratio((4.0, ">="), (2.0, "=")) == (2.0, ">=")
    assert _ratio((4.0, "="), (2.0, ">=")) == (2.0, "<=")
    assert _ratio((4.0, ">="), (2.0, ">=")) is None
    assert bounded(1234.5, ">=", 1) == ">= 1,234.5"
    assert bounded(None, "=") == "-"


def test_claims_are_held_against_the_runs() -> None:
    """Three claims with these runs; each fails where its runs say so."""
    assert [claim["holds"] for claim in summarise(RUNS, REFERENCES)["claims"]] == [True] * 3
    slow = [*RUNS[:3], *three("B", 1000, 1200, None), *three("muon", 500, 600, 800)]
    assert [c["holds"] for c in summarise(slow, REFERENCES)["claims"]] == [False, True, False]
    quick = [*three("A", 100, 100, 100), *RUNS[3:6]]
    assert summarise(quick, REFERENCES)["claims"][1]["holds"] is False


def test_a_claim_without_runs_is_open() -> None:
    """An arm that was not run neither holds nor breaks a claim."""
    claims = summarise(three("muon", 500, 600, 780), REFERENCES)["claims"]
    assert [(c["holds"], c["measured"]) for c in claims[:2]] == [(None, "not run")] * 2
    assert claims[2]["holds"] is True


def test_runs_that_do_not_belong_together_are_refused() -> None:
    """Another task or missing seeds: one line, no table."""
    with pytest.raises(CogmentError, match="differ in their task"):
        summarise([*RUNS, make_run("x", 0, 100, modulus=13)], REFERENCES)
    with pytest.raises(CogmentError, match=r"arm x has seeds \[0\]"):
        summarise([*RUNS, make_run("x", 0, 100)], REFERENCES)
    with pytest.raises(CogmentError, match="no runs"):
        summarise([], REFERENCES)


def test_another_task_is_not_compared_with_the_published_one() -> None:
    """The published baseline's column belongs to the published task alone."""
    table = summarise(three("B", 100, modulus=13), REFERENCES)
    assert "published_baseline" not in table["rows"][0]
    assert "39,890" not in markdown(table)


def test_a_damaged_run_is_refused(tmp_path) -> None:
    """A file without its last line is no finished run."""
    path = tmp_path / "A-seed0.jsonl"
    path.write_text(json.dumps(make_run("A", 0, 100)["run"]) + "\n")
    with pytest.raises(CogmentError, match="no finished run"):
        read_run(path)


def test_the_folder_is_byte_stable_and_verifies(tmp_path) -> None:
    """Twice the same files, all of them in the manifest; table and figure name all arms."""
    paths = []
    for run in RUNS:
        paths.append(tmp_path / f"{run['run']['arm']}-seed{run['run']['seed']}.jsonl")
        records = [run["run"], *run["looks"], run["end"]]
        paths[-1].write_text("".join(json.dumps(record) + "\n" for record in records))
    slice = {"references": REFERENCES.model_dump()}
    for name in ("one", "two"):
        table = write_summary(paths, slice, tmp_path / name)
        assert verify_manifest(tmp_path / name) == []
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    svg = figure_svg(table)
    assert all(f"{arm}: " in svg for arm in ("A", "B", "C", "D", "E", "muon"))
    assert "#0000" not in svg  # every colour of the page is replaced by a printed one
    assert (tmp_path / "one" / "table.md").read_text().count("\n") == 8
    assert [panel.title for panel in panels(table, "g")] == ["A", "B", "C", "D", "E", "muon"]
