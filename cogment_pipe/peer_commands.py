"""The handlers of `benchmark peers`; what they call is imported when it is called."""

from __future__ import annotations

from argparse import Namespace


def run(arguments: Namespace) -> None:
    """`benchmark peers run`: one setting of a peer, or its best on a seed."""
    from cogment_pipe.benchmarks.peers.run import run_peer
    from cogment_pipe.peer_config import PeerSlice

    slice = PeerSlice.model_validate(arguments.slice)
    run_peer(slice, arguments.checkout, arguments.data, arguments.tries, arguments.out)


def compare(arguments: Namespace) -> None:
    """`benchmark peers compare`: the table."""
    from cogment_pipe.benchmarks.peers.table import compare as table

    for row in table(arguments.ours, arguments.theirs, arguments.out)["rows"]:
        print(f"{row['task']}, {row['seconds']} s, {row['trained']}: {row['exact']}")
