"""The commands of users who have puzzles of their own: `fit` and `predict`.

Parsers here, handlers at the end; what they call is imported when it is called.
"""

from __future__ import annotations

import argparse
import math
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from cogment_pipe.cli_parser import command
from cogment_pipe.errors import CogmentError

AUGMENTATIONS = ("dihedral", "bands", "relabel")
MIXERS = ("auto", "token_mlp", "attention", "convolution")
MOST_THREADS = 4  # by default: more do not help models of this size

FIT_NOTES = """\
data:
  .npz    x_train, y_train, x_test, y_test: whole numbers 0..63, (N, H, W) or (N, H*W).
          0 is padding. Sudoku: 1 blank, the digits from 2 on; mazes: 1 wall, 2 open, 3 start,
          4 goal, 5 path. Other puzzles: any numbers; an answer cell that is 0 is not scored.
  .csv    question,answer, as in Sudoku-Extreme and Maze-Hard (further columns are not read);
          a folder may hold train.csv and test.csv.
  .jsonl  {"question", "answer"[, "context"]} a line; a folder may hold train.jsonl and test.jsonl.

--seconds N counts training steps alone. Start-up, reading data, timing the machine (a small run
of about a tenth of N, at most 10 s, that is thrown away), looks at validation items and the final
test come on top. N becomes a number of steps by the speed of the moment; fit.json keeps it, so
going on after a kill gives the same bits, but another day or machine gives another number.
--steps N is the same number everywhere.

mixer auto: token_mlp where every training answer is a Latin square of at most 100 cells, as in
Sudoku; convolution alone for mazes; else attention with a 3x3 convolution.
Augmentation is never on by itself. dihedral turns and mirrors square grids; bands permutes rows,
columns, bands and stacks of a Sudoku; relabel renames the symbols of Latin squares. The last two
are refused where the data contradicts them; that turning keeps your answers right, you must know.
--views K also solves K images of each test puzzle under the symmetries of --augment and lets them
vote (`voted`, beside the figures of one pass): K times the work at the test, none in training. On a
folder that has ended it tests again and trains nothing.

DIR gets checkpoint.pt, model.safetensors, config.json, metrics.jsonl, summary.json, manifest.json
and fit.json; stdout the test's figures as JSON. The same command again goes on where it was cut
off."""

PREDICT_NOTES = """\
ITEM is a Sudoku (81, 36 or 16 digits, `.` for a blank), a maze (`#` wall, blank open, S, G), rows
of numbers, an ARC task (JSON), a .npz of grids, a question, or a file with one of these; - is
stdin. In --data, x_test is solved, or x_train where there is no other."""


def add_fit(subparsers: Any) -> None:
    """`fit` and its words."""
    parser = command(
        subparsers,
        "fit",
        fit,
        "Train one stage on your own puzzles or questions, without the pipeline.",
        "fit --data puzzles.npz --seconds 60 --threads 2 --device cpu --seed 0 --out my-model",
        "fit --data sudoku.csv --steps 2000 --augment bands,relabel --out my-sudoku",
        notes=FIT_NOTES,
    )
    parser.add_argument("--data", type=Path, required=True, help=".npz, .csv, .jsonl or a folder")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--seconds", type=_seconds, help="training time alone, see below")
    budget.add_argument("--steps", type=_count, help="optimizer steps")
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    parser.add_argument("--threads", type=_count, default=_cores(), help="default: %(default)s")
    _add_device(parser)
    parser.add_argument("--seed", type=_whole, default=0)
    parser.add_argument("--augment", type=_names, default=(), metavar="NAME[,NAME]")
    parser.add_argument(
        "--views",
        type=_count,
        default=1,
        metavar="K",
        help="that vote at the test, see below",
    )
    parser.add_argument("--mixer", choices=MIXERS, default="auto")
    parser.add_argument("--shape", type=_shape, metavar="HxW", help="of grids given as rows")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value of the recipe, as batch_size=16 or model.d_model=64",
    )


def add_predict(subparsers: Any) -> None:
    """`predict` and its words."""
    parser = command(
        subparsers,
        "predict",
        predict,
        "Solve a puzzle or answer a question with a trained model.",
        "predict --model my-model 1.3..2.4...14...",
        "predict --model results/stage4 maze.txt --steps --png maze.png",
        "predict --model my-model --data puzzles.npz --out pred.npy",
        "predict 'Where is Mary?' --document story.txt",
        notes=PREDICT_NOTES,
    )
    parser.add_argument("item", nargs="?", metavar="ITEM", help="what to solve; see below")
    parser.add_argument("--model", type=Path, default=Path("results/stage4"), help="folder")
    parser.add_argument("--data", type=Path, help=".npz with x_test (or x_train): all of it")
    parser.add_argument("--out", type=Path, help="file for the answers to --data, .npy")
    parser.add_argument("--document", type=Path, help="text file that the question is about")
    parser.add_argument("--steps", action="store_true", help="show every refinement step")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--png", type=Path, help="draw the answer into this file")
    parser.add_argument(
        "--refinement-steps", type=_count, metavar="N", help="may exceed training's"
    )
    parser.add_argument(
        "--rollouts",
        type=_count,
        default=1,
        metavar="K",
        help="solve from K starting states and keep the answer that the model trusts most",
    )
    parser.add_argument(
        "--views",
        type=_count,
        default=1,
        metavar="K",
        help="solve K symmetric images of the puzzle and take the answer they trust most together",
    )
    parser.add_argument("--seed", type=_whole, default=0, help="of the rollouts and views")
    _add_device(parser)


def fit(arguments: Namespace) -> int:
    """`fit`: 75 where a signal ended it after a snapshot."""
    from cogment_pipe.fit import FitOptions
    from cogment_pipe.fit import fit as run
    from cogment_pipe.fit_recipe import Wish

    wish = Wish(
        arguments.seed,
        arguments.threads,
        arguments.mixer,
        arguments.augment,
        tuple(arguments.set),
    )
    return run(
        FitOptions(
            arguments.data,
            arguments.out,
            arguments.seconds,
            arguments.steps,
            wish,
            arguments.device,
            arguments.shape,
            arguments.views,
        )
    )


def predict(arguments: Namespace) -> None:
    """`predict`: one item, or a file of grids."""
    if (arguments.item is None) == (arguments.data is None):
        raise CogmentError("predict: give one puzzle or question, or --data FILE (see --help)")
    if (arguments.data is None) != (arguments.out is None):
        raise CogmentError("predict: --data and --out belong together")
    from cogment_pipe.predict import predict as run
    from cogment_pipe.predict_model import Request

    names = ("item", "data", "out", "document", "png", "steps", "json", "model", "device")
    names += ("refinement_steps", "rollouts", "views", "seed")
    run(Request(**{name: getattr(arguments, name) for name in names}))


# -- types of arguments ------------------------------------------------------------------------


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")


def _cores() -> int:
    return min(MOST_THREADS, len(os.sched_getaffinity(0)) if _LINUX else os.cpu_count() or 1)


_LINUX = hasattr(os, "sched_getaffinity")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2^31 - 1")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in AUGMENTATIONS:
            known = ", ".join(AUGMENTATIONS)
            raise argparse.ArgumentTypeError(f"{name!r} is none of {known}")
    return names


def _shape(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 9x9")
    return int(height), int(width)
