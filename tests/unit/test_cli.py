"""The command line: wrong words are one line and exit code 2; help is quick and has examples."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cogment_pipe import cli, recovery_commands
from cogment_pipe.config import load_config
from cogment_pipe.errors import CogmentError
from cogment_pipe.slices import stage_slice

COMMANDS = [
    ("data", "split"),
    ("data", "tokenizer"),
    ("data", "prepare"),
    ("data", "check"),
    ("train",),
    ("evaluate",),
    ("report",),
    ("verify",),
    ("why",),
    ("restore",),
    ("fit",),
    ("predict",),
]


def one_line(text: str) -> str:
    """The only line of `text`."""
    (line,) = text.splitlines()
    return line


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_has_help_with_an_example(capsys, words):
    """--help of each sub-command ends well and shows a whole command."""
    with pytest.raises(SystemExit) as caught:
        cli.main([*words, "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert f"python -m cogment_pipe {' '.join(words)}" in said.split("example")[1]


def test_help_documents_the_exit_codes(capsys):
    """0, 1, 2 and 75 are explained where a user looks."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = capsys.readouterr().out
    for code in ("0 ", "1 ", "2 ", "75 "):
        assert f"\n  {code}" in said


WRONG = [
    (["nonsense"], "invalid choice: 'nonsense'"),
    ([], "the following arguments are required: COMMAND"),
    (["train", "--stage", "7"], "argument --stage: invalid choice: 7"),
    (["train", "--stage", "0"], "the following arguments are required: --slice"),
    (["data", "prepare", "--stage", "0", "--slice", "{", "--out", "x"], "--slice: not JSON"),
    (["data", "prepare", "--stage", "0", "--slice", "[]", "--out", "x"], "expected a JSON object"),
    (["restore", "9"], "invalid choice: 9"),
]


@pytest.mark.parametrize(("words", "part"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_words_are_one_line(capsys, words, part):
    """A wrong argument is one line on stderr that says where help is; exit code 2."""
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    streams = capsys.readouterr()
    line = one_line(streams.err)
    assert line.startswith("error: ") and part in line and "--help" in line
    assert streams.out == ""


def test_a_problem_of_the_user_is_one_line_and_in_the_log(capsys, tmp_path, monkeypatch):
    """CogmentError: `error: text` on stderr and in --log, exit code 2, no traceback."""

    def fail(arguments):
        raise CogmentError("corpus x is missing")

    monkeypatch.setattr(recovery_commands, "verify", fail)
    log = tmp_path / "deep" / "verify.log"
    assert cli.main(["verify", "--log", str(log)]) == 2
    assert capsys.readouterr().err == "error: corpus x is missing\n"
    assert log.read_text() == "error: corpus x is missing\n"


def test_interrupted_while_it_starts_is_one_line(capsys, monkeypatch):
    """Ctrl-C before the trainer's own handler is in place: no traceback, and try again."""

    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(recovery_commands, "verify", interrupted)
    assert cli.main(["verify"]) == 75
    assert capsys.readouterr().err == "interrupted\n"


def test_a_slice_that_does_not_fit_is_one_line(capsys, project, tmp_path):
    """A slice by hand with a wrong key is named like a wrong key of config.yaml."""
    config = load_config(project, project, {"scale": "tiny"})
    content = json.loads(stage_slice(config, 0))
    content["stage"]["learnig_rate"] = 1
    words = ["--source", "x", "--data", str(tmp_path), "--out", str(tmp_path / "o")]
    words += ["--snapshots", str(tmp_path / "s"), "--slice", json.dumps(content)]
    assert cli.main(["train", "--stage", "0", *words]) == 2
    line = one_line(capsys.readouterr().err)
    assert line == "error: --slice: stage.learnig_rate: unknown key; did you mean learning_rate?"


def test_missing_files_are_one_line(capsys, project, tmp_path):
    """Training without data, verifying no folder: what is missing, exit code 2."""
    config = load_config(project, project, {"scale": "tiny"})
    words = ["--source", "x", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "o")]
    words += ["--snapshots", str(tmp_path / "s"), "--slice", stage_slice(config, 0)]
    assert cli.main(["train", "--stage", "0", *words]) == 2
    assert "none" in one_line(capsys.readouterr().err)
    assert cli.main(["verify", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such folder" in one_line(capsys.readouterr().err)


def test_restore_without_an_old_stage_changes_nothing(capsys, tmp_path, monkeypatch, project):
    """Nothing kept, nothing moved."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["restore", "3", "--scale", "tiny"]) == 2
    assert "nothing to put back for stage 3" in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_why_says_what_is_not_there(capsys, tmp_path, monkeypatch):
    """Before the first run every stage is stale, for the plainest of reasons."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["why", "--scale", "tiny"]) == 1
    said = capsys.readouterr().out
    assert said.count("not trained yet") == 5


def test_a_closed_pipe_is_no_error(project, tmp_path):
    """`verify | head` ends quietly."""
    command = f"{sys.executable} -m cogment_pipe verify {tmp_path} | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=project, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
