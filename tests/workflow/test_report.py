"""The page and Snakemake's own report, from the artifacts of a real run."""

from __future__ import annotations

import zipfile

import pytest

PAGE = ("results/report/index.html", "-R", "report", "--allowed-rules", "report")
CAPTIONS = ("How the stage ended", "Scores of this checkpoint", "Score of every checkpoint")
WORDS = ("The whole run, one page", "Retention of every stage", "Scores on all test sets")


def poisoned(run) -> str:
    """A folder in which importing torch fails."""
    package = run.base / "poison" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('torch was imported')\n")
    return str(package.parent)


def test_the_page_needs_json_alone(run):
    """`make report`, checkpoints and weights gone, torch out of reach: the same bytes again."""
    before = run.hashes("results/report/*")
    assert len(before) == 3
    for pattern in ("results/stage*/*.pt", "results/stage*/*.safetensors"):
        for path in run.out.glob(pattern):
            path.unlink()
    (run.out / "results/report/index.html").write_text("damaged")
    done = run.snakemake(*PAGE, PYTHONPATH=poisoned(run))
    assert done.returncode == 0, done.stderr[-4000:]
    assert run.hashes("results/report/*") == before


def test_a_fresh_run_is_not_stale(finished):
    """The page's own check of recorded configurations agrees with what the stages recorded."""
    summary = (finished.out / "results/report/summary.json").read_text()
    assert "The configuration has changed" not in summary


def test_style_and_template_plan_the_report_only(run):
    """Files that no import names count as code of the page."""
    run.edit(
        "cogment_pipe/report/templates/report.css", "* { box-sizing", "/* new */\n* { box-sizing"
    )
    assert run.planned() == {"Writing the report page"}


@pytest.mark.slow
def test_snakemakes_report_has_captions_and_categories(finished, tmp_path):
    """`snakemake --report`: declared files under their categories, with captions and labels."""
    archive = tmp_path / "report.zip"
    done = finished.snakemake("all", "--report", str(archive))
    assert done.returncode == 0, done.stderr[-4000:]
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
        text = "".join(file.read(n).decode() for n in names if n.endswith("report.html"))
    assert sum(name.endswith("summary.json") for name in names) == 6
    assert all(words in text for words in (*CAPTIONS, *WORDS))
