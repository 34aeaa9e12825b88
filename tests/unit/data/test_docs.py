"""docs/data.md says what the data are. Run: pytest tests/unit/data/test_docs.py"""

import json
import re

import pytest

from cogment_pipe.config import load_config
from cogment_pipe.data.prepare import prepare_stage
from cogment_pipe.slices import data_slice

ROW = re.compile(r"^\| (\d) \| ([^|]+) \|[^|]*\| ([\d /]+)(?: each)? \|", re.M)


@pytest.fixture(scope="module")
def page(project):
    return (project / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def arc(project, tmp_path_factory):
    """Manifest of real ARC tasks as `small` prepares them; generated tasks are left out."""
    slice = json.loads(data_slice(load_config(project, project, {"scale": "small"}), 1))
    slice["stage"]["tasks"] = {"arc": slice["stage"]["tasks"]["arc"]}
    out = tmp_path_factory.mktemp("arc")
    prepare_stage(1, slice, out)
    return json.loads((out / "manifest.json").read_text())["tasks"]["arc"]


def test_sizes_are_those_that_are_made(project, page, arc):
    """Promise: the table of built-in tasks names every task of `small` with the items it has:
    generated tasks have those that are configured (else preparing fails), ARC what fits."""
    told = {}
    for stage, names, counts in ROW.findall(page):
        for name in re.findall(r"`(\w+)`", names):
            told[int(stage), name] = tuple(map(int, counts.split("/")))
    made = {}
    for k, stage in load_config(project, project, {"scale": "small"}).stages.items():
        for name, task in stage.tasks.items():
            made[int(k), name] = (task.train, task.validation, task.test)
    splits = arc["splits"]
    made[1, "arc"] = tuple(splits[s]["items"] for s in ("train", "validation", "test"))
    assert told == made


def test_augmentations_of_arc_are_counted(page, arc):
    """Promise: the fewest different augmentations of a training task are those of the manifest."""
    fewest, median = (arc["distinct_augmentations"]["train"][key] for key in ("min", "median"))
    assert f"({fewest} at least here)" in page and median == 300


def test_there_is_a_picture_of_every_stage(project, page):
    """Promise: each stage has a picture, and the page shows it."""
    for stage in range(5):
        name = f"figures/data-stage{stage}.png"
        assert f"]({name})" in page
        assert (project / "docs" / name).read_bytes()[1:4] == b"PNG"


def test_speeds_are_those_of_the_benchmark(project, page):
    """Promise: the table of speeds is the evidence file's, and each is above what is asked for."""
    found = json.loads((project / "docs/evidence/data-throughput.json").read_text())
    for name, least in (("sudoku_4x4", 2000), ("sudoku_9x9", 100), ("maze_15x15", 500)):
        assert found["rates"][name]["value"] >= found["rates"][name]["at_least"] == least
    assert found["rates"]["arc_grids"]["value"] >= found["rates"]["arc_grids"]["at_least"] == 5000
    for rate in found["rates"].values():
        assert f"| {rate['value']:,.0f} | {rate['at_least']:,} |" in page
    batches = found["batches"]
    assert sorted(batches) == list("01234")
    assert all(b["at_least"] == 10 and b["value"] >= 10 for b in batches.values())
    listed = [f"{batches[k]['value']:.0f}" for k in "01234"]
    assert f"{', '.join(listed[:4])} and {listed[4]}" in " ".join(page.split())
