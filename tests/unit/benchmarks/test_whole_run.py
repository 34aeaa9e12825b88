"""A whole run's time: commands beside each other are counted once."""

from __future__ import annotations

import json

import pytest

from cogment_pipe.benchmarks import whole_run
from cogment_pipe.main_times import VARIABLE
from cogment_pipe.provenance import verify_manifest


def line(kind: str, begun: float, seconds: float) -> dict:
    return {"command": [kind, "--stage"], "begun": begun, "seconds": seconds}


@pytest.mark.parametrize(
    ("commands", "seconds"),
    [
        ([], 0.0),
        ([line("train", 10, 5), line("train", 20, 1)], 6.0),
        ([line("evaluate", 10, 5), line("evaluate", 11, 6)], 7.0),
        ([line("evaluate", 10, 9), line("evaluate", 11, 2), line("report", 18, 4)], 12.0),
    ],
)
def test_seconds_are_covered_once(commands, seconds):
    """The union of intervals, whatever their order."""
    assert whole_run.covered(commands[::-1]) == pytest.approx(seconds)


def test_the_table_adds_up(tmp_path, monkeypatch):
    """Wall clock = commands + what lies around them; the call is a user's, in an empty folder."""
    calls = []

    def run(words, folder, **extra):
        calls.append((words, sorted(folder.iterdir())))
        told = [line("data", 0, 2), line("train", 3, 80), line("evaluate", 84, 6)]
        told.append(line("evaluate", 85, 6))
        with open(extra[VARIABLE], "w") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in told)
        return 100.0, ""

    monkeypatch.setattr(whole_run, "run", run)
    work, out = tmp_path / "work", tmp_path / "out"
    (work / "results").mkdir(parents=True)
    slice = {"scale": "small", "seed": 3, "cores": 2}
    (row,) = whole_run.measure(tmp_path / "project", slice, "", work, out)["rows"]
    ((words, found),) = calls
    assert found == [] and words[-2:] == ["scale=small", "seed=3"]
    assert words[words.index("--cores") + 1] == "2" and "all" in words
    assert (row["training_seconds"], row["evaluation_seconds"]) == (80.0, 7.0)
    assert row["other_commands_seconds"] == 2.0
    assert (row["outside_seconds"], row["outside_share"], row["reached"]) == (11.0, 0.11, False)
    assert verify_manifest(out) == []
