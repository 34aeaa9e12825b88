"""How several processes ended, in one exit code and at most one line."""

from __future__ import annotations

import signal

import pytest

from cogment_pipe.errors import CogmentError
from cogment_pipe.launch import _ended


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ({0: 75, 1: 75}, 75),
        ({0: 75, 1: -signal.SIGTERM}, 75),
        ({0: 2, 1: 75}, 2),
        ({0: 2, 1: -signal.SIGTERM}, 2),
    ],
)
def test_an_orderly_end_needs_no_line(codes, code):
    """Stopped on request, or an error that the first process has shown."""
    assert _ended(codes) == code


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ({0: 75, 1: -signal.SIGKILL}, r"process 1 .*killed by SIGKILL"),
        ({0: -signal.SIGTERM, 3: 1}, r"process 3 .*exit code 1"),
        ({0: -signal.SIGKILL, 1: 75}, r"process 0 .*killed by SIGKILL"),
    ],
)
def test_the_process_at_fault_is_named(codes, words):
    """Not one that was ended because another one had died."""
    with pytest.raises(CogmentError, match=words):
        _ended(codes)
