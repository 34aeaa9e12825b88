"""`fit`: a stage's folder like any other, the same bits after a stop, and one line for mistakes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest

import cogment_pipe
from cogment_pipe import cli, fit
from cogment_pipe.atomic import sha256_file
from cogment_pipe.provenance import read_manifest, verify_manifest
from cogment_pipe.stopwatch import Stopwatch
from tests.unit import own_models

OUTPUTS = ("checkpoint.pt", "model.safetensors", "config.json", "metrics.jsonl", "summary.json")


def words(data, out, *more: str) -> list[str]:
    budget = () if "--seconds" in more else ("--steps", "6")
    return ["fit", "--data", str(data), "--out", str(out), *budget, *own_models.TINY, *more]


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "sudoku.npz"
    own_models.write_sudokus(path)
    return path


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    """(folder, what stdout said) of a run that nobody interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert cli.main(words(data, out, "--augment", "bands,relabel")) == 0
    return out, json.loads(one_line(said.getvalue()))


def test_the_folder_is_a_stages_folder(fitted):
    """All files, a manifest that verifies, a model that loads; no working files are left."""
    out, _ = fitted
    assert sorted(p.name for p in out.iterdir()) == sorted((*OUTPUTS, "fit.json", "manifest.json"))
    assert verify_manifest(out) == []
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["steps"], summary["verdict"]) == (6, "budget")
    assert read_manifest(out)["parent"] is None
    solver = cogment_pipe.load(out, device="cpu")
    assert solver.model.config.mixer == "token_mlp" and not solver.model.config.conv


def test_the_figures_are_those_of_the_whole_test_set(fitted, data):
    """exact, cells and by_step as an independent count finds them."""
    out, said = fitted
    with np.load(data) as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    by_step = cogment_pipe.load(out, device="cpu").solve(x).by_step
    right = by_step == y
    assert said["items"] == 9 and said["refinement_steps"] == 3 and said["steps"] == 6
    assert said["exact"] == pytest.approx(right[-1].all(axis=(1, 2)).mean(), rel=1e-5)
    assert said["cells"] == pytest.approx(right[-1][x == 1].mean(), rel=1e-5)
    assert said["by_step"] == pytest.approx(list(right.all(axis=(2, 3)).mean(axis=1)), rel=1e-5)
    assert said["train_seconds"] > 0 and said["puzzle"] == "sudoku"


def test_a_finished_folder_is_not_trained_again(fitted, data, capsys):
    """The same command says the same and touches nothing."""
    out, said = fitted
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    assert cli.main(words(data, out, "--augment", "bands,relabel")) == 0
    assert json.loads(one_line(capsys.readouterr().out)) == said
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before


def test_stopped_and_taken_up_again_gives_the_same_bits(
    fitted, data, tmp_path, monkeypatch, capsys
):
    """SIGTERM in the middle: exit 75; the same command ends with the bits of an unbroken run."""
    whole, _ = fitted
    out, call = tmp_path / "out", Stopwatch.__call__

    def stopping(self, step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return call(self, step)

    again = words(data, out, "--augment", "bands,relabel")
    monkeypatch.setattr(Stopwatch, "__call__", stopping)
    assert cli.main(again) == 75
    assert not (out / "checkpoint.pt").exists() and capsys.readouterr().out == ""
    monkeypatch.setattr(Stopwatch, "__call__", call)
    assert cli.main(again) == 0
    for name in (*OUTPUTS, "manifest.json"):
        assert sha256_file(out / name) == sha256_file(whole / name), name


def test_seconds_become_steps_once(data, tmp_path, monkeypatch, capsys):
    """The measured speed fixes the steps, and with them the schedule; a resume keeps the number."""
    out = tmp_path / "out"
    monkeypatch.setattr(fit, "seconds_per_step", lambda *_: 0.5)
    assert cli.main(words(data, out, "--seconds", "2")) == 0
    assert json.loads(one_line(capsys.readouterr().out))["steps"] == 4
    rates = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rates = [line["lr"] for line in rates if line["event"] == "train"]
    assert rates[-1] == pytest.approx(0.05 * 3e-3)  # the cosine's end, at the last step
    (out / "model.safetensors").unlink()
    monkeypatch.setattr(fit, "seconds_per_step", lambda *_: 99.0)
    assert cli.main(words(data, out, "--seconds", "2")) == 0
    assert json.loads(one_line(capsys.readouterr().out))["steps"] == 4
    assert verify_manifest(out) == []


def test_a_step_costs_what_it_does_in_a_run_in_miniature(monkeypatch, tmp_path):
    """First steps of 10 ms: a tenth of 20 s are 200, of a schedule of 200; of 20 ms no fewer than
    warm up; of a day what fits into the longest look."""
    timed = []

    def time_run(slice, number, data, device, steps):
        timed.append((slice, steps))
        return 0.01 if len(timed) % 2 else 0.02

    monkeypatch.setattr(fit, "_time_run", time_run)
    for seconds, steps in ((20.0, 200), (0.02, fit.FIRST), (86400.0, int(fit.LONGEST / 0.01))):
        options = SimpleNamespace(seconds=seconds, device="cpu")
        assert fit.seconds_per_step(lambda steps: steps, 0, tmp_path, options) == 0.02
        assert timed[-2:] == [(fit.UNKNOWN_STEPS, fit.FIRST), (steps, steps)]


def test_the_speed_is_measured(data, tmp_path):
    """Without a stand-in: some positive time per step, and the run takes what came of it."""
    out = tmp_path / "out"
    assert cli.main(words(data, out, "--seconds", "0.02")) == 0
    record = json.loads((out / "fit.json").read_text())
    assert record["seconds_per_step"] > 0
    assert record["steps"] == max(1, round(0.02 / record["seconds_per_step"]))


def test_mazes_are_trained_and_answered_in_the_shape_of_y(tmp_path, capsys):
    """An .npz of mazes with five symbols: trained without attention, answers like y_test."""
    arrays = own_models.write_mazes(tmp_path / "mazes.npz")
    assert set(np.unique(arrays["y_test"])) <= {1, 2, 3, 4, 5}
    out, answers = tmp_path / "out", tmp_path / "pred.npy"
    assert cli.main(words(tmp_path / "mazes.npz", out, "--augment", "dihedral")) == 0
    said = json.loads(one_line(capsys.readouterr().out))
    assert said["puzzle"] == "maze" and said["items"] == 6
    assert cogment_pipe.load(out, device="cpu").model.config.mixer == "convolution"
    data = ("--data", str(tmp_path / "mazes.npz"), "--out", str(answers))
    assert cli.main(["predict", "--model", str(out), *data]) == 0
    assert np.load(answers).shape == arrays["y_test"].shape == (6, 7, 7)


def test_sudoku_extremes_csv_is_trained_on(shared_data, tmp_path, capsys):
    """The upstream CSV as it is: 9x9, answers scored; predict solves one of its questions."""
    file = shared_data / "sudoku" / "sudoku_extreme_layout" / "test.csv"
    out = tmp_path / "out"
    call = words(file, out, "--augment", "bands,relabel")
    call[call.index("--steps") + 1] = "2"
    assert cli.main(call) == 0
    said = json.loads(one_line(capsys.readouterr().out))
    assert said["puzzle"] == "sudoku" and 0.0 <= said["cells"] <= 1.0 and said["items"] > 10
    question = file.read_text().splitlines()[1].split(",")[1]
    assert cli.main(["predict", "--model", str(out), question, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["answer"]
    assert len("".join(answer)) == 81


def test_questions_are_trained_and_answered(tmp_path, capsys):
    """JSONL: tokenizer, text stage, generated answers scored; predict reads the folder."""
    lines = [
        {"question": f"What is {i} plus {i % 3}?", "answer": str(i + i % 3)} for i in range(60)
    ]
    (tmp_path / "qa.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    more = ("--set", "vocab_size=300", "--set", "memory_hidden=8", "--set", "sequence_length=64")
    more += ("--set", "max_refinement_steps=1")
    call = words(tmp_path / "qa.jsonl", out, *more)
    call[call.index("--steps") + 1] = "2"
    assert cli.main(call) == 0
    said = json.loads(one_line(capsys.readouterr().out))
    assert said["puzzle"] == "questions" and 0.0 <= said["exact"] <= 1.0 and said["items"] > 0
    assert (out / "tokenizer.json").is_file()
    assert cli.main(["predict", "--model", str(out), "What is 1 plus 1?", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"answer", "steps", "confidence"}


def mistakes(tmp, data) -> dict[str, tuple[list[str], str]]:
    """Calls with a mistake in them, and a part of the line that says so."""
    other = tmp / "other.npz"
    with np.load(data) as arrays:
        np.savez(other, **{name: arrays[name] for name in ("x_train", "y_train", "x_test")})
    floats = tmp / "floats.npz"
    np.savez(
        floats, **dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), np.ones((9, 2, 2)))
    )
    (tmp / "full").mkdir()
    (tmp / "full" / "checkpoint.pt").write_text("mine")
    out = tmp / "out"
    return {
        "no file": (words(tmp / "none.npz", out), "no such file"),
        "no array": (words(other, out), "no array 'y_test'"),
        "not whole": (words(floats, out), "not whole numbers"),
        "another's folder": (words(data, tmp / "full"), "no fit's"),
        "unknown key": (words(data, out, "--set", "batch_sise=3"), "unknown key"),
        "bad value": (words(data, out, "--set", "batch_size=none"), "whole number"),
        "no assignment": (words(data, out, "--set", "batch_size"), "not of the form"),
        "two budgets": (words(data, out, "--set", "max_steps=5"), "--steps"),
        "shape": (words(data, out, "--shape", "3x5"), "16 cells are not 3 x 5"),
    }


NAMES = ["no file", "no array", "not whole", "another's folder", "unknown key", "bad value"]
NAMES += ["no assignment", "two budgets", "shape"]


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_one_line(name, data, tmp_path, capsys):
    """What is wrong and where, exit code 2, nothing on stdout."""
    call, part = mistakes(tmp_path, data)[name]
    assert cli.main(call) == 2
    streams = capsys.readouterr()
    line = streams.err.splitlines()[-1]
    assert line.startswith("error: ") and part in line
    assert sum(text.startswith("error") for text in streams.err.splitlines()) == 1
    assert streams.out == "" and "Traceback" not in streams.err


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--augment", "spin"], "'spin' is none of dihedral, bands, relabel"),
        (["--steps", "0"], "'0' is not a whole number from 1 on"),
        (["--threads", "x"], "'x' is not a whole number from 1 on"),
        (["--seed", "-1"], "argument --seed"),
        (["--device", "abacus"], "invalid choice: 'abacus'"),
        (["--shape", "9"], "'9' is not of the form 9x9"),
        (["--seconds", "3"], "not allowed with argument"),
        (["--mixer", "spoon"], "invalid choice: 'spoon'"),
    ],
)
def test_wrong_words_are_one_line(more, part, data, tmp_path, capsys):
    """Arguments that argparse or their types refuse."""
    call = ["fit", "--data", str(data), "--out", str(tmp_path / "o"), "--steps", "2", *more]
    with pytest.raises(SystemExit) as caught:
        cli.main(call)
    assert caught.value.code == 2
    assert part in one_line(capsys.readouterr().err)


def test_seconds_must_be_a_budget(data, tmp_path, capsys):
    """Nonsense budgets, and none at all."""
    for more in (["--seconds", "0"], ["--seconds", "nan"], []):
        with pytest.raises(SystemExit) as caught:
            cli.main(["fit", "--data", str(data), "--out", str(tmp_path / "o"), *more])
        assert caught.value.code == 2 and "--seconds" in one_line(capsys.readouterr().err)


def test_a_folder_with_other_words_is_left_alone(fitted, data, capsys):
    """Another seed needs another folder; the trained one is not touched."""
    out, _ = fitted
    before = sha256_file(out / "checkpoint.pt")
    call = words(data, out, "--augment", "bands,relabel", "--seed", "7")
    assert cli.main(call) == 2
    assert "another seed (0, now 7)" in one_line(capsys.readouterr().err)
    assert sha256_file(out / "checkpoint.pt") == before
