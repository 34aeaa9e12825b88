"""`predict`: every kind of question, every form of answer, and one line for what cannot be."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch

import cogment_pipe
from cogment_pipe import checkpoint, cli
from cogment_pipe.atomic import write_json
from cogment_pipe.data.puzzle_text import BUILT_IN, OWN
from cogment_pipe.model.model import Cogment
from cogment_pipe.puzzle_show import Picture, as_text
from cogment_pipe.stage_config import (
    GrokFastConfig,
    ModelConfig,
    MultiOptimizerConfig,
    StageConfig,
    StageSlice,
)
from tests.unit import own_models

SUDOKU = "1.3..2.4...14..."
MAZE = "#####\n#S  #\n### #\n#G  #\n#####\n"
MODEL = ModelConfig(
    d_model=16,
    n_heads=2,
    ffn_hidden=24,
    vocab_size=300,
    max_side=16,
    head_hidden=8,
    adapter_rank=2,
    memory_hidden=8,
)
ARC = {
    "train": [{"input": [[1, 0], [0, 2]], "output": [[0, 1], [2, 0]]}],
    "test": [{"input": [[3, 0], [0, 4]]}, {"input": [[5]]}],
}


def write_stage(folder, number, model=None, sizes=MODEL) -> None:
    """A stage's folder without a manifest, as a user may have copied it."""
    folder.mkdir(parents=True)
    model = model or Cogment(sizes)
    checkpoint.export_weights(
        folder / "model.safetensors", dict(model.named_parameters()), {"stage": number}
    )
    stage = StageConfig(
        name=f"S{number}",
        max_steps=4,
        batch_size=4,
        sequence_length=100,
        learning_rate=1e-3,
        max_refinement_steps=2,
        tasks={"arc": {"generator": "arc", "params": {"side": 6}}} if number == 1 else {},
    )
    content = StageSlice(
        seed=0,
        scale="tiny",
        model=sizes,
        optimizer=MultiOptimizerConfig(),
        grokfast=GrokFastConfig(),
        stage=stage,
    )
    write_json(folder / "config.json", content.model_dump(mode="json"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Stages 0 to 2 of random weights, as the pipeline leaves them."""
    root = tmp_path_factory.mktemp("run") / "results"
    torch.manual_seed(0)
    model = Cogment(MODEL)
    with torch.no_grad():
        for parameter in model.parameters():  # fresh ones leave attention and halting at zero
            parameter.normal_(std=0.3)
    for number in range(3):
        write_stage(root / f"stage{number}", number, model)
    return root


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """(folder, data file) of a tiny model that `fit` made."""
    root = tmp_path_factory.mktemp("own")
    own_models.write_sudokus(root / "s.npz")
    call = ["fit", "--data", str(root / "s.npz"), "--out", str(root / "m"), "--steps", "2"]
    assert cli.main([*call, *own_models.TINY]) == 0
    return root / "m", root / "s.npz"


def said(capsys, *words) -> str:
    capsys.readouterr()
    assert cli.main(["predict", "--device", "cpu", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_a_sudoku_by_a_model_of_the_pipeline(results, capsys):
    """The characters stand for the built-in symbols; the answer is the solver's."""
    out = said(capsys, "--model", results / "stage2", SUDOKU, "--json")
    grid = np.array([[BUILT_IN["sudoku"][c] for c in SUDOKU[i : i + 4]] for i in range(0, 16, 4)])
    found = cogment_pipe.load(results / "stage2", device="cpu").solve(grid, task="sudoku")
    names = {symbol: c for c, symbol in BUILT_IN["sudoku"].items() if c != "0"}
    rows = ["".join(names.get(int(s), "?") for s in row) for row in found.grid]
    answer = json.loads(out)
    assert answer["answer"] == rows and answer["steps"] == 2
    assert answer["confidence"] == pytest.approx(float(found.confidence), rel=1e-5)


def test_own_symbols_for_a_model_of_fit(own, capsys):
    """The same characters stand for the symbols of the user's file."""
    out = said(capsys, "--model", own[0], SUDOKU, "--json")
    grid = np.array([[OWN["sudoku"][c] for c in SUDOKU[i : i + 4]] for i in range(0, 16, 4)])
    found = cogment_pipe.load(own[0], device="cpu").solve(grid)
    names = {symbol: c for c, symbol in OWN["sudoku"].items() if c != "0"}
    rows = ["".join(names.get(int(s), "?") for s in row) for row in found.grid]
    assert json.loads(out)["answer"] == rows


def test_every_refinement_step_is_shown(own, capsys):
    """--steps: one grid a step, the last of them the answer; --refinement-steps: more of them."""
    out = said(capsys, "--model", own[0], SUDOKU, "--steps", "--refinement-steps", "5")
    assert [line for line in out.splitlines() if line.endswith(":")] == [
        f"step {number}:" for number in range(1, 6)
    ]
    shown = json.loads(
        said(capsys, "--model", own[0], SUDOKU, "--steps", "--json", "--refinement-steps", "5")
    )
    assert len(shown["by_step"]) == shown["steps"] == 5
    assert shown["by_step"][-1] == shown["answer"]
    last = [line.replace(" ", "").replace("|", "") for line in out.splitlines()[-5:]]
    assert [line for line in last if "-" not in line] == shown["answer"]


def test_a_maze_from_a_file_and_from_stdin(results, tmp_path, capsys, monkeypatch):
    """Plain output has the maze's own shape; - reads stdin."""
    (tmp_path / "maze.txt").write_text(MAZE)
    out = said(capsys, "--model", results / "stage2", tmp_path / "maze.txt")
    assert [len(line) for line in out.splitlines()] == [5] * 5
    monkeypatch.setattr("sys.stdin", io.StringIO(MAZE))
    assert said(capsys, "--model", results / "stage2", "-") == out


def test_an_arc_task(results, tmp_path, capsys):
    """One answer for each test input, whose outputs nobody needs to know; drawn, too."""
    (tmp_path / "task.json").write_text(json.dumps(ARC))
    out = said(capsys, "--model", results / "stage2", tmp_path / "task.json", "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == 2 and all(isinstance(a["answer"], list) for a in answers)


def test_a_png_is_drawn_and_the_same_again(own, tmp_path, capsys):
    """--png: a PNG file; the same question gives the same bytes."""
    for name in ("a.png", "b.png"):
        said(capsys, "--model", own[0], SUDOKU, "--steps", "--png", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("flat", [False, True], ids=["N H W", "N L"])
def test_a_file_of_answers_has_the_shape_of_y(own, tmp_path, capsys, flat):
    """--data, --out: pred.npy like y_test, its values the solver's answers."""
    with np.load(own[1]) as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    found = cogment_pipe.load(own[0], device="cpu").solve(x).grid
    if flat:
        x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    np.savez(tmp_path / "t.npz", x_test=x, y_test=y)
    said(capsys, "--model", own[0], "--data", tmp_path / "t.npz", "--out", tmp_path / "pred.npy")
    predicted = np.load(tmp_path / "pred.npy")
    assert predicted.shape == y.shape and predicted.dtype == np.int64
    assert np.array_equal(predicted.ravel(), found.ravel())


def test_own_grids_for_a_model_of_the_pipeline(results, own, tmp_path, capsys):
    """Sudokus coded as in own files are solved by stage 2, and answered in the file's coding."""
    call = ("--model", results / "stage2", "--data", own[1], "--out", tmp_path / "p.npy")
    said(capsys, *call)
    with np.load(own[1]) as arrays:
        x = arrays["x_test"]
    found = cogment_pipe.load(results / "stage2", device="cpu")
    expected = found.solve(np.where(x == 1, 11, x), task="sudoku").grid
    answers = np.load(tmp_path / "p.npy")
    assert np.array_equal(np.where(answers == 1, 11, np.where(answers == 11, 1, answers)), expected)


def test_rollouts_are_ranked_by_the_models_trust(results):
    """More starts never lower the confidence; one start is the plain answer; a seed repeats."""
    solver = cogment_pipe.load(results / "stage2", device="cpu")
    # as hardly trained, the logit says nearly the same of every start
    torch.nn.init.normal_(solver.model.core.exact.weight, generator=torch.manual_seed(0))
    grids = np.random.default_rng(0).integers(1, 12, (6, 4, 4))
    one = solver.solve(grids, task="sudoku")
    many = solver.solve(grids, task="sudoku", rollouts=16, seed=1)
    again = solver.solve(grids, task="sudoku", rollouts=16, seed=1)
    assert (many.confidence >= one.confidence).all() and (many.confidence > one.confidence).any()
    assert np.array_equal(many.grid, again.grid) and np.array_equal(many.by_step[-1], many.grid)
    kept = many.confidence == one.confidence
    assert np.array_equal(many.grid[kept], one.grid[kept])
    with pytest.raises(ValueError, match="rollouts must be"):
        solver.solve(grids, task="sudoku", rollouts=0)


def test_colour_is_for_terminals():
    """Escape codes with colour, none without; what the model filled in stands out."""
    given = [list("1..."), list("...."), list("...."), list("....")]
    cells = [list("1234"), list("3412"), list("2143"), list("4321")]
    plain = as_text("sudoku", Picture("", cells, given), False)
    assert plain.splitlines()[0] == "1 2 | 3 4" and "\x1b" not in plain
    coloured = as_text("sudoku", Picture("", cells, given), True)
    assert coloured.splitlines()[0].startswith("1 ") and "\x1b[1;32m2\x1b[0m" in coloured
    for kind, cell in (("maze", "#"), ("arc", "3")):
        assert "\x1b[48;5;" in as_text(kind, Picture("", [[cell]], [[cell]]), True)
        assert as_text(kind, Picture("", [[cell]], [[cell]]), False) == cell


def mistakes(tmp, results, own) -> dict[str, tuple[list, str]]:
    """Calls with a mistake in them, and a part of the line that says so."""
    write_stage(tmp / "bad" / "stage2", 2)
    sizes = MODEL.model_copy(update={"d_model": 32})
    write_stage(tmp / "wide" / "stage2", 2, sizes=sizes)
    (tmp / "bad" / "stage2" / "config.json").write_bytes(
        (tmp / "wide" / "stage2" / "config.json").read_bytes()
    )
    (tmp / "bad.json").write_text('{"train": [{"input": [[1]]}], "test": [{"input": [[1]]}]}')
    (tmp / "cut.json").write_text("{")
    np.savez(tmp / "y.npz", y_test=np.ones((2, 4, 4), int))
    np.savez(tmp / "big.npz", x_test=np.full((2, 9, 9), 1))
    np.savez(tmp / "odd.npz", x_test=np.full((2, 3, 3), 60))
    fit, stage2, out = own[0], results / "stage2", tmp / "p.npy"
    return {
        "no model": (["--model", tmp / "none", SUDOKU], "no such folder"),
        "no weights": (["--model", tmp, SUDOKU], "config.json is missing"),
        "another config": (["--model", tmp / "bad" / "stage2", SUDOKU], "do not fit this model"),
        "nothing": (["--model", fit], "one puzzle or question"),
        "both": (["--model", fit, SUDOKU, "--data", own[1], "--out", out], "or --data FILE"),
        "no out": (["--model", fit, "--data", own[1]], "belong together"),
        "empty": (["--model", fit, " "], "empty"),
        "no npz": (["--model", fit, "--data", tmp / "none.npz", "--out", out], "not a readable"),
        "no x_test": (["--model", fit, "--data", tmp / "y.npz", "--out", out], "no array x_test"),
        "too big": (["--model", fit, "--data", tmp / "big.npz", "--out", out], "cannot take"),
        "another kind": (["--model", fit, MAZE], "this model solves sudoku"),
        "a question": (["--model", fit, "Who is it?"], "the text is none"),
        "unknown grids": (
            ["--model", stage2, "--data", tmp / "odd.npz", "--out", out],
            "neither Sudoku",
        ),
        "numbers": (["--model", stage2, "1 2\n3 4"], "the text is numbers"),
        "no file": (["--model", fit, tmp / "none.txt"], "no such file"),
        "no json": (["--model", stage2, tmp / "none.json"], "no such file"),
        "bad json": (["--model", stage2, tmp / "cut.json"], "not JSON"),
        "no output": (["--model", stage2, tmp / "bad.json"], "needs input and output"),
        "arc by fit": (["--model", fit, tmp / "bad.json"], "needs input and output"),
        "early stage": (["--model", results / "stage0", SUDOKU], "up to stage 0, not 2"),
        "no text yet": (["--model", stage2, "Who?"], "so it is a question, and"),
        "a folder": (["--model", stage2, tmp], "a folder; name a file"),
        "no document": (["--model", stage2, "Who?", "--document", tmp / "d"], "no such file"),
        "no folder": (["--model", fit, SUDOKU, "--png", own[1] / "x.png"], "cannot be written"),
    }


NAMES = ["no model", "no weights", "another config", "nothing", "both", "no out", "empty", "no npz"]
NAMES += ["no x_test", "too big", "another kind", "a question", "unknown grids", "numbers"]
NAMES += ["no file", "no json", "bad json", "no output", "arc by fit", "early stage"]
NAMES += ["no text yet", "no document", "no folder", "a folder"]


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_one_line(name, results, own, tmp_path, capsys):
    """What is wrong and where, exit code 2, no traceback."""
    call, part = mistakes(tmp_path, results, own)[name]
    capsys.readouterr()
    assert cli.main(["predict", "--device", "cpu", *map(str, call)]) == 2
    (line,) = (t for t in capsys.readouterr().err.splitlines() if t.startswith("error"))
    assert line.startswith("error: ") and part in line


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--rollouts", "0"], "'0' is not a whole number from 1 on"),
        (["--refinement-steps", "x"], "'x' is not a whole number from 1 on"),
        (["--device", "abacus"], "invalid choice: 'abacus'"),
        (["1", "2"], "unrecognized arguments"),
    ],
)
def test_wrong_words_are_one_line(more, part, capsys):
    """Arguments that argparse or their types refuse."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["predict", SUDOKU, *more])
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and part in line
