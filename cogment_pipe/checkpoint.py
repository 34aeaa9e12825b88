"""The checkpoint file: canonical bytes, so that equal states give equal files.

A file holds sorted names -> contiguous CPU tensors of their own, and one canonical JSON string; it
is written through a handle, since `torch.save` would put the file's name into the archive. Also
the flattening of nested state dicts into such names, and the export as safetensors.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from cogment_pipe.atomic import atomic_writer, canonical_json, sha256_file, write_bytes
from cogment_pipe.errors import CogmentError

FORMAT = 2
"""1: rotary pairs were the two halves of a head; such weights fit, and would answer otherwise."""
SEPARATOR = "/"
_HINT = "put it back from results/.previous/ or train its stage again"
_UNREADABLE = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    pickle.UnpicklingError,
    struct.error,
)


def save(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> str:
    """Write a checkpoint atomically and durably.

    Args:
        path: the file; its folder is made where missing.
        tensors: name -> dense tensor on any device; shared storage is written once per name.
        meta: JSON-able values.

    Returns:
        sha256 of the file.

    Raises:
        CogmentError: the file cannot be written; what was there before is intact.
        ValueError: `meta` holds something that JSON does not, or a tensor is not dense.
    """
    text = _json(meta)
    content = {"format": FORMAT, "meta": text, "tensors": _canonical(tensors)}
    with atomic_writer(path) as sink:
        torch.save(content, sink)
    return sink.sha256


def load(
    path: Path, *, sha256: str | None = None, hint: str = _HINT
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint onto the CPU, without running any code from it.

    Args:
        path: the file.
        sha256: what its bytes must hash to; None: not known.
        hint: how to mend a damaged file, for the message.

    Raises:
        CogmentError: missing, damaged, or not a checkpoint.
    """
    path = Path(path)
    try:
        found = sha256_file(path) if sha256 is not None else None
        if found != sha256:
            raise CogmentError(
                f"checkpoint {path} is damaged: sha256 {found}, expected {sha256}; {hint}"
            )
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT:
            raise CogmentError(
                f"checkpoint {path} has format {content['format']}, this version reads {FORMAT}; "
                "use the version of cogment_pipe that wrote it, or train its stage again"
            )
        return dict(content["tensors"]), json.loads(content["meta"])
    except FileNotFoundError as error:
        raise CogmentError(f"checkpoint {path} does not exist; {hint}") from error
    except OSError as error:
        raise CogmentError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    except _UNREADABLE as error:
        raise CogmentError(f"checkpoint {path} is damaged or no checkpoint; {hint}") from error


def export_weights(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> str:
    """Write weights as a safetensors file of canonical bytes; returns its sha256.

    `meta` and the format go into the header under the one key `cogment`, as canonical JSON: several
    keys would be written in random order.
    """
    header = _json({"format": FORMAT, **meta})
    data = safetensors.torch.save(dict(_canonical(tensors)), metadata={"cogment": header})
    return write_bytes(path, data)


def flatten(prefix: str, nested: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split a nested state into tensors and JSON-able leaves, by paths joined with `/`.

    Args:
        prefix: first part of every path.
        nested: dict with string keys, dataclass instance, tensor, or JSON-able leaf.

    Returns:
        (tensors, meta); `unflatten` of the same prefix gives the nested dict again (dataclasses
        come back as dicts, tuples as lists).

    Raises:
        ValueError: a key with `/` in it, or a leaf that is neither tensor nor JSON.
    """
    tensors: dict[str, Tensor] = {}
    meta: dict[str, Any] = {}
    _flatten(prefix, nested, tensors, meta)
    return tensors, meta


def unflatten(prefix: str, tensors: dict[str, Tensor], meta: dict[str, Any]) -> Any:
    """Inverse of `flatten`; entries under other prefixes are left alone.

    Raises:
        KeyError: nothing was saved under `prefix`.
    """
    root: dict[str, Any] = {}
    found = False
    for entries in (meta, tensors):
        for path, value in entries.items():
            if path == prefix:
                return value
            if path.startswith(prefix + SEPARATOR):
                found = True
                *parents, last = path[len(prefix) + 1 :].split(SEPARATOR)
                node = root
                for parent in parents:
                    node = node.setdefault(parent, {})
                node[last] = value
    if not found:
        raise KeyError(f"the checkpoint holds nothing under {prefix!r}")
    return root


def _flatten(path: str, value: Any, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    if isinstance(value, Tensor):
        tensors[path] = value
        return
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if not isinstance(value, dict) or not value:
        _json({path: value})
        meta[path] = value
        return
    for key, item in value.items():
        if not isinstance(key, str) or not key or SEPARATOR in key:
            raise ValueError(f"key {key!r} under {path!r} must be a string without {SEPARATOR!r}")
        _flatten(f"{path}{SEPARATOR}{key}", item, tensors, meta)


def _canonical(tensors: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Sorted, with standard strides and a storage of each tensor's own."""
    canonical: OrderedDict[str, Tensor] = OrderedDict()
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        if tensor.layout != torch.strided:
            raise ValueError(f"tensor {name!r} is not dense and cannot be saved")
        # The pickle writes a string that it met before as a reference, by identity: a name must
        # be an object of its own, or bytes depend on where the name came from.
        fresh = name.encode().decode()
        canonical[fresh] = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)
    return canonical


def _json(meta: dict[str, Any]) -> str:
    try:
        return canonical_json(meta)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot be saved as JSON: {error} in {str(meta)[:120]}") from error
