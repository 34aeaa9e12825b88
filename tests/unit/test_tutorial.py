"""docs/tutorial.md: every command and every line of Python in it works, in its order.

Figures and times are not tested: the budget is smaller here than in the text.
"""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest

from cogment_pipe import cli

BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
SMALLER = {"--seconds": "0.02", "--threads": "1"}
TINY = ["--set", "model.d_model=16", "--set", "n_heads=2", "--set", "ffn_hidden=8"]


@pytest.fixture
def blocks(project) -> list[tuple[str, str]]:
    return BLOCK.findall((project / "docs" / "tutorial.md").read_text(encoding="utf-8"))


def words_of(line: str) -> list[str]:
    """The words after `python -m cogment_pipe`, with a smaller budget for `fit`."""
    start = "python -m cogment_pipe "
    assert line.startswith(start), line
    words = shlex.split(line.removeprefix(start))
    if words[0] != "fit":
        return words
    for name, value in SMALLER.items():
        words[words.index(name) + 1] = value
    return words + TINY


def test_the_tutorial_works_as_written(blocks, tmp_path, monkeypatch, capsys):
    """From the generator's lines to predictions, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    said = []
    for kind, text in blocks:
        if kind == "python":
            exec(compile(text, "docs/tutorial.md", "exec"), {})
            said.append(capsys.readouterr().out)
            continue
        for line in text.strip().splitlines():
            assert cli.main(words_of(line)) == 0, line
            said.append(capsys.readouterr().out)
    assert sum(kind == "sh" for kind, _ in blocks) == 2 and len(said) == 8
    figures = json.loads(said[1])
    assert set(figures) >= {"exact", "cells", "by_step", "train_seconds"}
    assert figures["items"] == 500
    with np.load("sudoku.npz") as arrays:
        assert np.load("pred.npy").shape == arrays["y_test"].shape
    assert float(said[6]) == pytest.approx(figures["exact"])
    assert (tmp_path / "solved.png").stat().st_size > 1000
