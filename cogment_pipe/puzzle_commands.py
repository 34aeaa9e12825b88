"""The handlers of `benchmark puzzles` and `benchmark peers`, which import what they need."""

from __future__ import annotations

from argparse import Namespace

from cogment_pipe import command_checks as checks


def data(arguments: Namespace) -> None:
    """`benchmark puzzles data`: puzzles in the file format of `fit`."""
    from cogment_pipe.benchmarks.puzzle_files import write_puzzle_file

    checks.need_keys(arguments.slice, ("seed", "task", "generator", "params", "train", "test"))
    write_puzzle_file(arguments.slice, arguments.out)


def summarise(arguments: Namespace) -> None:
    """`benchmark puzzles summarise`: the table over runs of `fit`."""
    from cogment_pipe.benchmarks.puzzle_table import summarise as table

    for row in table(arguments.runs, arguments.slice, arguments.out)["rows"]:
        print(f"{row['task']}, {row['seconds']} s: {row['exact']} (wanted {row['wanted']})")


def peers_run(arguments: Namespace) -> None:
    """`benchmark peers run`: one setting of a peer, or its best on a seed."""
    from cogment_pipe.benchmarks.peers.run import run_peer
    from cogment_pipe.peer_config import PeerSlice

    slice = PeerSlice.model_validate(arguments.slice)
    run_peer(slice, arguments.checkout, arguments.data, arguments.tries, arguments.out)


def peers_compare(arguments: Namespace) -> None:
    """`benchmark peers compare`: the table."""
    from cogment_pipe.benchmarks.peers.table import compare as table

    for row in table(arguments.ours, arguments.theirs, arguments.out)["rows"]:
        print(f"{row['task']}, {row['seconds']} s, {row['trained']}: {row['exact']}")
