"""Finding corpora: what is missing is said with where to get it."""

from __future__ import annotations

from cogment_pipe.corpora import CorpusSource, absolute, files, problem


def test_a_corpus_that_is_not_configured_says_where_to_get_it(tmp_path):
    """The line names the corpus, its source and the key to set."""
    line = problem("gsm8k", None, tmp_path)
    assert line is not None and "\n" not in line
    assert "grade-school-math" in line and "corpora.gsm8k" in line


def test_a_folder_that_is_not_there_is_a_problem(tmp_path):
    """A path that leads nowhere is named."""
    line = problem("hotpotqa", CorpusSource(path="nowhere"), tmp_path)
    assert line is not None and "nowhere does not exist" in line


def test_a_folder_without_data_files_is_a_problem(tmp_path):
    """An empty checkout (a README alone) is not a corpus."""
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "README.md").write_text("x")
    line = problem("gsm8k", CorpusSource(path="gsm8k"), tmp_path)
    assert line is not None and "no data file" in line
    (tmp_path / "gsm8k" / "train.jsonl").write_text("{}\n")
    assert problem("gsm8k", CorpusSource(path="gsm8k"), tmp_path) is None


def test_files_are_relative_where_the_path_is(tmp_path):
    """Relative spelling stays relative to the working directory, so a moved tree plans nothing."""
    project, working = tmp_path / "project", tmp_path / "out"
    (project / "corpus").mkdir(parents=True)
    (project / "corpus" / "b.jsonl").touch()
    (project / "corpus" / "a.json").touch()
    (project / "corpus" / "notes.txt").touch()
    working.mkdir()
    relative = files(CorpusSource(path="corpus"), project, working)
    assert relative == ["../project/corpus/a.json", "../project/corpus/b.jsonl"]
    spelled = str(project / "corpus")
    assert files(CorpusSource(path=spelled), project, working)[0] == f"{spelled}/a.json"
    assert files(CorpusSource(path="corpus/a.json"), project, project) == ["corpus/a.json"]


def test_jobs_get_absolute_paths(tmp_path):
    """The data modules are given absolute folders; downloads are left as they are."""
    part = {"corpora": {"a": {"path": "x"}, "b": {"url": "https://example.org"}}}
    made = absolute(part, tmp_path)
    assert made["corpora"]["a"]["path"] == str(tmp_path / "x")
    assert made["corpora"]["b"] == {"url": "https://example.org"}
    assert part["corpora"]["a"]["path"] == "x"
