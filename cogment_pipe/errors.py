"""The one exception that a user is meant to read: one line, what, where and how to mend it."""

from __future__ import annotations


class CogmentError(Exception):
    """A problem the user can mend; the command line prints it as one line and exits with 2."""
