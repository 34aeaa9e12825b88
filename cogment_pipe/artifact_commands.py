"""Commands on finished artifacts: inspect, export, pack, figures, evidence; and the config's page.

Arguments and handlers side by side; as everywhere, a handler imports what it needs when it runs.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cogment_pipe import commands
from cogment_pipe.errors import CogmentError

Command = Callable[..., ArgumentParser]


def add(subparsers: Any, command: Command, add_config: Callable[[ArgumentParser], None]) -> None:
    """Add all of them; `command` makes one, `add_config` adds the configuration's words."""
    _add_inspect(subparsers, command, add_config)
    _add_export(subparsers, command)
    _add_pack(subparsers, command)
    _add_figures(subparsers, command)
    _add_evidence(subparsers, command)
    _add_config_pages(subparsers, command)


def inspect(arguments: Namespace) -> None:
    """`inspect`: what a path holds; without one, what the model of a scale is and costs."""
    if arguments.path is None:
        commands.inspect(arguments)
        return
    if arguments.scale or arguments.seed or arguments.set or arguments.configfile:
        raise CogmentError("inspect: give a path, or words of the configuration, not both")
    from cogment_pipe.inspection import describe_path

    print(describe_path(arguments.path), end="")


def export(arguments: Namespace) -> None:
    """`export`: one stage's weights with configuration, card and manifest."""
    from cogment_pipe.export import export_stage

    print("\n".join(map(str, export_stage(arguments.stage, arguments.out))))


def pack(arguments: Namespace) -> None:
    """`pack`: every finished stage as `export` writes it."""
    from cogment_pipe.export import pack_results

    print("\n".join(map(str, pack_results(arguments.results, arguments.out))))


def figures(arguments: Namespace) -> None:
    """`figures`: the pictures of README."""
    from cogment_pipe.report.figures import draw_maze, picture_of_page

    draw_maze(arguments.results, arguments.out / "maze.png")
    picture_of_page(arguments.results / "report" / "index.html", arguments.out / "report.png")
    print(f"{arguments.out}: maze.png, report.png")


def evidence(arguments: Namespace) -> None:
    """`evidence`: figures of a finished run into a file, or a file's table into README."""
    from cogment_pipe.report.evidence import write_evidence, write_table

    if arguments.results is None and arguments.readme is None:
        raise CogmentError("evidence: nothing to do; give --results, --readme, or both")
    if arguments.results is not None:
        if len(arguments.file) > 1:
            raise CogmentError("evidence: --results fills one file; give one")
        made_by = arguments.made_by
        write_evidence(arguments.results, arguments.benchmarks, made_by, arguments.file[0])
    if arguments.readme is not None:
        write_table(arguments.file, arguments.readme)


def config_docs(arguments: Namespace) -> None:
    """`config docs`: the page about every key."""
    from cogment_pipe.config_docs import reference

    _put(reference(), arguments.out)


def config_schema(arguments: Namespace) -> None:
    """`config schema`: the same for editors."""
    from cogment_pipe.config_docs import schema

    _put(schema(), arguments.out)


def _put(text: str, out: Path | None) -> None:
    if out is None:
        print(text, end="")
        return
    from cogment_pipe.atomic import write_bytes

    write_bytes(out, text.encode())


def _add_inspect(
    subparsers: Any, command: Command, add_config: Callable[[ArgumentParser], None]
) -> None:
    parser = command(
        subparsers,
        "inspect",
        inspect,
        "Say what a path holds (results, a stage, weights, prepared data, a corpus), or, without "
        "a path, what the model of a scale is made of and what it costs.",
        "inspect results/stage2",
    )
    parser.add_argument("path", type=Path, nargs="?", help="folder or file")
    add_config(parser)


def _add_export(subparsers: Any, command: Command) -> None:
    parser = command(
        subparsers,
        "export",
        export,
        "Copy a stage's averaged weights (safetensors) with configuration, model card and manifest "
        "into a folder that `cogment_pipe.load` takes. There is no ONNX export.",
        "export results/stage2 --out sudoku-and-mazes",
    )
    parser.add_argument("stage", type=Path, help="folder of a finished stage")
    parser.add_argument("--out", type=Path, required=True, help="new folder, or an earlier export")


def _add_pack(subparsers: Any, command: Command) -> None:
    parser = command(
        subparsers,
        "pack",
        pack,
        "Export every finished stage, one folder each.",
        "pack --results results --out results/pretrained",
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the exported stages")


def _add_figures(subparsers: Any, command: Command) -> None:
    parser = command(
        subparsers,
        "figures",
        figures,
        "Draw README's pictures from a finished run; the one of the page needs chromium.",
        "figures --results results --out docs/figures",
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")


def _add_evidence(subparsers: Any, command: Command) -> None:
    parser = command(
        subparsers,
        "evidence",
        evidence,
        "Write the figures that README quotes, from the artifacts of a finished run.",
        "evidence docs/evidence/small-seed*.json --readme README.md",
    )
    parser.add_argument(
        "file",
        type=Path,
        nargs="+",
        help="evidence file, JSON; runs of several seeds share a table",
    )
    parser.add_argument("--results", type=Path, help="finished results to take figures from")
    parser.add_argument("--benchmarks", type=Path, default=Path("benchmarks"))
    parser.add_argument(
        "--made-by", default="", help="command that made the results, for the record"
    )
    parser.add_argument("--readme", type=Path, help="put the table between the marks of its name")


def _add_config_pages(subparsers: Any, command: Command) -> None:
    config = subparsers.add_parser("config", help="what config.yaml may hold")
    pages = config.add_subparsers(dest="page", required=True, metavar="PAGE")
    docs = command(
        pages,
        "docs",
        config_docs,
        "Every key of config.yaml: values, default, meaning (Markdown).",
        "config docs --out docs/config.md",
    )
    schema = command(
        pages,
        "schema",
        config_schema,
        "JSON schema of config.yaml, for editors.",
        "config schema --out docs/config.schema.json",
    )
    for parser in (docs, schema):
        parser.add_argument("--out", type=Path, help="file to write; else stdout")
