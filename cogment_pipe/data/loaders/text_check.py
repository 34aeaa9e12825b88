"""What a text file or folder is, how many items it has, and what a run would leave out and why."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from cogment_pipe.data.loaders import gsm8k, hotpotqa, longbench, originals, own_qa, scrolls
from cogment_pipe.data.loaders.files import Corpus, records

LOADS = {
    "gsm8k": gsm8k.load,
    "hotpotqa": hotpotqa.load,
    "longbench": longbench.load,
    "scrolls": scrolls.load,
    "qa": own_qa.load,
}


def recognise(path: Path) -> str:
    """Kind of a text corpus by the fields of its first readable record, or ""."""
    for member in Corpus.open("check", path).members:
        if originals.recognise(member):
            return "scrolls"
        for _, record in islice(records(member), 1):
            fields = record.keys()
            if {"supporting_facts", "context"} <= fields:
                return "hotpotqa"
            if {"input", "answers", "dataset"} <= fields:
                return "longbench"
            if {"id", "input", "output"} <= fields:
                return "scrolls"
            if {"question", "answer"} <= fields:
                return "gsm8k" if "#### " in str(record["answer"]) else "qa"
    return ""


def describe(path: Path) -> str:
    """One line for each split, and one for each reason to leave something out.

    Raises CogmentError where the path cannot be read as what it looks like.
    """
    kind = recognise(path)
    if not kind:
        return ""
    done = LOADS[kind](Corpus.open(kind, path))
    counts = ", ".join(f"{split} {len(rows)}" for split, rows in done.records.items())
    lines = [f"{kind}: {counts} items"]
    for split, reasons in done.dropped.items():
        lines += [f"left out of {split}: {count}, {reason}" for reason, count in reasons.items()]
    return "\n".join([*lines, *done.notes])
