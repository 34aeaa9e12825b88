"""What one task trains on and another one tests, within a stage or across stages.

Within a task every split is checked where it is made. Here real corpora are compared with one
another by question (those of GSM8K and HotpotQA stand for themselves) and by document, and grids by
the hash that their splits never share.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np

from cogment_pipe.data.fingerprint import Fingerprints
from cogment_pipe.data.manifest import read_manifest
from cogment_pipe.data.split_text import read_records
from cogment_pipe.data.splits import normalised_question, shared
from cogment_pipe.data.storage import read_array, read_json, write_json
from cogment_pipe.data.text_layout import LAYOUTS, TextExample
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import seal

LEARNT = ("train", "validation")  # validation chooses what is kept
LONG = {"longbench", "scrolls"}  # layouts whose items are told by their document


def check_leaks(data: list[Path], corpora: list[Path], out: Path) -> None:
    """Compare prepared stages `data` and split text `corpora`; write the counts to file `out`.

    Raises CogmentError naming the first pair of tasks that share an item; nothing is written then.
    """
    counts = {**grid_leaks(data), **question_leaks(corpora), **document_leaks(corpora)}
    for what, count in counts.items():
        if count:
            raise CogmentError(
                f"leak across tasks: {count} {what}; mend the corpora or their params"
            )
    write_json(Path(out), seal({"compared": len(counts), "leaks": counts}))


def grid_leaks(folders: list[Path]) -> dict[str, int]:
    """Groups that one grid task learns from and another one tests, for each pair of tasks."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for folder in folders:
        manifest = read_manifest(folder)
        for name in manifest["order"]:
            if manifest["tasks"][name]["kind"] == "grid":
                groups[f"stage {manifest['stage']} {name}"] = {
                    split: read_array(Path(folder) / f"{name}.{split}.group.npy")
                    for split in (*LEARNT, "test")
                }
    return {
        f"groups of {a} in the test of {b}": shared(
            np.concatenate([groups[a][split] for split in LEARNT]), groups[b]["test"]
        )
        for a, b in permutations(groups, 2)
    }


def question_leaks(folders: list[Path]) -> dict[str, int]:
    """Questions that one corpus learns from and another one tests, normalised.

    Two corpora of long documents may ask the same of different documents; see `document_leaks`.
    """
    tasks = _corpora(folders)
    learnt = {label: _questions(task, LEARNT) for label, task in tasks.items()}
    tested = {label: _questions(task, ("test",)) for label, task in tasks.items()}
    return {
        f"questions of {a} in the test of {b}": len(learnt[a] & tested[b])
        for a, b in permutations(tasks, 2)
        if not {tasks[a][1], tasks[b][1]} <= LONG
    }


def document_leaks(folders: list[Path]) -> dict[str, int]:
    """Documents that one corpus learns from and another one tests, however cut and spaced."""
    tasks = {label: task for label, task in _corpora(folders).items() if task[1] in LONG}
    counts: dict[str, int] = {}
    for b in tasks if len(tasks) > 1 else ():
        tested = Fingerprints(example.context for example in _examples(tasks[b], ("test",)))
        for a in tasks:
            if a != b:
                learnt = {example.context for example in _examples(tasks[a], LEARNT)}
                found = sum(map(tested.holds, learnt))
                counts[f"documents of {a} in the test of {b}"] = found
    return counts


def _corpora(folders: list[Path]) -> dict[str, tuple[Path, str]]:
    """Label -> (folder/name, layout) of every task on real files."""
    return {
        f"stage {manifest['stage']} {name}": (Path(folder) / name, entry["layout"])
        for folder in folders
        for manifest in [read_json(Path(folder) / "manifest.json")]
        for name, entry in manifest["tasks"].items()
        if "corpus" in entry
    }


def _questions(task: tuple[Path, str], splits: tuple[str, ...]) -> set[str]:
    own = task[1] == "qa"  # its questions may be about their context alone
    texts = (f"{e.question} {e.context if own else ''}" for e in _examples(task, splits))
    return {normalised_question(text) for text in texts} - {""}


def _examples(task: tuple[Path, str], splits: tuple[str, ...]) -> Iterator[TextExample]:
    stem, layout = task
    for split in splits:
        for record in read_records(stem.with_name(f"{stem.name}.{split}.jsonl")):
            yield LAYOUTS[layout](record)
