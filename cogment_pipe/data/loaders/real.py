"""Which loader reads which corpus of a stage, and what its test items forbid to train on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np

from cogment_pipe.data.fingerprint import Fingerprints
from cogment_pipe.data.generators.text_item import SPLITS
from cogment_pipe.data.loaders import download, gsm8k, hotpotqa, longbench, own_qa, scrolls
from cogment_pipe.data.loaders.files import Corpus
from cogment_pipe.data.splits import question_hash, shared
from cogment_pipe.data.task_splits import TaskSplits
from cogment_pipe.data.text_layout import LAYOUTS
from cogment_pipe.errors import CogmentError

LOADERS = {
    "gsm8k": gsm8k,
    "hotpotqa": hotpotqa,
    "longbench": longbench,
    "scrolls": scrolls,
    "qa": own_qa,
}
FOLDER = "COGMENT_CORPORA"  # where downloads are kept; `corpora` in the working folder if unset


def load_corpora(stage: int, slice: dict) -> dict[str, TaskSplits]:
    """Every text corpus of the stage, capped as its task asks, with its leaks counted.

    Raises CogmentError for a corpus that is absent, damaged or of an unknown kind.
    """
    done: dict[str, TaskSplits] = {}
    for name, task in slice["stage"]["corpora"].items():
        kind = kind_of(slice, task["corpus"])
        if kind not in LOADERS:
            continue  # grids and ARC: not text
        found = _load(kind, slice, task)
        found.cap(task, slice["seed"], stage, name)
        if hasattr(LOADERS[kind], "variants"):
            train = found.records["train"]
            found.variants = LOADERS[kind].variants(train, slice["seed"], stage, name)
        found.leaks = leaks(name, found)
        done[name] = found
    return done


def kind_of(slice: dict, corpus: str) -> str:
    """What a corpus is: its `kind`, or its name."""
    return slice["corpora"].get(corpus, {}).get("kind", corpus)


def open_corpus(slice: dict, corpus: str) -> Corpus:
    """A corpus of the slice, downloaded where it is given by its address."""
    entry = slice["corpora"].get(corpus)
    if entry is None:
        raise CogmentError(f"corpus {corpus} is asked for and not configured; set corpora.{corpus}")
    if "path" in entry:
        path = Path(entry["path"])
    else:
        folder = Path(os.environ.get(FOLDER, "corpora")) / corpus
        path = download.fetch(corpus, entry["url"], entry["sha256"], folder)
    licence = LOADERS[kind_of(slice, corpus)].LICENCE
    return Corpus.open(corpus, path, licence=licence, revision=entry.get("revision", ""))


def leaks(name: str, task: TaskSplits) -> dict[str, int]:
    """Questions (with their context) and documents that two splits share, normalised.

    Variants count as training items.
    """
    parse = LAYOUTS[task.layout]
    hashes: dict[tuple[str, str], np.ndarray] = {}
    for split in SPLITS:
        copies = [row["record"] for row in task.variants] if split == "train" else []
        examples = [parse(record) for record in task.records[split] + copies]
        texts = (e.question if e.paragraphs else f"{e.question} {e.context}" for e in examples)
        hashes["questions", split] = _hashes(texts)
        longer = (e.context or e.question for e in examples if task.layout == "scrolls")
        hashes["documents", split] = _hashes(longer)
    return {
        f"{name}: {what} in {a} and {b}": shared(hashes[what, a], hashes[what, b])
        for what in ("questions", "documents")
        for a, b in combinations(SPLITS, 2)
    }


def _hashes(texts: Iterable[str]) -> np.ndarray:
    return np.array([question_hash(text) for text in texts], dtype="U64")


def _load(kind: str, slice: dict, task: dict) -> TaskSplits:
    corpus = open_corpus(slice, task["corpus"])
    params = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in task.get("params", {}).items()
        if name != "segments"
    }
    tested = "longbench" in slice["corpora"] and kind in ("hotpotqa", "scrolls")
    try:
        if kind == "hotpotqa" and tested:
            rows = longbench.load(open_corpus(slice, "longbench")).records["test"]
            elsewhere = frozenset(question_hash(row["input"]) for row in rows if row["input"])
            return hotpotqa.load(corpus, **params, elsewhere=elsewhere)
        if kind == "scrolls" and tested:
            rows = longbench.load(open_corpus(slice, "longbench")).records["test"]
            return scrolls.load(
                corpus, **params, elsewhere=Fingerprints(row["context"] for row in rows)
            )
        return LOADERS[kind].load(corpus, **params)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise CogmentError(f"corpus {task['corpus']}: params: {error}") from None
