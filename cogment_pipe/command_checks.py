"""What a command refuses before it starts: one line now, not a traceback or a lost result later.

Rules never trip over these; they are for lines typed by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import MANIFEST, read_manifest


def need_keys(slice: dict[str, Any], keys: Iterable[str], where: str = "--slice: ") -> None:
    """Stops where `slice` lacks one of `keys` (a dot leads into a mapping)."""
    for key in keys:
        here: Any = slice
        for step in key.split("."):
            if not isinstance(here, dict) or step not in here:
                raise CogmentError(f"{where}{key}: missing")
            here = here[step]


def stages_of(folders: list[Path]) -> list[int]:
    """The stage of each data folder; stops where one is missing or damaged."""
    for folder in folders:
        if not (folder / MANIFEST).is_file():
            raise CogmentError(f"{folder / MANIFEST} is missing; make it with `data prepare`")
    return [read_manifest(folder).get("stage", -1) for folder in folders]


def is_folder(path: Path, option: str = "--out") -> None:
    """Stops where a folder is to be written and a file is in its place."""
    if path.exists() and not path.is_dir():
        raise CogmentError(f"{option}: {path} is a file; name a folder")
