"""The state of a training run in memory: copying it, and telling two configurations apart."""

from __future__ import annotations

from typing import Any

import torch


def copied(value: Any) -> Any:
    """Nested dicts with every tensor copied to the CPU."""
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value


def difference(a: Any, b: Any, path: str = "") -> str | None:
    """Dotted name of the first leaf that differs; threads may, since they only change last bits."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return None if a == b or path == "threads" else path or "all of it"
    a, b = ({str(name): item for name, item in part.items()} for part in (a, b))
    for name in sorted(a.keys() | b.keys()):
        found = difference(a.get(name), b.get(name), f"{path}.{name}" if path else name)
        if found:
            return found
    return None
