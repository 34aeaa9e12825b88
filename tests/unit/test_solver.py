"""A trained folder in use: answers equal the engine's, text is laid out as in training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import cogment_pipe
from cogment_pipe import checkpoint
from cogment_pipe.atomic import write_json
from cogment_pipe.data.batch import GridBatch
from cogment_pipe.data.corpus import split_corpus
from cogment_pipe.data.text_dataset import TextTask
from cogment_pipe.data.text_prepare import prepare_text
from cogment_pipe.data.tokenizer import train_tokenizer
from cogment_pipe.errors import CogmentError
from cogment_pipe.inference import refine
from cogment_pipe.model.decode import generate
from cogment_pipe.model.feed import to_feed
from cogment_pipe.model.model import Cogment
from cogment_pipe.provenance import write_manifest
from cogment_pipe.solver import Solver
from cogment_pipe.stage_config import (
    GrokFastConfig,
    HomeConfig,
    MemoryWrites,
    ModelConfig,
    MultiOptimizerConfig,
    StageConfig,
    StageSlice,
)

MODEL = ModelConfig(
    d_model=16,
    n_heads=2,
    ffn_hidden=24,
    vocab_size=400,
    max_side=8,
    head_hidden=8,
    adapter_rank=2,
    memory_hidden=8,
)
GRIDS = np.random.default_rng(0).integers(1, 12, (5, 4, 4))
TASK = {"generator": "recall", "train": 20, "validation": 4, "test": 4}


def stage(number: int) -> StageConfig:
    return StageConfig(
        name=f"S{number}",
        max_steps=4,
        batch_size=4,
        sequence_length=128,
        learning_rate=1e-3,
        max_refinement_steps=2 + number,
        act_threshold=0.6,
        segment_length=32 if number == 4 else 0,
        memory=MemoryWrites(alpha=0.1 if number == 4 else 0.0),
        tasks={"recall": TASK} if number == 4 else {},
    )


def content(number: int) -> StageSlice:
    return StageSlice(
        seed=0,
        scale="tiny",
        model=MODEL,
        optimizer=MultiOptimizerConfig(),
        grokfast=GrokFastConfig(),
        stage=stage(number),
        homes={3: HomeConfig.of(stage(3))},
    )


def write_stage(results: Path, number: int, model: Cogment) -> Path:
    """A stage's folder as the trainer publishes it."""
    folder = results / f"stage{number}"
    folder.mkdir(parents=True)
    weights = dict(model.named_parameters())
    checkpoint.export_weights(folder / "model.safetensors", weights, {"stage": number})
    write_json(folder / "config.json", content(number).model_dump(mode="json"))
    write_manifest(folder, {"stage": number}, ("model.safetensors", "config.json"))
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Stages 2 and 4 of random weights, a tokenizer, and prepared text of stage 4."""
    root = tmp_path_factory.mktemp("run") / "results"
    torch.manual_seed(0)
    model = Cogment(MODEL)
    with torch.no_grad():
        for parameter in model.parameters():  # fresh ones leave attention and halting at zero
            parameter.normal_(std=0.3)
    for number in (2, 4):
        write_stage(root, number, model)
    slice = {"seed": 1, "vocab_size": 400, "corpora": {}}
    slice["stage"] = stage(4).model_dump(mode="json") | {"source": "builtin"}
    split_corpus(4, slice, root / "data" / "corpus")
    train_tokenizer(slice, [root / "data" / "corpus"], root / "data" / "tokenizer.json")
    files = root / "data" / "corpus", root / "data" / "tokenizer.json", root / "data" / "stage4"
    write_json(root / "entry.json", prepare_text("recall", TASK, slice, *files))
    return root


@pytest.fixture(scope="module")
def solver(results) -> Solver:
    return cogment_pipe.load(results / "stage4", device="cpu")


@pytest.mark.parametrize("halting", ["none", "threshold", "exact"])
def test_a_batch_of_grids_gets_the_engines_answers(solver, halting):
    """solve = refine with the adapters and steps of the stage that the task belongs to."""
    found = solver.solve(GRIDS, task="sudoku", halting=halting)
    blank = np.full_like(GRIDS, -100)
    feed = to_feed(GridBatch("sudoku", 4, GRIDS, blank, np.arange(5)), 2)
    expected = refine(solver.model, feed, HomeConfig.of(stage(2)), halting=halting)
    assert np.array_equal(found.grid, expected.prediction.view(5, 4, 4).numpy())
    assert np.array_equal(found.steps, expected.steps.numpy())
    assert np.array_equal(found.halted_at, expected.halted_at.numpy())
    assert np.array_equal(found.confidence, expected.exact.numpy())
    if halting == "none":
        assert set(found.steps) == {4} and found.by_step.shape == (4, 5, 4, 4)
        assert np.array_equal(found.by_step[-1], found.grid)
    else:
        assert found.by_step is None


def test_one_grid_has_no_batch_axis(solver):
    """A list of lists: grid (H, W), numbers for steps and confidence, (T, H, W) by step."""
    found = solver.solve(GRIDS[0].tolist(), stage=2, task="sudoku", steps=3)
    batch = solver.solve(GRIDS, stage=2, task="sudoku", steps=3)
    assert found.grid.shape == (4, 4) and found.by_step.shape == (3, 4, 4)
    assert int(found.steps) == 3 and 0.0 < float(found.confidence) < 1.0
    assert np.array_equal(found.grid, batch.grid[0])


def test_demonstrations_are_read(solver):
    """Another context gives another confidence."""
    context = np.random.default_rng(1).integers(1, 5, (5, 6, 2))
    place = np.zeros((5, 6, 3), np.int64)
    a = solver.solve(GRIDS, stage=2, task="arc", context=context, context_position=place)
    b = solver.solve(GRIDS, stage=2, task="arc", context=context[::-1], context_position=place)
    assert not np.array_equal(a.confidence, b.confidence)
    one = solver.solve(GRIDS[0], stage=2, task="arc", context=context[0], context_position=place[0])
    assert float(one.confidence) == pytest.approx(float(a.confidence[0]), rel=1e-5)
    with pytest.raises(ValueError, match="come together"):
        solver.solve(GRIDS, stage=2, context=context)


def test_text_is_laid_out_as_in_training(solver, results):
    """A prepared item and the same question typed by hand: equal tokens, segments and answer."""
    entry = json.loads((results / "entry.json").read_text())
    task = TextTask(results / "data" / "stage4", "recall", "validation", entry)
    lines = (results / "data" / "corpus" / "recall.validation.jsonl").read_text().splitlines()
    for number, line in enumerate(lines):
        record = json.loads(line)
        made = to_feed(task.batch(np.array([number]), answers=False), 4)
        typed = solver._text_feed(record["input"], record["context"], 4, True, 8)
        assert torch.equal(made.tokens, typed.tokens)
        assert torch.equal(made.prompt_length, typed.prompt_length)
        assert made.segments is not None and torch.equal(made.segments, typed.segments)
        written = generate(solver.model, made, HomeConfig.of(stage(4)), max_new=8)
        found = solver.answer(record["input"], record["context"], by_paragraph=True, max_new=8)
        assert str(found) == solver._tokenizer().decode(written.tokens[0]).strip()
        assert found.steps == int(written.steps[0]) == 6


def test_a_long_document_goes_through_the_memory_and_fits(solver):
    """Without paragraphs a document is cut into segments; no more of them than the stage has."""
    feed = solver._text_feed("Who?", "word " * 900, 4, False, 8)
    assert feed.segments.shape[1] == 128 // 32 - 1 and feed.segments.shape[2] <= 32
    assert solver.answer("Who?", "word " * 900, max_new=2, steps=1).steps == 1


def test_what_is_not_known_is_said(solver, results):
    """A stage that is not trained, one without configuration, no tokenizer: one line."""
    early = cogment_pipe.load(results / "stage2", device="cpu")
    assert early.solve(GRIDS, task="sudoku").grid.shape == GRIDS.shape
    with pytest.raises(CogmentError, match="up to stage 2, not 3"):
        early.answer("Who?")
    with pytest.raises(CogmentError, match="how stage 0 works"):
        solver.solve(GRIDS, task="toy_maze")
    with pytest.raises(CogmentError, match="how stage 3 works"):
        solver.answer("Who?", stage=3)
    bare = Solver(solver.model, 4, solver.stages)
    with pytest.raises(CogmentError, match="no tokenizer"):
        bare.answer("Who?")
    other = Cogment(MODEL.model_copy(update={"vocab_size": 300}))
    with pytest.raises(CogmentError, match="another run"):
        Solver(other, 4, solver.stages, tokenizer=solver.tokenizer).answer("Who?")


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ([1, 2], {}, "a grid is"),
        ([[0.5]], {}, "whole numbers"),
        ([[99]], {}, "cell alphabet ends at 63"),
        ([[1]], {"task": "chess"}, "unknown task 'chess'"),
        ([[1]], {"halting": "soon"}, "not 'soon'"),
        ([[1]], {"steps": 0}, "at least 1"),
    ],
)
def test_wrong_grids_and_options_are_refused(solver, grid, options, message):
    """ValueError that says what is allowed."""
    with pytest.raises(ValueError, match=message):
        solver.solve(grid, **options)


def test_wrong_prompts_are_refused(solver):
    """Empty, or to a stage without text."""
    with pytest.raises(ValueError, match="needs text"):
        solver.answer("  ")
    with pytest.raises(ValueError, match="stage 2 has no text"):
        solver.answer("Who?", stage=2)


def test_a_folder_that_is_no_model_is_one_line(results, tmp_path):
    """Missing, damaged, of other sizes: CogmentError with the file's name and what to do."""
    with pytest.raises(CogmentError, match="no such folder"):
        cogment_pipe.load(tmp_path / "stage9")
    with pytest.raises(CogmentError, match=r"config\.json is missing"):
        cogment_pipe.load(tmp_path)
    folder = write_stage(tmp_path / "a", 2, Cogment(MODEL))
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(CogmentError, match="is damaged: sha256"):
        cogment_pipe.load(folder)
    (folder / "manifest.json").unlink()
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CogmentError, match="damaged or no model"):
        cogment_pipe.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CogmentError, match=r"model\.safetensors is missing"):
        cogment_pipe.load(folder)
    weights = safetensors.torch.save({"w": torch.ones(1)}, {"cogment": '{"stage": 2}'})
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(CogmentError, match="has format 1, this version reads 2"):
        cogment_pipe.load(folder)
    smaller = Cogment(MODEL.model_copy(update={"head_hidden": 4}))
    with pytest.raises(CogmentError, match="do not fit this model"):
        cogment_pipe.load(write_stage(tmp_path / "b", 2, smaller))
    (folder / "config.json").write_text("{}")
    with pytest.raises(CogmentError, match="no configuration of a stage"):
        cogment_pipe.load(folder)
