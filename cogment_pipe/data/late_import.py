"""One name of a module that `task_kinds` points to, imported when it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from cogment_pipe.data.task_kinds import PACKAGE


def load(module: str, name: str) -> Any:
    """`name` of PACKAGE.`module`."""
    return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
