"""Layers of configuration: reading YAML, `set` assignments, deep merge, strings that are numbers.

Nothing here knows which keys exist; `config.py` validates the merged result.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from cogment_pipe.errors import CogmentError

# YAML 1.1 takes `3e-4` (no dot) for a string; people write it all the time.
EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
# The C parser, where PyYAML has it: ten times quicker.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SHORTHANDS = {"nominal": True, "on": True, "off": False, True: True, False: False}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; a problem names file, line and column."""
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except OSError as error:
        raise CogmentError(f"config: {path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise CogmentError(f"config: {path}{where}: {problem}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise CogmentError(f"config: {path}: expected `key: value` lines at the top level")
    return loaded


def assignments(spec: Any) -> list[tuple[list[str | int], Any]]:
    """`set` values, `a.b=1;c=2` or a list of such, as (path, value) pairs."""
    texts = spec if isinstance(spec, list | tuple) else [] if spec is None else [spec]
    pairs = []
    for text in (part.strip() for item in texts for part in str(item).split(";")):
        if not text:
            continue
        key, equals, value = text.partition("=")
        path = [_step(part) for part in key.strip().split(".")]
        if not equals or "" in path:
            raise CogmentError(f"config: set: {text!r} is not of the form stages.3.batch_size=4")
        try:
            pairs.append((path, yaml.safe_load(value)))
        except yaml.YAMLError as error:
            raise CogmentError(f"config: set: {text!r}: the value is not YAML") from error
    return pairs


def nested(path: list[str | int], value: Any) -> dict[str | int, Any]:
    """`["a", "b"], 1` -> `{"a": {"b": 1}}`."""
    for key in reversed(path):
        value = {key: value}
    return value


def merge(base: Any, overlay: Any) -> Any:
    """`overlay` over `base`, mappings key by key; null over a mapping removes it.

    Without that removal a scale could not drop a task that the nominal table has.
    """
    if not isinstance(base, dict) or not isinstance(overlay, dict):
        return overlay
    merged = dict(base)
    for key, value in overlay.items():
        if value is None and isinstance(merged.get(key), dict):
            del merged[key]
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def normal(layer: dict[Any, Any]) -> dict[Any, Any]:
    """One spelling for each layer before it is merged: stage numbers, shorthands, exponents."""
    layer = {key: _numbers(value) if key != "corpora" else value for key, value in layer.items()}
    grokfast = layer.get("grokfast")
    if isinstance(grokfast, str | bool) and grokfast in SHORTHANDS:
        layer["grokfast"] = {"enabled": SHORTHANDS[grokfast]}
    if isinstance(layer.get("stages"), dict):
        layer["stages"] = {_step(key): value for key, value in layer["stages"].items()}
    if isinstance(layer.get("scales"), dict):
        layer["scales"] = {
            name: normal(scale) if isinstance(scale, dict) else scale
            for name, scale in layer["scales"].items()
        }
    return layer


def _step(part: Any) -> Any:
    return int(part) if isinstance(part, str) and part.isdigit() else part


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and EXPONENT.fullmatch(value.strip()):
        return float(value)
    return value
