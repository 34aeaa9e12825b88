"""README's pictures: made from the artifacts, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.report import figures

PNG = b"\x89PNG\r\n"


def test_maze_comes_from_the_predictions(results: Path, copied: Path, tmp_path: Path) -> None:
    """The same artifacts give the same picture, other predictions another one."""
    figures.draw_maze(results, tmp_path / "a.png")
    figures.draw_maze(results, tmp_path / "b.png")
    first = (tmp_path / "a.png").read_bytes()
    assert first.startswith(PNG) and first == (tmp_path / "b.png").read_bytes()
    file = copied / "eval/stage2/predictions.jsonl"
    hardest = '"item": 2,'
    lines = [line for line in file.read_text().splitlines() if hardest not in line]
    file.write_text("\n".join(lines) + "\n")
    figures.draw_maze(copied, tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes() != first


def test_nothing_is_drawn_of_nothing(results: Path, tmp_path: Path, monkeypatch) -> None:
    """No predictions, no page, no browser: one line each, no file."""
    with pytest.raises(CogmentError, match="not found"):
        figures.draw_maze(tmp_path, tmp_path / "a.png")
    with pytest.raises(CogmentError, match="make the report first"):
        figures.picture_of_page(tmp_path / "index.html", tmp_path / "b.png")
    (tmp_path / "index.html").write_text("<p>here</p>")
    monkeypatch.setattr(figures.shutil, "which", lambda name: None)
    with pytest.raises(CogmentError, match="install chromium"):
        figures.picture_of_page(tmp_path / "index.html", tmp_path / "b.png")
    assert not list(tmp_path.glob("*.png"))
