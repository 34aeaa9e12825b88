"""The command line: what the rules call, and what a user may call by hand.

The only reader of argv. Handlers import what they need, so that `--help` and a wrong argument
answer at once; results go to stdout, talk to stderr.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cogment_pipe import (
    artifact_commands,
    caller,
    cli_benchmarks,
    cli_use,
    commands,
    recovery_commands,
)
from cogment_pipe.cli_parser import EXIT_USER_ERROR, Parser, add_device, add_out, add_slice, command
from cogment_pipe.errors import CogmentError

EXIT_OK, EXIT_INTERRUPTED = 0, 75

EPILOG = """\
exit codes:
  0    done
  1    verify found a file that does not match; why found something stale
  2    a problem you can mend: one line on stderr says what, where and how
  75   interrupted by a signal after a snapshot; the same command goes on from there

examples:
  python -m cogment_pipe fit --data puzzles.npz --seconds 60 --threads 2 --out my-model
  python -m cogment_pipe predict --model my-model --data puzzles.npz --out pred.npy
  python -m cogment_pipe data check ../shared/data/gsm8k
  python -m cogment_pipe verify results
  python -m cogment_pipe why --set 'stages.3.learning_rate=3e-4'
The commands that the workflow runs are in its log lines; each works by hand as printed.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one sub-command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        caller.follow_caller()
        set_up_logging(arguments.log)
        return arguments.handler(arguments) or EXIT_OK
    except CogmentError as error:
        logging.getLogger("cogment_pipe").error("error: %s", error)
        return EXIT_USER_ERROR
    except ValueError as error:
        line = invalid_slice(error)
        if line is None:
            raise
        logging.getLogger("cogment_pipe").error("error: %s", line)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        # Before a handler of its own was in place: there is nothing to save yet.
        logging.getLogger("cogment_pipe").error("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`... | head`); nothing is left to say to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        # A path that is missing, in the way or forbidden; anything else of the system is a bug.
        if error.filename is None:
            raise
        logging.getLogger("cogment_pipe").error("error: %s: %s", error.filename, error.strerror)
        return EXIT_USER_ERROR


def invalid_slice(error: ValueError) -> str | None:
    """One line where `error` says that --slice does not fit its model, else None."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return None
    from cogment_pipe.benchmark_config import GenerationSlice, GrokkingSlice, ThroughputSlice
    from cogment_pipe.config import ReportSlice
    from cogment_pipe.config_errors import one_line
    from cogment_pipe.evaluation_config import EvaluationSlice
    from cogment_pipe.peer_config import PeerSlice
    from cogment_pipe.stage_config import StageSlice

    benchmarks = (GrokkingSlice, ThroughputSlice, GenerationSlice, PeerSlice)
    kinds = (StageSlice, EvaluationSlice, ReportSlice, *benchmarks)
    models = {model.__name__: model for model in kinds}
    return one_line(error, models.get(error.title, StageSlice), "--slice: ")


def set_up_logging(log: Path | None) -> None:
    """Talk goes to stderr, and to `log` as well where one is given."""
    logger = logging.getLogger("cogment_pipe")
    # What all processes would say is said by the first.
    logger.setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.CRITICAL)
    logger.propagate = False
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    # stderr first: a log that cannot be opened has to be said somewhere.
    logger.addHandler(_plain(logging.StreamHandler(sys.stderr)))
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        mode = "a" if "RANK" in os.environ else "w"  # one of several processes adds its own
        logger.addHandler(_plain(logging.FileHandler(log, mode=mode, encoding="utf-8")))


def _plain(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(
        prog="cogment_pipe",
        description="Cogment Pipe: train, evaluate and look at a small iterative-refinement model.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # A new command: one `_add_` function here, one handler in commands.py.
    for add in (cli_use.add_fit, cli_use.add_predict):
        add(subparsers)
    for add in (_add_data, _add_train, _add_evaluate, _add_report):
        add(subparsers)
    cli_benchmarks.add_benchmark(subparsers)
    cli_benchmarks.add_runs(subparsers)
    recovery_commands.add(subparsers, command, _add_config)
    artifact_commands.add(subparsers, command, _add_config)
    return parser


def _add_stage(parser: argparse.ArgumentParser, first: int = 0) -> None:
    choices = range(first, 5)
    parser.add_argument("--stage", type=int, choices=choices, required=True, help=f"{first} to 4")


def _add_data(subparsers: Any) -> None:
    data = subparsers.add_parser("data", help="split corpora, train the tokenizer, prepare arrays")
    steps = data.add_subparsers(dest="step", required=True, metavar="STEP")

    split = command(
        steps,
        "split",
        commands.data_split,
        "Split the text of a stage by task into JSONL.",
        "data split --stage 3 --slice '{...}' --out results/data/corpus/stage3",
    )
    tokenizer = command(
        steps,
        "tokenizer",
        commands.data_tokenizer,
        "Train the byte-level BPE on the training splits.",
        "data tokenizer --slice '{...}' --corpus DIR --out results/data/tokenizer.json",
    )
    prepare = command(
        steps,
        "prepare",
        commands.data_prepare,
        "Write the arrays of a stage.",
        "data prepare --stage 0 --slice '{...}' --out results/data/stage0",
    )
    check = command(
        steps,
        "check",
        commands.data_check,
        "Say what a data file or folder is and whether it is sound.",
        "data check ../shared/data/gsm8k",
    )
    leaks = command(
        steps,
        "leaks",
        commands.data_leaks,
        "Compare what one task learns from with what another one tests.",
        "data leaks --data results/data/stage0 results/data/stage1 --out results/data/leaks.json",
    )
    draw = command(
        steps,
        "draw",
        commands.data_draw,
        "Draw a few test items of each task of a prepared stage.",
        "data draw results/data/stage2 --out stage2.png",
    )
    draw.add_argument("data", type=Path, help="data folder")
    _add_stage(split, first=commands.TEXT_STAGES[0])
    _add_stage(prepare)
    for parser in (split, tokenizer, prepare):
        add_slice(parser)
    tokenizer.add_argument("--corpus", type=Path, nargs="+", required=True, help="split folders")
    leaks.add_argument("--data", type=Path, nargs="+", required=True, help="data folders")
    leaks.add_argument("--corpus", type=Path, nargs="*", default=[], help="split folders")
    for parser in (tokenizer, leaks, draw):
        add_out(parser, "file to write")
    prepare.add_argument("--corpus", type=Path, help="split folder (text stages)")
    prepare.add_argument("--tokenizer", type=Path, help="tokenizer.json (text stages)")
    for parser in (split, prepare):
        add_out(parser)
    check.add_argument("path", type=Path, help="file or folder")


def _add_train(subparsers: Any) -> None:
    parser = command(
        subparsers,
        "train",
        commands.train,
        "Train one stage, or go on with it from its last snapshot.",
        "train --stage 0 --slice '{...}' --source HASH --data results/data/stage0 "
        "--out results/stage0 --snapshots results/.snapshots/stage0",
    )
    _add_stage(parser)
    add_slice(parser)
    parser.add_argument("--source", required=True, help="hash of the code that trains")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data folders")
    parser.add_argument("--init", type=Path, help="checkpoint to start from; none: fresh weights")
    add_out(parser)
    parser.add_argument("--snapshots", type=Path, required=True, help="folder of snapshots")
    parser.add_argument("--snapshot-every", type=_count, default=500, help="steps between two")
    parser.add_argument("--log-every", type=_count, default=20, help="steps between two lines")
    add_device(parser)
    parser.add_argument("--events", type=_folder, help="folder for TensorBoard, or off")
    parser.add_argument(
        "--on-environment-change",
        choices=["stop", "continue", "restart"],
        default="stop",
        help="snapshot of another torch build, device, dtype, thread or device count",
    )
    parser.add_argument("--devices", type=int, default=1, help="processes, each with its device")


def _add_evaluate(subparsers: Any) -> None:
    parser = command(
        subparsers,
        "evaluate",
        commands.evaluate,
        "Score a checkpoint on the test sets.",
        "evaluate --stage 2 --slice '{...}' --checkpoint results/stage2/checkpoint.pt "
        "--data results/data/stage2 --out results/eval/stage2",
    )
    _add_stage(parser)
    add_slice(parser)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data folders")
    add_out(parser)
    add_device(parser)


def _add_report(subparsers: Any) -> None:
    parser = command(
        subparsers,
        "report",
        commands.report,
        "Write the report page from the JSON artifacts.",
        "report --results results --slice '{...}' --out results/report",
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    add_slice(parser)
    add_out(parser)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--configfile", type=Path, help="as for snakemake")
    parser.add_argument("--scale", choices=["auto", "tiny", "small", "full"])
    parser.add_argument("--seed", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return number


def _folder(text: str) -> Path | None:
    return None if text == "off" else Path(text)
