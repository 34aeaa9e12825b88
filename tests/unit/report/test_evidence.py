"""Guards honest numbers: what README quotes is what an evidence file says, made from artifacts."""

import json
from pathlib import Path

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import write_manifest
from cogment_pipe.report import seed_table
from cogment_pipe.report.evidence import (
    BEGIN,
    LARGEST,
    POINTS,
    collect,
    collect_benchmark,
    place,
    table,
    write_evidence,
)

NOT_YET = "Not measured on a quiet machine yet."
PROJECT = Path(__file__).resolve().parents[3]


def test_readme_holds_the_table_of_each_evidence_file_that_it_names():
    """Guards: no table in README differs from the evidence it is made from."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    names = [p.stem for p in sorted((PROJECT / "docs" / "evidence").glob("*.json"))]
    quoted = [name for name in names if BEGIN.format(name=name) in readme]
    assert quoted, "README quotes no evidence"
    for name in quoted:
        evidence = json.loads((PROJECT / "docs" / "evidence" / f"{name}.json").read_text())
        assert place(readme, name, table(evidence)) == readme
    files = sorted((PROJECT / "docs" / "evidence").glob("small-seed*.json"))
    runs = [json.loads(file.read_text()) for file in files]
    assert place(readme, seed_table.name(runs), seed_table.markdown(runs)) == readme


def test_the_page_on_speed_holds_its_evidence():
    """Guards: docs/performance.md has the tables of its evidence file, or says that it has none."""
    page = (PROJECT / "docs" / "performance.md").read_text(encoding="utf-8")
    path = PROJECT / "docs" / "evidence" / "throughput.json"
    content = table(json.loads(path.read_text())) if path.is_file() else NOT_YET
    assert place(page, "throughput", content) == page


def test_marks_are_needed():
    """Guards: a README without marks is refused, not appended to."""
    with pytest.raises(CogmentError, match="no marks"):
        place("text", "x", "table")


def test_an_empty_folder_is_refused(tmp_path):
    """Guards: no evidence without results."""
    with pytest.raises(CogmentError, match="no finished stage"):
        collect(tmp_path, tmp_path, "command")


def make_benchmark(folder: Path, arms: int = 1, seeds: int = 1) -> Path:
    """A benchmark's folder with its manifest."""
    points = [[step, 0.123456, 0.654321] for step in range(20, 2001, 20)]
    names = [f"arm{number}" for number in range(arms)]
    ratios = dict.fromkeys(("paper_style", "decay_matched", "versus_adamw"), ">= 1.82")
    content = {
        "seeds": list(range(seeds)),
        "rows": [
            {"arm": n, "title": "t", "steps": "1,100", "median": "1,100", **ratios} for n in names
        ],
        "runs": {f"{n}-seed{s}": {"reached": 1100} for n in names for s in range(seeds)},
        "curves": {n: {str(s): points for s in range(seeds)} for n in names},
    }
    folder.mkdir(parents=True)
    (folder / "table.json").write_text(json.dumps(content))
    write_manifest(folder, {}, ["table.json"])
    return folder


def test_a_benchmark_gives_evidence_with_thinned_curves(tmp_path):
    """Guards: figures of a benchmark with its manifest's sha256, curves short, ends kept."""
    folder = make_benchmark(tmp_path / "grokking")
    evidence = collect_benchmark(folder, "command")
    points = evidence["curves"]["arm0"]["0"]
    assert len(points) <= POINTS
    assert points[0] == [20, 0.123, 0.654] and points[-1][0] == 2000
    assert len(evidence["manifest"]) == 64
    assert table(evidence).splitlines()[2] == (
        "| arm0: t | 1,100 | 1,100 | >= 1.82 | >= 1.82 | >= 1.82 |"
    )


def test_a_benchmark_without_curves_keeps_its_rows(tmp_path):
    """Guards: the generation benchmark's table goes into its evidence as it is."""
    rows = [{"rows": 1, "cached_seconds": 0.5, "ratio": 8.25}]
    folder = tmp_path / "generation"
    folder.mkdir()
    (folder / "table.json").write_text(json.dumps({"rows": rows, "reached": True}))
    write_manifest(folder, {}, ["table.json"])
    evidence = collect_benchmark(folder, "command")
    assert evidence["rows"] == rows and evidence["command"] == "command"
    assert len(evidence["manifest"]) == 64
    assert table(evidence).splitlines() == [
        "| rows | cached seconds | ratio |",
        "| --- | --- | --- |",
        "| 1 | 0.5 | 8.25 |",
    ]


def test_ablations_keep_their_own_table(tmp_path):
    """Guards: value and paired difference stand in one cell, stage by stage."""
    rows = [
        {"variant": "base", "title": "As it is", "seeds": 3, "stage 0": "0.500"},
        {"variant": "x", "title": "X", "seeds": 3, "stage 0": "0.4", "stage 0 difference": "-0.1"},
    ]
    folder = tmp_path / "ablations"
    folder.mkdir()
    found = {"rows": rows, "largest_effects": [], "scores": {}}
    (folder / "table.json").write_text(json.dumps(found))
    write_manifest(folder, {}, ["table.json"])
    assert table(collect_benchmark(folder, "command")).splitlines() == [
        "| variant | seeds | stage 0 |",
        "|---|---|---|",
        "| base: As it is | 3 | 0.500 |",
        "| x: X | 3 | 0.4 (-0.1) |",
    ]


def test_evidence_of_a_changed_benchmark_is_refused(tmp_path):
    """Guards: a table edited by hand is no evidence."""
    folder = make_benchmark(tmp_path / "grokking")
    (folder / "table.json").write_text("{}")
    with pytest.raises(CogmentError, match="its manifest says"):
        collect_benchmark(folder, "command")


def test_evidence_files_stay_small(tmp_path):
    """Guards: the size of the benchmark as configured fits, and what does not is refused."""
    small = make_benchmark(tmp_path / "small", arms=10, seeds=3)
    write_evidence(small, tmp_path, "command", tmp_path / "evidence.json")
    assert (tmp_path / "evidence.json").stat().st_size < LARGEST
    large = make_benchmark(tmp_path / "large", arms=30, seeds=3)
    with pytest.raises(CogmentError, match="bytes, more than"):
        write_evidence(large, tmp_path, "command", tmp_path / "evidence.json")
