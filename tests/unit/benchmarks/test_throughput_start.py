"""Start-up is timed in processes of their own, and torch among their imports is noticed."""

from __future__ import annotations

import json
import sys

import pytest

from cogment_pipe import main_times
from cogment_pipe.benchmarks.throughput import start
from cogment_pipe.errors import CogmentError


def test_an_import_of_torch_is_noticed(tmp_path):
    """`imports_torch` is seen, not assumed; the limit is the one that is asked for."""
    (tmp_path / "torch.py").write_text("")
    words = [sys.executable, "-c", "import torch"]
    assert start._calls("x", words, tmp_path, 1)["imports_torch"] is True
    found = start._calls("dry_run", [sys.executable, "-c", "pass"], tmp_path, 2)
    assert found["imports_torch"] is False and len(found["runs"]) == 2
    assert found["at_most"] == 3.0 and found["reached"] is (found["seconds"] < 3.0)


def test_a_call_that_fails_is_no_figure(tmp_path):
    """A command that ends with an error stops the benchmark, with what it said."""
    with pytest.raises(CogmentError, match="ended with 3: why"):
        start.run(
            [sys.executable, "-c", "import sys; sys.exit(print('why', file=sys.stderr) or 3)"],
            tmp_path,
        )


def test_a_command_notes_its_time_only_where_asked(tmp_path, monkeypatch):
    """Seconds of the main function, also of one that fails; without the variable, no file."""
    monkeypatch.delenv(main_times.VARIABLE, raising=False)
    assert main_times.noted(lambda: 7) == 7
    path = tmp_path / "times.jsonl"
    monkeypatch.setenv(main_times.VARIABLE, str(path))
    assert main_times.noted(lambda: 0) == 0
    with pytest.raises(SystemExit):
        main_times.noted(lambda: sys.exit(2))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 2 and all(line["seconds"] >= 0 for line in lines)
