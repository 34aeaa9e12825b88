"""Guards honest numbers over seeds: every run's figure stands in the table, and the worst."""

import json

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.report import seed_table
from cogment_pipe.report.evidence import BEGIN, END, write_table


def run(seed: int, value: float, scale: str = "small") -> dict:
    """What `evidence.collect` keeps, as far as the table reads it."""
    task = {"metric": "exact", "value": value, "n": 300, "also": {}, "controls": {}}
    arc = {**task, "also": {"cells_gain": value / 2, "cells_gain_low": value / 4}}
    recall = {**task, "controls": {"memory_zeroed": value / 10}}
    own = {"1": {"arc": arc}, "2": {"maze": task}, "4": {"recall": recall}}
    seconds = {"1": 10.0, "2": 20.0}
    return {
        "scale": scale,
        "seed": seed,
        "own_test": own,
        "kept": {"2": value / 2},
        "seconds": seconds,
    }


def test_every_seed_stands_beside_the_worst():
    """Guards: no run is left out, in the order of the seeds; of a control the most is the worst."""
    lines = seed_table.markdown([run(2, 0.8), run(0, 0.4), run(1, 0.6)]).splitlines()
    assert lines[0] == "| stage | task | metric | seed 0 / 1 / 2 | worst | items |"
    assert "| 2 | maze | exact | 0.400 / 0.600 / 0.800 | 0.400 | 300 |" in lines
    low = next(line for line in lines if "lower 95% bound" in line)
    assert "0.100 / 0.150 / 0.200 | 0.100" in low
    assert "0.040 / 0.060 / 0.080 | 0.080" in next(line for line in lines if "read as zero" in line)
    assert "0.200 / 0.300 / 0.400" in next(line for line in lines if "last checkpoint" in line)
    assert "30 / 30 / 30" in lines[-1]


def test_one_run_has_a_table_too():
    """Guards: a user with one seed gets the same table."""
    assert "| 2 | maze | exact | 0.500 | 0.500 | 300 |" in seed_table.markdown([run(0, 0.5)])


@pytest.mark.parametrize("runs", [[run(0, 0.5), run(0, 0.6)], [run(0, 0.5), run(1, 0.6, "full")]])
def test_runs_that_do_not_belong_together_are_refused(runs):
    """Guards: two files of one seed, or of two scales, never share a table."""
    with pytest.raises(CogmentError, match="one scale and different seeds"):
        seed_table.name(runs)


def test_the_table_goes_between_the_marks_of_the_scale(tmp_path):
    """Guards: the command of README puts all seeds between one pair of marks."""
    readme = tmp_path / "README.md"
    readme.write_text(f"a\n{BEGIN.format(name='small')}\nold\n{END}\nb\n")
    files = [tmp_path / f"small-seed{seed}.json" for seed in (0, 1)]
    for seed, file in enumerate(files):
        file.write_text(json.dumps(run(seed, 0.5)))
    write_table(files, readme)
    text = readme.read_text()
    assert "old" not in text and "seed 0 / 1" in text and text.endswith(f"{END}\nb\n")
