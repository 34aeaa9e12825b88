"""What an edit plans: exactly the jobs whose outputs can change."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest

TRAINING = [f"Training stage {k}" for k in range(5)]
EVALUATION = [f"Evaluating the checkpoint of stage {k} on every stage's test set" for k in range(5)]
REPORT = "Writing the report page"
LEAKS = "Comparing training and test items across tasks and stages"
RATE = "stages.3.learning_rate=2e-3"


def test_a_finished_run_has_nothing_to_do(finished):
    """The same command again does nothing, for the default target and for a stage as typed."""
    assert finished.planned() == set()
    done = finished.snakemake("results/stage4/")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_stages_ahead_are_scored_on_fewer_items(finished):
    """Every checkpoint meets every test set; of stages it has not seen `ahead` items."""
    for k in range(5):
        found = json.loads((finished.out / f"results/eval/stage{k}/metrics.json").read_text())
        for j in range(5):
            counts = {task["n"] for task in found["stages"][str(j)]["tasks"].values()}
            assert counts == ({2} if j > k else {4})


@pytest.mark.parametrize("target", ["results/stage4/", "results/stage4", "./results/stage4/"])
def test_a_stage_is_a_target_as_typed(fresh, target):
    """With or without the slash, all five stages and their data, no evaluation."""
    planned = fresh.planned(target)
    assert set(TRAINING) <= planned
    assert not planned & {*EVALUATION, REPORT}


def test_a_learning_rate_plans_its_stage_and_what_follows(run):
    """Stage 3's learning rate: stages 3 and 4, their evaluation, the report, nothing else."""
    expected = {*TRAINING[3:], *EVALUATION[3:], REPORT}
    assert run.planned(config=(f"set={RATE}",)) == expected
    head, tiny = (run.project / "config.yaml").read_text().split("\n  tiny:\n")
    before, stage = tiny.split("\n      3:\n")
    edited = stage.replace("learning_rate: 1e-3", "learning_rate: 2e-3", 1)
    (run.project / "config.yaml").write_text(f"{head}\n  tiny:\n{before}\n      3:\n{edited}")
    assert run.planned() == expected


def test_comments_and_layout_plan_nothing(run):
    """Comments, docstrings and blank lines in code and configuration."""
    run.edit("config.yaml", "seed: 0\n", "\n\n# why not\nseed:   0   # zero\n")
    for name in ("cogment_pipe/trainer.py", "cogment_pipe/report/page.py"):
        path = run.project / name
        text = re.sub(r'\A""".*?"""', '"""Another docstring."""', path.read_text(), flags=re.DOTALL)
        path.write_text(f"# a comment\n\n{text}\n\n# the end\n")
    assert run.planned() == set()


def test_report_code_plans_the_report_only(run):
    """A change of what the page's code does makes the page, and trains nothing."""
    path = run.project / "cogment_pipe" / "report" / "page.py"
    path.write_text(path.read_text() + "\n\nANOTHER_CONSTANT = 1\n")
    assert run.planned() == {REPORT}


def test_training_code_plans_the_training(run):
    """A change of what the trainer does trains all stages again, and makes no data."""
    path = run.project / "cogment_pipe" / "losses.py"
    path.write_text(path.read_text() + "\n\nANOTHER_CONSTANT = 1\n")
    assert run.planned() == {*TRAINING, *EVALUATION, REPORT}


def test_a_generator_prepares_its_own_stage_only(run):
    """A change of one task's generator leaves the data of the other stages alone."""
    path = run.project / "cogment_pipe" / "data" / "generators" / "arc_rules.py"
    path.write_text(path.read_text() + "\n\nANOTHER_CONSTANT = 1\n")
    planned = run.planned()
    assert planned == {"Preparing the data of stage 1", LEAKS, *TRAINING[1:], *EVALUATION, REPORT}


KNOBS = [
    ("runtime.snapshot_every=3", set()),
    ("runtime.log_every=1", set()),
    ("auto_unlock=false", set()),
    ("report.title=Another", {REPORT}),
    ("evaluation.bootstrap=51", {*EVALUATION, REPORT}),
]


@pytest.mark.parametrize(("assignment", "expected"), KNOBS, ids=[knob for knob, _ in KNOBS])
def test_knobs_plan_what_they_touch(finished, assignment, expected):
    """Knobs of the run plan nothing; report and evaluation keys train nothing."""
    assert finished.planned(config=(f"set={assignment}",)) == expected


def test_another_seed_plans_everything(finished):
    """Data, tokenizer, training, evaluation, report."""
    planned = finished.planned(config=("seed=1",))
    assert {*TRAINING, *EVALUATION, REPORT} < planned
    assert sum(message.startswith("Preparing") for message in planned) == 5


def test_force_and_rerun_reach_a_stage_by_its_folder(finished):
    """`-f results/stage2/` trains stage 2; `-R` also what rests on it."""
    assert finished.planned("-f", "results/stage2/") == {TRAINING[2]}
    assert finished.planned("results/stage4/", "-R", "results/stage2/") == set(TRAINING[2:])


def test_the_report_alone_is_made_whatever_is_stale(finished):
    """`make report` asks for the page only, also with a stale stage 3."""
    words = ("results/report/index.html", "-R", "report", "--allowed-rules", "report")
    assert finished.planned(*words, config=(f"set={RATE}",)) == {REPORT}


def test_copies_and_touched_files_plan_nothing(run):
    """`cp -r` gives all files new times in another order; content decides."""
    shutil.move(run.out, run.base / "old")
    shutil.copytree(run.base / "old", run.out, copy_function=shutil.copy)
    for moment, path in enumerate(sorted(run.out.glob("results/**/*"), reverse=True)):
        os.utime(path, (1_700_000_000 + moment, 1_700_000_000 + moment))
    assert run.planned() == set()


def test_stop_after_ends_early(fresh):
    """stop_after 1 plans stages 0 and 1, their evaluation and the report; no text."""
    planned = fresh.planned(config=("stop_after=1",))
    assert planned == {
        *("Preparing the data of stage 0", "Preparing the data of stage 1"),
        *TRAINING[:2],
        *EVALUATION[:2],
        LEAKS,
        REPORT,
    }


def test_planning_imports_no_torch(fresh):
    """Parsing and planning work where importing torch fails."""
    poison = fresh.base / "poison" / "torch"
    poison.mkdir(parents=True)
    (poison / "__init__.py").write_text("raise ImportError('torch was imported')\n")
    done = fresh.snakemake("-n", PYTHONPATH=str(poison.parent))
    assert done.returncode == 0, done.stderr
    assert TRAINING[4] in done.stdout + done.stderr
