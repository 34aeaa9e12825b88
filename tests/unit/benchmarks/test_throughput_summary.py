"""The table of the benchmark of speed: what it claims follows from its parts, plainly said."""

from __future__ import annotations

import json

import pytest

from cogment_pipe.benchmarks.throughput.summary import read_part, summarise, write_summary
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import verify_manifest
from cogment_pipe.report.evidence import collect_benchmark, table
from cogment_pipe.report.extras import extra_sections


def arm(seconds=2.0, share=0.7, peak=1000):
    return {
        "step_seconds": seconds,
        "runs": [seconds, 1.5 * seconds],
        "warmup_seconds": 3.0,
        "samples_per_second": 1.0,
        "refinement_steps_per_second": 8.0,
        "operations_per_second": 70_000_000_000,
        "share": share,
        "share_counted": share,
        "peak_mib": peak,
    }


def cell(stage=2, **changes):
    trained = "checkpointing" if stage == 4 else "plain"
    return {
        "kind": "cell",
        "scale": "full",
        "stage": stage,
        "name": "STAGE",
        "shape": {"rows": 6},
        "own_rows": 6,
        "trained_with": trained,
        "threads": 2,
        "cores": 2,
        "others": 0.01,
        "repeats": 5,
        "environment": {"device": "cpu"},
        "first_step_seconds": 4.0,
        "first_step_done_after_seconds": 9.0,
        "counted": 140_000_000_000,
        "operations": 140_000_000_000,
        "kernels": 1000,
        "host_reads": 6,
        "saved_bytes": 1_000_000_000,
        "update_bytes": 1_000_000_000,
        "parameters": 21_000_000,
        "products": {"fp32": 100_000_000_000, "bf16": 200_000_000_000},
        "bandwidth": 10_000_000_000,
        "arms": {"bf16": {"error": "RuntimeError: a | b"}, "checkpointing": arm(), "plain": arm()},
        "profile": {"matrix products": 0.7, "the rest": 0.3},
    } | changes


def point(steps, earlier=1, checkpointing=False, seconds=1.0, mib=100):
    return {
        "steps": steps,
        "earlier": earlier,
        "checkpointing": checkpointing,
        "step_seconds": seconds,
        "cost": 80.0 * seconds,
        "step_mib": mib,
        "peak_mib": mib + 500,
    }


def sweep(bent=0.0):
    return {
        "kind": "sweep",
        "scale": "full",
        "stage": 4,
        "rows": 1,
        "length": 512,
        "repeats": 5,
        "others": 0.0,
        "refinement": [point(n, seconds=n + bent * (n == 2)) for n in (1, 2, 4)]
        + [point(n, checkpointing=True, seconds=1.3 * n) for n in (1, 2, 4)],
        "segments": [point(1, n, True, seconds=1.0 + n) for n in (0, 1, 2)],
    }


def start(dry_run=1.5):
    def call(seconds, **more):
        return {"seconds": seconds, "runs": [seconds], "imports_torch": False, **more}

    return {
        "kind": "start",
        "cores": 2,
        "start": {
            "dry_run": call(dry_run, at_most=3.0, reached=dry_run < 3.0),
            "help": call(0.2, at_most=0.3, reached=True),
            "import": call(0.05),
            "interpreter": call(0.02),
        },
        "pipeline": {
            "scale": "tiny",
            "stages": 2,
            "jobs": 8,
            "commands_of_small": 22,
            "wall_seconds": 20.0,
            "inside_seconds": 12.0,
            "outside_seconds": 8.0,
            "outside_runs": [8.0],
            "outside_seconds_per_job": 1.0,
            "idle_share": 0.4,
        },
    }


def claims(*parts):
    return {c["claim"]: c["holds"] for c in summarise(list(parts))["claims"]}


def test_claims_follow_from_the_figures():
    """What holds holds, and what falls short says so."""
    good = claims(cell(), cell(4), sweep(), start())
    assert len(good) == 7 and all(good.values())
    short = {"plain": arm(share=0.59), "checkpointing": arm(peak=6145)}
    bad = claims(cell(arms=short), cell(4, arms=short), sweep(bent=1.0), start(dry_run=3.1))
    failed = sorted(claim[:10] for claim, holds in bad.items() if not holds)
    assert failed == ["MiB at mos", "seconds of", "share of t", "worst dist"]


def test_floors_by_hand():
    """140 GFLOP at 100 a second; 3 GB at 10 a second; a thousand kernels of 5 us on the H100."""
    (floor,) = summarise([cell(), sweep(), start()])["floors"]
    assert floor["arithmetic_seconds"] == 1.4 and floor["bytes_seconds"] == 0.3
    assert floor["h100_predicted_seconds"] == floor["h100_kernels_seconds"] == 0.005


def test_an_arm_without_figures_is_in_every_table():
    """An arm that did not run is a row with its reason, in Markdown too."""
    made = summarise([cell(), sweep(), start()])
    rows = {row["arm"]: row for row in made["rows"]}
    assert list(rows) == ["plain", "checkpointing", "bf16"]
    assert rows["bf16"]["error"] == "RuntimeError: a | b"
    lines = [line for line in table(made).splitlines() if "did not run" in line]
    assert len(lines) == 1 and "RuntimeError: a / b" in lines[0]


def test_a_busy_machine_is_said():
    """Figures that were taken beside other work say so above everything."""
    quiet = summarise([cell(), sweep(), start()])
    busy = summarise([cell(others=0.4), sweep(), start()])
    assert quiet["quiet"] and not busy["quiet"]
    assert table(busy).startswith("**Other work took up to 40%")


def test_folder_report_and_evidence(tmp_path):
    """The folder verifies, gives the same bytes again, is drawn in the page and is evidence."""
    paths = []
    for part in (cell(), cell(4), sweep(), start()):
        paths.append(tmp_path / f"{len(paths)}.jsonl")
        paths[-1].write_text(json.dumps(part))
    folder = tmp_path / "throughput"
    write_summary(paths, folder)
    names = ("table.json", "table.md", "curves.svg", "manifest.json")
    before = [(folder / name).read_bytes() for name in names]
    write_summary(paths, folder)
    assert [(folder / name).read_bytes() for name in names] == before
    assert verify_manifest(folder) == []
    evidence = collect_benchmark(folder, "command")
    assert table(evidence) + "\n" == (folder / "table.md").read_text()
    (section,) = extra_sections({"benchmarks/throughput/table.json": evidence})
    assert len(section.panels) == 4 and all("<svg" in panel.svg for panel in section.panels)


def test_parts_that_are_missing_or_damaged_are_named(tmp_path):
    """No table from half of the parts, and none from a foreign file."""
    with pytest.raises(CogmentError, match="at least one cell"):
        summarise([cell(), start()])
    path = tmp_path / "x.jsonl"
    path.write_text("{}")
    with pytest.raises(CogmentError, match="no finished part"):
        read_part(path)
