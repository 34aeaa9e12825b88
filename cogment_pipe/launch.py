"""Starts the processes of a run on several devices of this machine, and says how they ended.

It is torchrun for one machine (the same launcher, called as a library), so that it can be tied to
the life of the call that started it, and ends in one line where torchrun prints a page.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid

from cogment_pipe.errors import CogmentError
from cogment_pipe.signals import EXIT_RETRY, die_with_parent

EXIT_USER_ERROR = 2
SECONDS_TO_STOP = 25
"""Time for a step and a snapshot after a signal, or after one process has died; then SIGKILL."""


def launch(devices: int, words: list[str]) -> int:
    """Run `python -m cogment_pipe WORDS` in `devices` processes; returns the exit code.

    0 done, 75 stopped on request, 2 where the first process has said what is wrong.

    Raises:
        CogmentError: a process was killed or failed; the others have been ended.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    if sys.platform.startswith("linux"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each process then sets its own from the slice
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,  # a run goes on from its snapshot: that is the scheduler's or the user's
        monitor_interval=0.2,
        local_addr="127.0.0.1",
        signals_to_handle="SIGTERM,SIGINT,SIGUSR1",
        shutdown_timeout=SECONDS_TO_STOP,
    )
    die_with_parent()
    try:
        elastic_launch(config, sys.executable)("-m", "cogment_pipe", *words)
    except SignalException:
        return EXIT_RETRY
    except ChildFailedError as error:
        return _ended({rank: failure.exitcode for rank, failure in error.failures.items()})
    return 0


def _ended(codes: dict[int, int]) -> int:
    """What to make of the exit codes that are not 0, by rank."""
    if codes.get(0) == EXIT_USER_ERROR:
        return EXIT_USER_ERROR  # the first process has said what is wrong
    # Those that stopped in order, or were ended for the sake of another one.
    causes = {r: c for r, c in codes.items() if c not in (EXIT_RETRY, -signal.SIGTERM)}
    if not causes:
        return EXIT_RETRY
    rank, code = min(causes.items())
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    raise CogmentError(
        f"process {rank} of this stage ended ({how}), so the others were ended too; snapshots "
        "written before are intact: the same command goes on from the last one"
    )
