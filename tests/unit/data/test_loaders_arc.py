"""ARC files: every published layout loads, every damaged one is one line."""

import json

import pytest

from cogment_pipe.data.arc_task import colour_grid
from cogment_pipe.data.loaders.arc import load_files
from cogment_pipe.errors import CogmentError


def test_every_published_layout_loads(shared_data):
    """Guards: ARC-1, ARC-2, ConceptARC and Kaggle files load with their READMEs' counts."""
    one = load_files(shared_data / "arc-agi-1")
    assert {name: len(tasks) for name, tasks in one.sets.items()} == {
        "training": 400,
        "evaluation": 198,
    }
    assert len(load_files(shared_data / "arc-agi-2").sets["evaluation"]) == 59
    assert len(load_files(shared_data / "conceptarc").sets[""]) == 48
    kaggle = load_files(shared_data / "arc-kaggle")
    assert len(kaggle.sets["evaluation"]) == 59 and not kaggle.dropped
    assert all(len(source["sha256"]) == 64 for source in kaggle.sources)


TASK = {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]], "output": [[4]]}]}


def test_single_task_and_missing_solutions(tmp_path):
    """Guards: one JSON task loads; Kaggle tests without solutions are counted drops."""
    (tmp_path / "abc.json").write_text(json.dumps(TASK))
    assert load_files(tmp_path / "abc.json").sets[""][0].id == "abc"
    folder = tmp_path / "kaggle"
    folder.mkdir()
    bare = {"x": {"train": TASK["train"], "test": [{"input": [[3]]}]}}
    (folder / "arc-agi_test_challenges.json").write_text(json.dumps(bare))
    found = load_files(folder)
    assert found.dropped == {"test_without_output": 1, "task_without_test": 1} and not found.sets
    (folder / "arc-agi_test_solutions.json").write_text(json.dumps({"x": [[[4, 4]]]}))
    assert load_files(folder).sets[""][0].test[0][1].tolist() == [[4, 4]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"train": [', r"abc\.json, line 1: not JSON"),
        ("", r"abc\.json, line 1: not JSON"),
        ("[]", "not an ARC task"),
        ('{"train": 3, "test": []}', "task abc: needs lists"),
        ('{"train": [{"input": [[1]]}], "test": []}', "train pair 1: needs `input`"),
        ('{"train": [{"input": [[11]], "output": [[1]]}], "test": []}', "row 1: colour 11"),
        ('{"train": [{"input": [[NaN]], "output": [[1]]}], "test": []}', "colour nan"),
        ('{"train": [{"input": [[1, 2], [3]], "output": [[1]]}], "test": []}', "equally long"),
        ('{"train": [{"input": [[true]], "output": [[1]]}], "test": []}', "colour True"),
        ('{"train": [{"input": [], "output": [[1]]}], "test": []}', "a grid is a list of 1 to 30"),
    ],
)
def test_malformed_files_are_one_line(tmp_path, text, message):
    """Guards: each damaged file is one line that names file, task and pair."""
    file = tmp_path / "abc.json"
    file.write_text(text)
    with pytest.raises(CogmentError, match=message) as caught:
        load_files(file)
    assert "\n" not in str(caught.value) and "abc.json" in str(caught.value)


def test_grids_above_thirty_cells_are_refused():
    """Guards: a 31x31 grid is not an ARC grid."""
    with pytest.raises(ValueError, match="x: a grid is a list of 1 to 30 rows"):
        colour_grid([[0] * 31] * 31, "x")
