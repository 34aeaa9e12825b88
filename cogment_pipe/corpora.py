"""Which real corpora there are, where each is looked for, and where a user gets it.

Reading them is `data`'s work; this module only finds folders, before anything is deleted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from cogment_pipe.errors import CogmentError
from cogment_pipe.task_config import Strict

# Name -> where a user gets it.
CORPORA = {
    "arc": "https://github.com/fchollet/ARC-AGI",
    "gsm8k": "https://github.com/openai/grade-school-math",
    "hotpotqa": "https://hotpotqa.github.io",
    "longbench": "https://github.com/THUDM/LongBench",
    "scrolls": "https://www.scrolls-benchmark.com",
    "listops": "https://github.com/google-research/long-range-arena",
    "sudoku_extreme": "https://huggingface.co/datasets/sapientinc/sudoku-extreme",
    "maze_hard": "https://huggingface.co/datasets/sapientinc/maze-30x30-hard-1k",
}
# Folder of each below `corpora_root`; the puzzle corpora are asked for by name only.
FOLDERS = {
    "arc": "arc-agi-1",
    "gsm8k": "gsm8k",
    "hotpotqa": "hotpotqa",
    "longbench": "longbench",
    "scrolls": "scrolls_layout",
}
SUFFIXES = {".json", ".jsonl", ".parquet", ".csv", ".tsv", ".zip", ".npz", ".gz"}


class CorpusSource(Strict):
    """A folder or file of one's own, or a pinned download."""

    path: str | None = Field(None, description="folder or file, seen from the project")
    download: str | None = Field(None, description="address of one file, in place of path")
    revision: str | None = Field(None, description="version, for the manifest")
    sha256: str | None = Field(None, description="what the download must hash to")
    kind: Literal["grids", "qa"] | None = Field(
        None, description="own data under a name of its own: npz or CSV grids, or JSONL questions"
    )

    @model_validator(mode="after")
    def _check(self) -> CorpusSource:
        if (self.path is None) == (self.download is None):
            raise ValueError("needs either path or download")
        if self.download is not None and self.sha256 is None:
            raise ValueError("a download needs its sha256")
        return self

    def as_slice(self) -> dict[str, str]:
        """The keys that are set; `download` is called `url`."""
        given = self.model_dump(exclude_none=True)
        if "download" in given:
            given["url"] = given.pop("download")
        return given


def default_sources(root: Any, project: Path) -> dict[str, Any]:
    """Every known corpus, with its folder below `corpora_root` where that is present."""
    sources: dict[str, Any] = dict.fromkeys(CORPORA)
    if root is None:
        return sources
    if not isinstance(root, str) or not (project / root).is_dir():
        raise CogmentError(
            f"config: corpora_root: {root!r} is not a folder (seen from the project)"
        )
    for name, folder in FOLDERS.items():
        if (project / root / folder).is_dir():
            sources[name] = {"path": f"{root.rstrip('/')}/{folder}"}
    return sources


def problem(name: str, source: CorpusSource | None, project: Path) -> str | None:
    """One line about a corpus that is asked for and not there, or None."""
    mend = f"get it from {CORPORA[name]} and set" if name in CORPORA else "set"
    if source is None:
        return f"corpus {name} is asked for and not configured; {mend} corpora.{name}"
    if source.path is not None and not (project / source.path).exists():
        return f"corpora.{name}: {source.path} does not exist; {mend} corpora.{name} to its path"
    if source.path is not None and not files(source, project, project):
        return (
            f"corpora.{name}: {source.path} holds no data file; {mend} corpora.{name} to its path"
        )
    return None


def files(source: CorpusSource, project: Path, working: Path) -> list[str]:
    """Data files of a local corpus; relative to `working` where the user's path is relative."""
    if source.path is None:
        return []
    start = project / source.path
    found = [start] if start.is_file() else sorted(start.rglob("*"))
    kept = [path for path in found if path.is_file() and path.suffix in SUFFIXES]
    if Path(source.path).is_absolute():
        return [str(path) for path in kept]
    return [os.path.relpath(path, working) for path in kept]


def absolute(data_slice: dict[str, Any], project: Path) -> dict[str, Any]:
    """The slice with corpus paths made absolute: what the data modules are given."""
    corpora = {
        name: {**source, "path": str((project / source["path"]).resolve())}
        if "path" in source
        else source
        for name, source in data_slice.get("corpora", {}).items()
    }
    return {**data_slice, "corpora": corpora}
