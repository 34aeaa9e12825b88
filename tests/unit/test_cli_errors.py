"""Whatever is wrong with a command's words or files: one line that says so, exit code 2."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import pytest
import torch

from cogment_pipe import checkpoint, cli
from cogment_pipe.config import load_config
from cogment_pipe.provenance import write_manifest
from cogment_pipe.slices import data_slice, evaluation_slice, report_slice, stage_slice


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()):
    """The words of every command that does something."""
    deeper = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in deeper:
        for name, inner in action.choices.items():
            yield from leaves(inner, (*words, name))
    if not deeper:
        yield words


COMMANDS = sorted(leaves(cli.build_parser()))
TRAIN = ["train", "--stage", "0", "--slice", "@STAGE", "--source", "x", "--out", "o"]
TRAIN += ["--snapshots", "s", "--data"]
EVALUATE = ["evaluate", "--stage", "0", "--slice", "@EVALUATION", "--out", "o", "--checkpoint"]
PREPARE = ["data", "prepare", "--out", "o", "--slice", "@DATA3", "--stage", "3"]
TOKENIZER = ["data", "tokenizer", "--slice", '{"seed": 0, "vocab_size": 300}', "--out", "o.json"]
SPEED = ["benchmark", "throughput"]
GROKKING, EMPTY = ["benchmark", "grokking"], ["--slice", "{}", "--out", "o"]
CASES = [
    # words, part of the line
    (["data", "split", "--stage", "3", "--slice", "{}", "--out", "o"], "--slice: seed: missing"),
    (["data", "split", "--stage", "0", "--slice", "{}", "--out", "o"], "invalid choice: 0"),
    (["data", "split", "--stage", "3", "--slice", "@DATA3", "--out", "file"], "file is a file"),
    ([*TOKENIZER, "--corpus", "nowhere"], "nowhere/manifest.json"),
    (["data", "tokenizer", "--slice", "{}", "--corpus", "empty", "--out", "o"], "seed: missing"),
    (["data", "prepare", "--stage", "0", "--slice", "{}", "--out", "o"], "seed: missing"),
    (["data", "prepare", "--stage", "0", "--slice", "@DATA0", "--out", "file"], "file is a file"),
    (PREPARE, "give --corpus and --tokenizer"),
    ([*PREPARE, "--corpus", "nowhere", "--tokenizer", "no.json"], "nowhere/manifest.json"),
    (["data", "check", "nowhere"], "nowhere: no such file or folder"),
    (["data", "check", "junk.txt"], "junk.txt: not data that is known"),
    (["data", "check", "empty"], "empty: not data that is known"),
    (["data", "check", "junk.json"], "junk.json, line 1: not JSON"),
    (["data", "draw", "nowhere", "--out", "o"], "nowhere/manifest.json: no such file"),
    (["benchmark", "data", "--data", "nowhere", *EMPTY], "nowhere/manifest.json: no such file"),
    ([*SPEED, "cell", *EMPTY], "--slice: stage: missing"),
    ([*SPEED, "sweep", *EMPTY], "--slice: stage: missing"),
    ([*SPEED, "start", *EMPTY], "--slice: start_repeats: missing"),
    ([*SPEED, "summarise", "--runs", "nowhere", "--out", "o"], "nowhere: no finished part"),
    (["benchmark", "generation", *EMPTY], "--slice: generation: missing"),
    (["benchmark", "filter", *EMPTY], "--slice: filter: missing"),
    (["benchmark", "puzzles", "data", *EMPTY], "--slice: seed: missing"),
    (["benchmark", "run", "--work", "w", *EMPTY], "--slice: scale: missing"),
    (
        ["benchmark", "puzzles", "summarise", "--runs", "t-1s-seed0/fit.json", *EMPTY],
        "t-1s-seed0/fit.json: No such file",
    ),
    (
        ["benchmark", "peers", "run", "--checkout", "c", "--data", "d.npz", *EMPTY],
        "--slice: peer: missing",
    ),
    (
        [
            "benchmark",
            "peers",
            "compare",
            "--ours",
            "t-1s-s/fit.json",
            "--theirs",
            "p",
            "--out",
            "o",
        ],
        "t-1s-s/fit.json: No such file",
    ),
    (["data", "check", "bad"], "bad/manifest.json, line 1: not JSON"),
    ([*TRAIN, "nowhere"], "nowhere/manifest.json is missing"),
    ([*TRAIN, "data1"], "--data: none of stage 0, only of [1]"),
    ([*TRAIN, "bad"], "bad/manifest.json: damaged"),
    ([*TRAIN, "data0", "--init", "nowhere.pt"], "nowhere.pt does not exist"),
    ([*TRAIN, "data0", "--init", "junk.pt"], "junk.pt is damaged"),
    ([*TRAIN, "data0", "--device", "cuda"], "no CUDA device is visible"),
    ([*TRAIN, "data0", "--snapshot-every", "0"], "not a whole number from 1 on"),
    ([*TRAIN, "data0", "--log-every", "-1"], "not a whole number from 1 on"),
    ([*TRAIN, "data0", "--slice", "{}"], "--slice: seed: missing"),
    ([*TRAIN, "data0", "--out", "file"], "--out: file is a file"),
    ([*EVALUATE, "nowhere.pt", "--data", "data0"], "nowhere.pt does not exist"),
    ([*EVALUATE, "junk.pt", "--data", "data0"], "junk.pt is damaged"),
    ([*EVALUATE, "other.pt", "--data", "data0"], "other.pt"),
    ([*EVALUATE, "other.pt", "--data", "nowhere"], "nowhere/manifest.json is missing"),
    ([*EVALUATE, "other.pt", "--data", "data7"], "--slice: says nothing of stages [7]"),
    (["report", "--results", "nowhere", "--slice", "{}", "--out", "o"], "nowhere: no such"),
    (["report", "--results", "empty", "--slice", "{}", "--out", "file"], "file is a file"),
    (["report", "--slice", '{"stages": 3}', "--out", "o"], "--slice: stages: 3 is not allowed"),
    (["report", "--slice", '{"titel": 3}', "--out", "o"], "--slice: titel: unknown key"),
    (["data", "leaks", "--data", "nowhere", "--out", "o.json"], "nowhere"),
    ([*GROKKING, "run", "--arm", "A", "--seed", "0", *EMPTY], "--slice: task: missing"),
    ([*GROKKING, "summarise", "--runs", "no.jsonl", *EMPTY], "--slice: references: missing"),
    (["fit", "--data", "nowhere.npz", "--steps", "1", "--out", "o"], "nowhere.npz"),
    (["fit", "--data", "junk.txt", "--steps", "1", "--out", "o"], "junk.txt"),
    (["fit", "--data", "nowhere.npz", "--steps", "0", "--out", "o"], "--steps"),
    (["predict", "--model", "nowhere", "1234341221434321"], "nowhere: no such folder"),
    (["predict", "--model", "data0", "1234341221434321"], "data0"),
    (["verify", "nowhere"], "nowhere: no such folder"),
    (["verify", "file"], "file: no such folder"),
    (["verify", "empty"], "empty: no manifest in it"),
    (["verify", "empty", "--log", "file/x.log"], "file"),
    (["why", "--set", "nonsense"], "'nonsense' is not of the form"),
    (["why", "--configfile", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    (["why", "--configfile", "junk.yaml"], "junk.yaml:2:1"),
    (["why", "--seed", "-1"], "seed: -1 is not allowed"),
    (["adopt", "--seed", "-1"], "seed: -1 is not allowed"),
    (["runs", "compare"], "the following arguments are required"),
    (["runs", "seed"], "the following arguments are required"),
    (["restore", "1"], "nothing to put back for stage 1"),
    (["inspect", "nowhere"], "nowhere: no such file or folder"),
    (["inspect", "junk.txt"], "junk.txt: not data that is known"),
    (["inspect", "junk.pt"], "junk.pt is damaged"),
    (["inspect", "other.pt"], "other.pt: a checkpoint, but not of a stage"),
    (["inspect", "junk.safetensors"], "junk.safetensors: damaged"),
    (["inspect", "bad"], "bad/manifest.json, line 1: damaged JSON"),
    (["inspect", "data0", "--scale", "tiny"], "give a path, or words of the configuration"),
    (["inspect", "--set", "model.d_model=7"], "must be a whole multiple of 4"),
    (["export", "nowhere", "--out", "o"], "nowhere: no such folder"),
    (["export", "empty", "--out", "o"], "empty/manifest.json: cannot be read"),
    (["export", "data0", "--out", "o"], "data0: not the folder of a trained stage"),
    (["pack", "--results", "empty", "--out", "o"], "empty: no finished stage"),
    (["figures", "--results", "empty", "--out", "o"], "predictions.jsonl: not found"),
    (["evidence", "x.json"], "give --results, --readme, or both"),
    (["evidence", "x.json", "--results", "empty"], "empty: no finished stage"),
    (["evidence", "x.json", "--readme", "r.md"], "x.json: not found"),
    (["evidence", "list.json", "--readme", "r.md"], "list.json: expected a JSON object"),
    (["config", "docs", "--out", "file/x.md"], "cannot write file/x.md"),
    (["config", "schema", "--out", "file/x.json"], "cannot write file/x.json"),
]


@pytest.fixture(scope="module")
def slices(project) -> dict[str, str]:
    """Slices of scale tiny under the names that stand for them above."""
    config = load_config(project, project, {"scale": "tiny"})
    return {
        "@STAGE": stage_slice(config, 0),
        "@DATA0": data_slice(config, 0),
        "@DATA3": data_slice(config, 3),
        "@EVALUATION": evaluation_slice(config),
        "@REPORT": report_slice(config),
    }


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working directory with what a user may have there: junk, other stages, empty folders."""
    monkeypatch.chdir(tmp_path)
    for name in ("file", "junk.txt", "junk.pt", "junk.safetensors"):
        Path(name).write_text("junk")
    Path("r.md").write_text("no marks")
    Path("junk.json").write_text('{"a": ')
    Path("list.json").write_text("[1]")
    Path("junk.yaml").write_text("a: [")
    for name in ("empty", "bad", "data0", "data1", "data7"):
        Path(name).mkdir()
    Path("bad/manifest.json").write_text("{")
    for stage in (0, 1, 7):
        write_manifest(Path(f"data{stage}"), {"stage": stage, "tasks": {}}, [])
    checkpoint.save(Path("other.pt"), {"w": torch.zeros(2)}, {"of": "something else"})
    return tmp_path


def names(case: tuple[list[str], str]) -> str:
    return " ".join(word for word in case[0] if not word.startswith(("{", "@")))


@pytest.mark.parametrize(("words", "part"), CASES, ids=map(names, CASES))
def test_one_line_and_exit_code_2(capsys, folder, slices, words, part):
    """Wrong words, missing or damaged files, another's checkpoint: what, where, no traceback."""
    try:
        code = cli.main([slices.get(word, word) for word in words])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code == 2, said
    (line,) = said.splitlines()
    assert line.startswith("error: ") and part in line, line


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_one_line(capsys, words):
    """Every command there is: a typo names itself and where help is."""
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--nonsense"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and line.endswith("--help)")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(capsys, words):
    """--help ends well and shows a whole command."""
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--help"])
    assert stop.value.code == 0
    assert f"python -m cogment_pipe {' '.join(words)}" in capsys.readouterr().out


def examples(words: tuple[str, ...]) -> list[str]:
    """The examples at the end of a command's help."""
    parser = cli.build_parser()
    for word in words:
        deeper = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = deeper.choices[word]
    lines = parser.format_help().splitlines()
    return [line.strip() for line in lines if line.startswith("  python -m cogment_pipe ")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_examples_are_commands_that_exist(words):
    """Every example of a help text is taken by the parser as it is printed."""
    found = examples(words)
    assert found
    for line in found:
        example = shlex.split(line.replace("'{...}'", "{}").replace("{...}", "{}"))[3:]
        arguments = cli.build_parser().parse_args(example)
        assert callable(arguments.handler), line


def test_the_table_knows_every_command():
    """A new command brings at least one way to get it wrong."""
    tried = {tuple(word for word in words if not word.startswith("-")) for words, _ in CASES}
    assert [c for c in COMMANDS if not any(t[: len(c)] == c for t in tried)] == []


def test_slices_are_whole(slices):
    """Guards the cases above against failing for a slice that the pipeline would not make."""
    assert all(json.loads(text) for text in slices.values())
