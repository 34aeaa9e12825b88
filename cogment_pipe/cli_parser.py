"""What the parts of the command line share: one-line errors, and a command with its example."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXIT_USER_ERROR = 2


class Parser(argparse.ArgumentParser):
    """Wrong arguments in one line, like every other problem."""

    def error(self, message: str) -> Any:
        """Prints the problem and where help is, and exits with 2."""
        self.exit(EXIT_USER_ERROR, f"error: {message} (see {self.prog} --help)\n")


def command(
    subparsers: Any,
    name: str,
    handler: Callable[..., Any],
    text: str,
    *examples: str,
    notes: str = "",
) -> argparse.ArgumentParser:
    """A sub-command: what it does, `notes` below the options, and examples to copy."""
    shown = "".join(f"\n  python -m cogment_pipe {example}" for example in examples)
    word = "example" if len(examples) == 1 else "examples"
    parser = subparsers.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"{notes.strip()}\n\n{word}:{shown}".strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=handler)
    parser.add_argument("--log", type=Path, help="file that gets a copy of what stderr shows")
    return parser


def json_object(text: str) -> Any:
    """The type of an argument that holds a JSON object."""
    try:
        loaded = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON ({error})") from error
    if not isinstance(loaded, dict):
        raise argparse.ArgumentTypeError("expected a JSON object")
    return loaded


def add_slice(parser: argparse.ArgumentParser) -> None:
    """`--slice`, a JSON object."""
    parser.add_argument("--slice", type=json_object, required=True, help="part of the config, JSON")


def add_out(parser: argparse.ArgumentParser, what: str = "folder to write") -> None:
    """`--out`, a path."""
    parser.add_argument("--out", type=Path, required=True, help=what)


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device`, auto unless said."""
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
