"""Asked to stop: finish the step, snapshot, exit 75; asked twice: exit at once. Torch-free.

Also ties the trainer's life to its parent's, so that killing the workflow leaves no orphan.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

EXIT_RETRY = 75
"""Exit code of a run that stopped on request after a snapshot (EX_TEMPFAIL): run it again."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
SAME_REQUEST_SECONDS = 0.3
"""Signals this close together are one request: `timeout` and schedulers signal a process and then
its group."""

_PR_SET_PDEATHSIG = 1
_log = logging.getLogger(__name__)


class StopFlag:
    """Context manager: SIGTERM, SIGINT and SIGUSR1 set a flag; the old handlers come back after.

    A second signal ends the process at once with code 128 + signal, without clean-up. Signals
    within `SAME_REQUEST_SECONDS` of the first, and the one notice that the parent died, are not a
    second request. Look at `requested` between steps and inside evaluation loops.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._first_at = 0.0
        self._parent = os.getppid()
        self._old: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self.signal is not None

    def request(self, number: int = signal.SIGTERM) -> None:
        """Ask to stop from within the process."""
        if self.signal is None:
            self.signal = int(number)
            self._first_at = time.monotonic()

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is not threading.main_thread():
            _log.warning("not in the main thread: signals will not stop this run in an orderly way")
            return self
        for number in STOP_SIGNALS:
            self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            # None: installed by C code, which Python cannot put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._old.clear()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        parent_died = os.getppid() != self._parent
        if parent_died:
            self._parent = os.getppid()
            _close_broken_pipes()
        if self.signal is None:
            self.request(number)
            return
        together = time.monotonic() - self._first_at < SAME_REQUEST_SECONDS
        if together or (parent_died and number == signal.SIGTERM):
            return
        os._exit(128 + number)


def _close_broken_pipes() -> None:
    """Send output whose reader is gone to nowhere, or the next line would end the run."""
    for descriptor in (1, 2):
        poll = select.poll()
        poll.register(descriptor, 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def die_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent dies (Linux; else nothing).

    The setting survives `exec` of the caller but not `fork`, so the rule's shell must `exec`
    Python. Call it after the handlers are in place. Signals itself where the parent died meanwhile.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        _log.warning("cannot tie this run to its parent: %s", os.strerror(ctypes.get_errno()))
        return
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
