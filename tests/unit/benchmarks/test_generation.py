"""The generation benchmark: both ways are run and compared, and its figures add up."""

from __future__ import annotations

import json

import pytest

from cogment_pipe.benchmark_config import GenerationConfig, GenerationSlice
from cogment_pipe.benchmarks import generation
from cogment_pipe.config import load_config
from cogment_pipe.errors import CogmentError
from cogment_pipe.model.decode import Generated
from cogment_pipe.provenance import verify_manifest
from cogment_pipe.slices import generation_slice


@pytest.fixture
def slice(project, tmp_path) -> GenerationSlice:
    content = generation_slice(load_config(project, tmp_path, {"scale": "tiny"}))
    given = GenerationSlice.model_validate(json.loads(content))
    few = GenerationConfig(prompt_tokens=12, new_tokens=5, rows=(1, 3), repeats=3)
    return given.model_copy(update={"generation": few})


def test_answers_have_full_length_and_both_ways_are_timed(slice, tmp_path, monkeypatch):
    """Each row times both ways as often, in turn; every answer has all of its tokens."""
    calls: list[tuple[bool, int]] = []
    real = generation.generate

    def counted(*given: object, cache: bool, **more: object) -> Generated:
        found = real(*given, cache=cache, **more)
        calls.append((cache, len(found.tokens)))
        assert all(len(tokens) == 5 for tokens in found.tokens)
        return found

    monkeypatch.setattr(generation, "generate", counted)
    out = tmp_path / "generation"
    generation.measure(slice, "s", "cpu", out)
    assert calls == [(c, rows) for rows in (1, 3) for _ in range(4) for c in (True, False)]
    table = json.loads((out / "table.json").read_text())
    assert [row["rows"] for row in table["rows"]] == [1, 3]
    for row in table["rows"]:
        assert row["ratio"] == pytest.approx(row["plain_seconds"] / row["cached_seconds"], rel=0.05)
    lowest = min(row["ratio"] for row in table["rows"])
    assert table["reached"] == (lowest >= table["at_least"]) and table["prompt_tokens"] == 12
    assert verify_manifest(out) == []


def test_a_cache_that_changes_an_answer_has_no_figure(slice, tmp_path, monkeypatch):
    """A faster way to say something else is an error."""
    real = generation.generate

    def broken(*given: object, cache: bool, **more: object) -> Generated:
        found = real(*given, cache=cache, **more)
        if cache:
            found.tokens[0][-1] += 1
        return found

    monkeypatch.setattr(generation, "generate", broken)
    with pytest.raises(CogmentError, match="1 rows differs with and without the cache"):
        generation.measure(slice, "s", "cpu", tmp_path / "generation")
    assert not (tmp_path / "generation").exists()
