"""Fault injection: end the process at its n-th dangerous call, as SIGKILL would.

Dangerous calls are fsync, rename, link, removal, and every eighth write to a file (a checkpoint is
many small ones, all to one temporary file). The process is a fork, so that hundreds of crashes cost
seconds; nothing is cleaned up in it (`os._exit`). A power cut, which is what fsync is for, cannot
be had in a test: fsync is counted but not done.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any

from cogment_pipe import atomic

CRASHED = 111
FAILED = 112
_CALLS = ("fsync", "replace", "rename", "link", "unlink")
_WRITES = 8


class CrashPoint:
    """Counts dangerous calls and ends the process at number `at` (0 is the first)."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._writes = 0

    def install(self) -> None:
        """Wrap the calls in this process, for good."""
        os.fsync = lambda _descriptor: None
        for name in _CALLS:
            setattr(os, name, self._wrap(getattr(os, name)))
        original = atomic.HashingFile._put

        def put(sink: atomic.HashingFile, data: bytes) -> None:
            self._writes += 1
            if self._writes % _WRITES == 1 and self._due():  # half of the piece reaches the file
                original(sink, bytes(data)[: len(data) // 2])
                sink._raw.flush()
                os._exit(CRASHED)
            original(sink, data)

        atomic.HashingFile._put = put

    def _due(self) -> bool:
        self._left -= 1
        return self._left < 0

    def _wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if self._due():
                os._exit(CRASHED)
            return original(*arguments, **keywords)

        return call


def run_in_fork(work: Callable[[], None], crash_at: int | None = None) -> bool:
    """Run `work` in a child process; True where it came to its end, False where it crashed.

    Raises:
        AssertionError: it failed in any other way.
    """
    child = os.fork()
    if child == 0:
        try:
            if crash_at is not None:
                CrashPoint(crash_at).install()
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(FAILED)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, CRASHED), f"the child ended with {code}"
    return code == 0
