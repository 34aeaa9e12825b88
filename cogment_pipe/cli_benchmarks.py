"""The command line of what lies beside the curriculum: benchmarks, ablations, seeds."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cogment_pipe import commands, puzzle_commands
from cogment_pipe.cli_parser import add_device, add_out, add_slice, command


def add_benchmark(subparsers: Any) -> None:
    """`benchmark`: each measurement is a sub-command."""
    benchmark = subparsers.add_parser("benchmark", help="measurements beside the curriculum")
    kinds = benchmark.add_subparsers(dest="kind", required=True, metavar="KIND")
    _add_grokking(kinds)
    _add_throughput(kinds)
    _add_data_throughput(kinds)
    _add_generation(kinds)
    _add_filter(kinds)
    _add_puzzles(kinds)
    _add_peers(kinds)
    _add_run(kinds)


def _add_throughput(kinds: Any) -> None:
    speed = kinds.add_parser("throughput", help="how fast steps are, how long the start takes")
    parts = speed.add_subparsers(dest="part", required=True, metavar="PART")
    timed = {
        "cell": "Time training steps of one stage at one scale.",
        "sweep": "Time steps of more and more refinement steps and segments.",
        "start": "Time the start, and what the workflow costs around its commands.",
    }
    for name, text in timed.items():
        example = f"benchmark throughput {name} --slice '{{...}}' --out FILE"
        part = command(parts, name, commands.benchmark_throughput, text, example)
        add_slice(part)
        add_out(part, "file to write")
        if name != "start":
            add_device(part)
    _add_summarise(
        parts,
        commands.benchmark_throughput_summarise,
        "Table and figure from what was timed.",
        "benchmark throughput summarise --runs RUNS/*.jsonl --out DIR",
    )


def _add_data_throughput(kinds: Any) -> None:
    parser = command(
        kinds,
        "data",
        commands.benchmark_data,
        "Measure how fast data are made, in CPU time.",
        "benchmark data --data results/data/stage0 --slice '{\"0\": {...}}' --out FILE",
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data folders")
    add_slice(parser)
    parser.add_argument("--steps", type=int, default=12, help="training steps of each stage")
    parser.add_argument("--made-by", default="", help="command, for the record")
    add_out(parser, "file to write")


def _add_generation(kinds: Any) -> None:
    parser = command(
        kinds,
        "generation",
        commands.benchmark_generation,
        "Time the generation of text with its cache and without.",
        "benchmark generation --slice '{...}' --out results/benchmarks/generation",
    )
    add_slice(parser)
    parser.add_argument("--source", default="", help="hash of the code, for the record")
    add_device(parser)
    add_out(parser)


def _add_filter(kinds: Any) -> None:
    parser = command(
        kinds,
        "filter",
        commands.benchmark_filter,
        "Time GrokFast's filter beside the published loop and the least that memory allows.",
        "benchmark filter --slice '{\"filter\": {}}' --out results/benchmarks/filter",
    )
    add_slice(parser)
    parser.add_argument("--source", default="", help="hash of the code, for the record")
    add_out(parser)


def _add_puzzles(kinds: Any) -> None:
    puzzles = kinds.add_parser("puzzles", help="what `fit` solves after so many seconds")
    parts = puzzles.add_subparsers(dest="part", required=True, metavar="PART")
    data = command(
        parts,
        "data",
        puzzle_commands.data,
        "Write training and test puzzles for `fit`, as .npz.",
        "benchmark puzzles data --slice '{...}' --out maze9.npz",
    )
    add_slice(data)
    add_out(data, "file to write")
    summarise = _add_summarise(
        parts,
        puzzle_commands.summarise,
        "Table over finished runs of `fit`.",
        "benchmark puzzles summarise --runs RUNS/*/fit.json --slice '{...}' --out DIR",
    )
    add_slice(summarise)


def _add_peers(kinds: Any) -> None:
    peers = kinds.add_parser("peers", help="the same puzzles solved by peers' own classes")
    parts = peers.add_subparsers(dest="part", required=True, metavar="PART")
    run = command(
        parts,
        "run",
        puzzle_commands.peers_run,
        "Train a class of a clone on puzzles for so many seconds; with --tries, test it.",
        "benchmark peers run --slice '{...}' --checkout TRM --data maze9.npz --out try0.json",
    )
    run.add_argument("--checkout", type=Path, required=True, help="folder of the clone")
    run.add_argument("--data", type=Path, required=True, help="puzzles, .npz")
    run.add_argument("--tries", type=Path, nargs="+", default=[], help="records to choose from")
    add_slice(run)
    add_out(run, "file to write")
    compare = command(
        parts,
        "compare",
        puzzle_commands.peers_compare,
        "Table over runs of `fit` and of peers.",
        "benchmark peers compare --ours RUNS/*/fit.json --theirs RUNS/*/seed0.json --out DIR",
    )
    for name, text in (("--ours", "fit.json of runs"), ("--theirs", "records of peers")):
        compare.add_argument(name, type=Path, nargs="+", required=True, help=text)
    add_out(compare)


def _add_run(kinds: Any) -> None:
    parser = command(
        kinds,
        "run",
        commands.benchmark_run,
        "Time a whole run, and what of it passes around its commands.",
        'benchmark run --slice \'{"scale": "tiny", "seed": 0, "cores": 2}\' --work W --out DIR',
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the run; emptied")
    parser.add_argument("--source", default="", help="hash of the code, for the record")
    add_slice(parser)
    add_out(parser)


def _add_grokking(kinds: Any) -> None:
    grokking = kinds.add_parser("grokking", help="delayed generalisation on modular arithmetic")
    steps = grokking.add_subparsers(dest="step", required=True, metavar="STEP")
    run = command(
        steps,
        "run",
        commands.benchmark_grokking_run,
        "Train one arm of the grokking benchmark at one seed.",
        "benchmark grokking run --arm A --seed 0 --slice '{...}' --out results/benchmarks/runs",
    )
    run.add_argument("--arm", required=True, help="name of the arm, for the record")
    run.add_argument("--seed", type=int, required=True)
    run.add_argument("--source", default="", help="hash of the code, for the record")
    add_slice(run)
    add_out(run)
    summarise = _add_summarise(
        steps,
        commands.benchmark_grokking_summarise,
        "Table and figure from finished runs.",
        "benchmark grokking summarise --runs RUNS/*.jsonl --slice '{...}' --out DIR",
    )
    add_slice(summarise)


def _add_summarise(parts: Any, handler: Callable, text: str, example: str) -> ArgumentParser:
    """`summarise` of a benchmark: the files of its runs in, a folder out."""
    summarise = command(parts, "summarise", handler, text, example)
    summarise.add_argument("--runs", type=Path, nargs="+", required=True, help="files of runs")
    add_out(summarise)
    return summarise


def add_runs(subparsers: Any) -> None:
    """`runs`: tables over finished runs."""
    runs = subparsers.add_parser("runs", help="tables over ablations and seeds")
    kinds = runs.add_subparsers(dest="kind", required=True, metavar="KIND")
    compare = command(
        kinds,
        "compare",
        commands.runs_compare,
        "Compare ablations with the base run, seed by seed.",
        "runs compare --slice '{...}' --out results/ablations",
    )
    add_slice(compare)
    seed = command(
        kinds,
        "seed",
        commands.runs_seed,
        "Collect the scores of one seed's run.",
        "runs seed --scores results/runs/seed1/eval/stage*/metrics.json --out results/seeds/1",
    )
    seed.add_argument("--scores", type=Path, nargs="+", required=True, help="files, by stage")
    for parser in (compare, seed):
        add_out(parser)
