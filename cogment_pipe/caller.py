"""Ties a job to the Snakemake call that started it, from its first moment on. Torch-free.

A trainer ties itself to its parent once torch is loaded; a call that is killed before that, or
while data are prepared or a checkpoint is evaluated, would leave an orphan that goes on writing.
"""

from __future__ import annotations

import json
import os

from cogment_pipe.errors import CogmentError
from cogment_pipe.lock_owner import own_record, start_time
from cogment_pipe.signals import die_with_parent

VARIABLE = "COGMENT_CALLER"


def name_caller() -> None:
    """Says to every job that this process starts who it is."""
    os.environ[VARIABLE] = json.dumps(own_record(""))


def follow_caller() -> None:
    """Dies with the call that started this job; does nothing in a command run by hand.

    Raises:
        CogmentError: that call is dead already.
    """
    told = os.environ.get(VARIABLE)
    if not told:
        return
    die_with_parent()
    caller, mine = json.loads(told), own_record("")
    # A process number means nothing in another container or on another host.
    near = all(caller[key] == mine[key] for key in ("boot", "pid_space"))
    if near and start_time(caller["pid"]) != caller["start"]:
        raise CogmentError("the call that started this job is dead; run the same command again")
