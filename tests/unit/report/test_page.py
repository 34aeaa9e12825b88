"""The page as a whole: bytes, sections, tolerance of missing parts, safety of what it shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.report.page import build_report

SECTIONS = ("summary", "warnings", "run", "scores", "retention", "memory", "data", "provenance")
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Collects ids, links, figures and unbalanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.figures: list[dict] = []
        self.scripts = 0
        self.images = 0
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.scripts += tag == "script"
        self.images += tag == "img"
        if tag == "svg":
            self.figures.append(values)
        if tag == "a":
            self.links.append(values["href"])
        elif "href" in values or "src" in values:
            self.fetched.append(values.get("href") or values.get("src") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()


def test_same_artifacts_same_bytes(results: Path, report_slice: dict, tmp_path: Path) -> None:
    """Promise 1, exact: another process, another hash seed and another folder change no byte."""
    build_report(results, report_slice, tmp_path / "a")
    moved = shutil.copytree(results, tmp_path / "elsewhere" / "results")
    code = (
        "import json, sys; from pathlib import Path;"
        "from cogment_pipe.report.page import build_report;"
        "build_report(Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, str(moved), json.dumps(report_slice), tmp_path / "b"]
    root = Path(__file__).parents[3]
    subprocess.run(command, check=True, cwd=root, env={"PYTHONHASHSEED": "7", "PATH": ""})
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["index.html", "retention.svg", "summary.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_torch(results: Path, report_slice: dict, tmp_path: Path) -> None:
    """The report is made without torch, and without the packages that need it."""
    code = (
        "import json, sys; from pathlib import Path;"
        "from cogment_pipe.report.page import build_report;"
        "import cogment_pipe.report.card, cogment_pipe.report.inspect_text;"
        "build_report(Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3]));"
        "bad = [n for n in sys.modules if n.split('.')[0] in ('torch', 'safetensors')"
        " or n.startswith(('cogment_pipe.data', 'cogment_pipe.model', 'cogment_pipe.trainer'))];"
        "print(bad); sys.exit(bool(bad))"
    )
    command = [sys.executable, "-c", code, str(results), json.dumps(report_slice), tmp_path]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_section_and_link(page: str) -> None:
    """All contents that the design asks for are there, and every entry of the contents leads."""
    parsed = Page(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert set(SECTIONS) <= set(parsed.ids)
    assert {f"stage-{k}" for k in range(5)} <= set(parsed.ids)
    assert {"task-2-sudoku", "task-4-recall"} <= set(parsed.ids)
    assert parsed.links
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links)


def test_nothing_is_fetched(page: str) -> None:
    """The page is self-contained: no address is loaded, and its policy forbids all of them."""
    parsed = Page(page)
    assert all(link.startswith(("#", "data:")) for link in parsed.fetched)
    assert parsed.images == 0
    assert not re.search(r"(?:src|href|action)\s*=\s*[\"']?\s*(?:https?:)?//", page)
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_figures_have_words(page: str) -> None:
    """Every figure says what it shows to those who do not see it, or is marked as decoration."""
    figures = Page(page).figures
    assert len(figures) > 100
    for figure in figures:
        assert figure.get("aria-label") or figure.get("aria-hidden") == "true"


def test_figures_take_the_pages_colours(page: str) -> None:
    """Figures are readable in light and dark: no fixed sentinel colour is left in them."""
    assert "#00000" not in page.replace("fill: #000000", "")
    assert "var(--c1)" in page


def test_hostile_text_stays_text(page: str, hostile: str) -> None:
    """A prediction that is markup is shown as text and never becomes part of the page."""
    assert hostile not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert Page(page).scripts == 1
    assert "A run &lt;of&gt; Cogment" in page


def test_numbers_come_from_artifacts(copied: Path, report_slice: dict, tmp_path: Path) -> None:
    """Promise 2, honest: a score that changes in the artifact changes in page and summary."""
    path = copied / "eval/stage4/metrics.json"
    scores = json.loads(path.read_text())
    scores["stages"]["4"]["tasks"]["recall"]["value"] = 0.12345
    path.write_text(json.dumps(scores))
    build_report(copied, report_slice, tmp_path / "out")
    assert "<b>0.123</b>" in (tmp_path / "out/index.html").read_text()
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["stages"][4]["tasks"]["recall"]["value"] == 0.12345
    assert summary["retention"]["2"][2] == pytest.approx(0.81)


def test_missing_stages_are_named(copied: Path, report_slice: dict, tmp_path: Path) -> None:
    """A run of which only some stages are there gives a page that says what is missing."""
    for name in ("stage3", "stage4", "eval/stage2", "eval/stage4", "data/stage4"):
        shutil.rmtree(copied / name)
    (copied / "stage1/metrics.jsonl").unlink()
    build_report(copied, report_slice, tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert Page(page).open == []
    assert "Stage 3: not found: stage3/metrics.jsonl" in page
    assert "Stage 1: not found: stage1/metrics.jsonl" in page
    assert "through 3 of 5 curriculum stages" in page
    assert "Evaluated with checkpoint 3" in page  # stage 2's test set, without its own evaluation


def test_stage_that_is_not_asked_for(copied: Path, report_slice: dict, tmp_path: Path) -> None:
    """A run that stops after stage 1 misses nothing of stages 2 to 4."""
    build_report(copied, {**report_slice, "stages": [0, 1]}, tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert 'id="stage-1"' in page
    assert 'id="stage-2"' not in page
    assert "not found" not in page


def test_empty_folder(report_slice: dict, tmp_path: Path) -> None:
    """Before anything was trained there is a page that says so."""
    (tmp_path / "results").mkdir()
    build_report(tmp_path / "results", report_slice, tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    assert "No trained stage was found" in page
    assert Page(page).open == []


def test_no_results_folder(report_slice: dict, tmp_path: Path) -> None:
    """A wrong path is one clear line."""
    with pytest.raises(CogmentError, match="no such results folder"):
        build_report(tmp_path / "nowhere", report_slice, tmp_path / "out")


@pytest.mark.parametrize("name", ["stage2/metrics.jsonl", "eval/stage1/predictions.jsonl"])
def test_damaged_line(copied: Path, report_slice: dict, tmp_path: Path, name: str) -> None:
    """A damaged record stops the report, names file and line, and leaves the old page alone."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("the page before")
    lines = (copied / name).read_text().splitlines()
    lines[6] = lines[6][: len(lines[6]) // 2]
    (copied / name).write_text("\n".join(lines) + "\n")
    with pytest.raises(CogmentError, match=rf"{re.escape(name)}, line 7: damaged JSON"):
        build_report(copied, report_slice, out)
    assert [path.name for path in out.iterdir()] == ["index.html"]
    assert (out / "index.html").read_text() == "the page before"


def test_extras_only_where_they_are(
    copied: Path, page: str, report_slice: dict, tmp_path: Path
) -> None:
    """Ablations and benchmarks are shown where they were run, and nowhere promised else."""
    assert 'id="ablations"' not in page
    assert 'id="benchmarks"' not in page
    (copied / "ablations").mkdir()
    rows = [{"arm": "off", "steps": 400}, {"arm": "on", "steps": 812}]
    (copied / "ablations/grokfast.json").write_text(json.dumps({"rows": rows}))
    build_report(copied, {**report_slice, "stages": [0]}, tmp_path / "out")
    text = (tmp_path / "out/index.html").read_text()
    assert 'id="ablations"' in text
    assert "<td>812</td>" in text


def test_more_compute_only_where_it_was_spent(
    copied: Path, page: str, report_slice: dict, tmp_path: Path
) -> None:
    """Votes and rollouts beside the single pass, on the page and in summary.json."""
    assert "More compute" not in page
    file = copied / "eval/stage1/metrics.json"
    scores = json.loads(file.read_text())
    votes = {"value": 0.8125, "low": 0.7, "high": 0.9, "n": 64, "passes": 9.0, "steps": 36.0}
    scores["stages"]["1"]["tasks"]["arc"]["more_compute"] = {"votes": votes}
    file.write_text(json.dumps(scores))
    out = tmp_path / "out"
    build_report(copied, report_slice, out)
    text = (out / "index.html").read_text()
    assert "<h3>More compute</h3>" in text and "<td>votes</td>" in text
    assert '<td class="n">0.812</td>' in text and '<td class="n">36.0</td>' in text
    summary = json.loads((out / "summary.json").read_text())
    assert summary["stages"][1]["tasks"]["arc"]["more_compute"] == {"votes": votes}
