"""Tables over runs: paired differences, spreads, the largest effects."""

from __future__ import annotations

import json

import pytest

from cogment_pipe.ablations import compare, markdown, write_comparison, write_seed_scores
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import verify_manifest


def task(value: float) -> dict:
    return {"metric": "exact", "value": value, "low": value, "high": value, "n": 10}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes score files of a run with stages 0 and 1; returns their names."""
    monkeypatch.chdir(tmp_path)

    def written(run: str, *scores: float) -> list[str]:
        names = []
        for k, score in enumerate(scores):
            path = tmp_path / "results" / "runs" / run / "eval" / f"stage{k}" / "metrics.json"
            path.parent.mkdir(parents=True)
            stages = {str(j): {"score": s, "tasks": {"t": task(s)}} for j, s in enumerate(scores)}
            stages[str(k)]["score"] = score
            path.write_text(json.dumps({"stages": stages}))
            names.append(str(path.relative_to(tmp_path)))
        return names

    return written


@pytest.fixture
def slice(write) -> dict:
    base = {str(s): write(f"base-seed{s}", 0.5 + 0.1 * s, 0.4) for s in range(3)}
    better = {str(s): write(f"better-seed{s}", 0.6 + 0.1 * s, 0.4 + 0.1 * s) for s in range(3)}
    once = {"0": write("once-seed0", 0.5, 0.1)}
    names = ("base", "better", "once")
    return {
        "budget": 1 / 3,
        "scale": "tiny",
        "variants": [{"name": name, "title": name} for name in names],
        "files": {"base": base, "better": better, "once": once},
    }


def test_differences_are_paired_by_seed(slice) -> None:
    """A gain of .1 at each seed has no spread, though the scores themselves spread."""
    rows = {row["variant"]: row for row in compare(slice)["rows"]}
    assert rows["base"]["stage 0"] == "0.600 ± 0.100"
    assert rows["better"]["stage 0 difference"] == "+0.100 ± 0.000"
    assert rows["better"]["stage 1 difference"] == "+0.100 ± 0.100"
    assert "stage 0 difference" not in rows["base"]


def test_one_seed_has_no_spread(slice) -> None:
    """A variant that was only screened is compared at its own seed and claims no spread."""
    row = compare(slice)["rows"][2]
    assert (row["seeds"], row["stage 1"], row["stage 1 difference"]) == (1, "0.100", "-0.300")


def test_the_largest_effects_are_named(slice) -> None:
    """By absolute mean difference in any stage, largest first."""
    assert compare(slice)["largest_effects"] == [
        {"variant": "once", "where": "stage 1", "difference": -0.3},
        {"variant": "better", "where": "stage 0", "difference": 0.1},
    ]


def test_what_the_last_checkpoint_keeps_is_a_column(write, slice) -> None:
    """With stages after 2, the last checkpoint's score on stage 2 is compared too."""
    files = {"base": {"0": write("longer-seed0", 0.1, 0.2, 0.9, 0.3)}}
    changed = {**slice, "variants": slice["variants"][:1], "files": files}
    assert compare(changed)["scores"]["base"]["0"]["stage 2 at the end"] == 0.9


def test_the_folder_verifies_and_is_byte_stable(slice, tmp_path) -> None:
    """Table, text and manifest; the same bytes again; every variant in the text."""
    table = write_comparison(slice, tmp_path / "one")
    write_comparison(slice, tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert verify_manifest(tmp_path / "one") == []
    assert "| better: better | 3 | 0.700 ± 0.100 (+0.100 ± 0.000) |" in markdown(table)


def test_seed_scores_have_every_task(write, tmp_path) -> None:
    """Own score of each stage and its tasks' intervals, with a manifest."""
    scores = write_seed_scores(
        [tmp_path / name for name in write("seed1", 0.5, 0.4)], tmp_path / "s"
    )
    assert scores["stages"] == {"stage 0": 0.5, "stage 1": 0.4}
    assert scores["tasks"]["stage 1 t"]["value"] == 0.4
    assert verify_manifest(tmp_path / "s") == []


def test_seed_scores_have_votes_and_rollouts(write, tmp_path) -> None:
    """More compute stands beside the single pass with the passes it took."""
    (name,) = write("seed1", 0.5)
    content = json.loads((tmp_path / name).read_text())
    more = {"votes": {"value": 0.75, "passes": 9.0, "steps": 36.0}}
    content["stages"]["0"]["tasks"]["t"]["more_compute"] = more
    (tmp_path / name).write_text(json.dumps(content))
    scores = write_seed_scores([tmp_path / name], tmp_path / "s")
    found = scores["tasks"]["stage 0 t"]
    assert found["value"] == 0.5 and found["votes"] == 0.75 and found["votes passes"] == 9.0


def test_a_missing_score_file_is_one_line(slice) -> None:
    """Its name, and what to do."""
    slice["files"]["once"]["0"][0] = "results/nowhere.json"
    with pytest.raises(CogmentError, match=r"results/nowhere.json: no scores .* evaluate it again"):
        compare(slice)
