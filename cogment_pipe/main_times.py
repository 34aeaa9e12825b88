"""Seconds inside a command's main function, for whoever measures what lies around it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

VARIABLE = "COGMENT_TIMES"
"""Environment variable: file that gets a line for every command; unset, nothing is written.

`begun` is in seconds since 1970, so that commands beside each other are told from one another.
"""


def noted(main: Callable[[], int]) -> int:
    """Call `main`; where the variable names a file, add what it took to it."""
    path = os.environ.get(VARIABLE)
    if not path:
        return main()
    since, begun = time.time(), time.perf_counter()
    try:
        return main()
    finally:
        seconds = round(time.perf_counter() - begun, 4)
        line = {"command": sys.argv[1:3], "begun": round(since, 4), "seconds": seconds}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
