"""What stands between a Snakemake call and results that are worth keeping.

Snakemake deletes a rule's folder before its job starts, so whatever may refuse a run has to do it
earlier: these functions are called while the Snakefile is parsed or in `onstart`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cogment_pipe.atomic import write_bytes
from cogment_pipe.errors import CogmentError
from cogment_pipe.lock import FolderLock
from cogment_pipe.provenance import (
    MANIFEST,
    read_manifest,
    sha256_file,
    sidecar,
    verify_manifest,
)

SCALE_FILE = Path("results/.scale")
CACHE_FILE = Path(".snakemake/cogment/verified.json")
PREVIOUS = Path("results/.previous")
SNAPSHOTS = Path("results/.snapshots")


class HashCache:
    """sha256 of files, computed again only where size or mtime moved since the last look."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.known: dict[str, list[Any]] = {}
        if path is not None and path.is_file():
            try:
                self.known = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                self.known = {}  # a damaged cache costs time, never a wrong answer

    def sha256(self, path: Path) -> str:
        """Digest of `path`, from the cache where the file has not moved."""
        stat = path.stat()
        mark = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        entry = self.known.get(str(path))
        if not entry or entry[0] != mark:
            entry = self.known[str(path)] = [mark, sha256_file(path)]
        return entry[1]

    def save(self) -> None:
        """Keeps the cache for the next run."""
        if self.path is not None:
            write_bytes(self.path, json.dumps(self.known, sort_keys=True).encode())


def kept_scale() -> str | None:
    """The scale that the results in this working directory were made at, if there are any."""
    if SCALE_FILE.is_file():
        return SCALE_FILE.read_text(encoding="utf-8").strip() or None
    # Results that came without the file (unpacked, copied in part) still say their scale.
    for path in sorted(Path("results").glob("stage[0-9]/" + MANIFEST)):
        scale = read_manifest(path.parent).get("slice", {}).get("scale")
        if scale:
            return str(scale)
    return None


def refuse_other_scale(scale: str, kept: str | None) -> None:
    """Stops where results of another scale would be deleted and made again."""
    if kept and kept != scale:
        raise CogmentError(
            f"results/ holds a run at scale {kept} and scale {scale} is asked for; add --config "
            f"scale={kept}, or use another folder: --directory OUT"
        )


def keep_scale(scale: str) -> None:
    """Remembers the scale of the results that are about to be made."""
    if not SCALE_FILE.is_file():
        write_bytes(SCALE_FILE, f"{scale}\n".encode())


def refuse_training_without_gpu(
    scale: str, automatic: bool, device: str, stages: list[int]
) -> None:
    """A run made on a GPU and opened elsewhere is looked at, never trained again by accident."""
    if stages and automatic and scale == "full" and device == "auto":
        raise CogmentError(
            f"results/ holds a run at scale full, stage {stages[0]} would be trained again and no "
            "CUDA device is visible; nothing was changed (--config scale=full trains on this "
            "machine, make report only makes the report)"
        )


def refuse_damaged(places: Iterable[Path], only: Iterable[str] | None = None) -> None:
    """Stops where a file that the run is going to read does not match its manifest.

    `only`: the files that are read, where the run needs no other file of these folders.
    """
    named = None if only is None else {str(path) for path in only}
    cache = HashCache(CACHE_FILE)
    for place in places:
        problems = verify_manifest(place, cache.sha256)
        if named is not None:
            problems = [line for line in problems if line.partition(": ")[0] in named]
        if problems:
            target = f"{place}/" if place.is_dir() else place
            raise CogmentError(
                f"{problems[0]}; the run would read it, so nothing was started or changed. "
                f"Put the right file back, or make it again: snakemake --cores all -f {target}"
            )
    cache.save()


def read_by_run(inputs: Iterable[str], made: Iterable[str]) -> list[Path]:
    """Folders with a manifest, and sidecars, that a run reads and does not make itself.

    `inputs` and `made` are the inputs and outputs of the jobs that are going to run.
    """
    made = {str(path) for path in made}
    kept = {Path(p) for p in map(str, inputs) if p not in made and p.startswith("results/")}
    folders = {path.parent for path in kept if str(path.parent) not in made}
    places = {folder for folder in folders if (folder / MANIFEST).is_file()}
    return sorted(places | {sidecar(path) for path in kept if sidecar(path).is_file()})


def keep_previous(stages: Iterable[int]) -> list[int]:
    """Hard-links the folder of each stage about to be trained again to results/.previous/.

    Returns the stages kept. Hard links cost no space and outlive Snakemake's removal.
    """
    kept = []
    for k in stages:
        folder, place = Path(f"results/stage{k}"), PREVIOUS / f"stage{k}"
        if not (folder / MANIFEST).is_file():
            continue
        fresh = place.with_name(f".stage{k}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(folder, fresh, copy_function=os.link, ignore=_timestamp)
        shutil.rmtree(place, ignore_errors=True)
        fresh.replace(place)
        kept.append(k)
    return kept


def restore_previous(stages: Iterable[int]) -> list[Path]:
    """Swaps results/stage{k} with the folder kept in results/.previous, if that one is whole.

    Returns the files put back. Snakemake is told by the caller (`--touch`).
    """
    wanted = sorted(stages)
    for k in wanted:
        problems = verify_manifest(PREVIOUS / f"stage{k}")
        if problems:
            raise CogmentError(f"nothing to put back for stage {k}: {problems[0]}")
    files: list[Path] = []
    for k in wanted:
        folder, kept = Path(f"results/stage{k}"), PREVIOUS / f"stage{k}"
        aside = PREVIOUS / f".aside.stage{k}"
        shutil.rmtree(aside, ignore_errors=True)
        if folder.exists():
            folder.replace(aside)
        kept.replace(folder)
        if aside.exists():
            aside.replace(kept)
        files += sorted(path for path in folder.iterdir() if path.is_file())
    return files


def remove_finished_snapshots(stages: Iterable[int], run: Path = Path()) -> list[int]:
    """Removes the snapshots of stages whose results verify; a locked folder is left alone.

    `run` is the folder of the run below results/, by default the main one.
    """
    removed = []
    cache = HashCache(CACHE_FILE)
    for k in stages:
        folder, results = SNAPSHOTS / run / f"stage{k}", Path("results") / run / f"stage{k}"
        if not folder.is_dir() or verify_manifest(results, cache.sha256):
            continue
        lock = FolderLock(folder)
        try:
            lock.acquire()
        except CogmentError:
            continue
        try:
            for path in folder.iterdir():
                if not path.name.startswith("."):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        finally:
            lock.release()
        removed.append(k)
    cache.save()
    return removed


def _timestamp(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == ".snakemake_timestamp"]
