"""GSM8K: {"question", "answer"} lines; train without its last 473 is trained on, test is test.

Layouts: train.jsonl and test.jsonl of openai/grade-school-math, or the parquet files of the hub
(main/train-*, main/test-*). The socratic variants are left out.
"""

from __future__ import annotations

import re

import numpy as np

from cogment_pipe.data.loaders.files import Corpus, Member, need, records
from cogment_pipe.data.splits import question_hash
from cogment_pipe.data.task_splits import TaskSplits
from cogment_pipe.errors import CogmentError
from cogment_pipe.rng import stream

LICENCE = "MIT"
VALIDATION = 473
FINAL = re.compile(r"#### \-?[0-9.,]+")
# First names that are common in the training questions, by pronoun
NAMES = (
    ("John", "James", "Tom", "Tim", "Mark", "Jack", "Bob", "Josh", "Mike", "Carl", "Adam", "Paul"),
    ("Mary", "Jane", "Janet", "Anna", "Lisa", "Emily", "Sarah", "Julie", "Betty", "Alice", "Emma"),
)


def load(corpus: Corpus) -> TaskSplits:
    """Records by split. CogmentError where train or test is missing or a line is damaged."""
    done = TaskSplits("gsm8k", "number", sources=list(corpus.sources))
    seen: set[str] = set()
    for split in ("test", "train"):
        members = [m for m in corpus.members if _is(m, split)]
        if not members:
            raise CogmentError(
                f"corpus {corpus.name}: no {split} file; expected {split}.jsonl of "
                "github.com/openai/grade-school-math beside the other one"
            )
        for member in members:
            for number, record in records(member):
                where = f"{member.name}, line {number}"
                need(record, where, question=str, answer=str)
                if not FINAL.search(record["answer"]):
                    done.drop(split, "no final line '#### number'")
                    continue
                digest = question_hash(record["question"])
                if digest in seen:
                    done.drop(split, "question seen before")
                    continue
                seen.add(digest)
                plain = {"question": record["question"], "answer": record["answer"]}
                done.records[split].append(plain)
    train = done.records["train"]
    held = min(VALIDATION, len(train) // 5)
    done.records["train"], done.records["validation"] = (
        train[: -held or None],
        train[len(train) - held :],
    )
    return done


def rename_entities(rng: np.random.Generator, record: dict) -> dict | None:
    """Other first names of the same pronoun in question and answer; None where there is none."""
    words = set(re.findall(r"\b[A-Z][a-z]+\b", record["question"]))
    table: dict[str, str] = {}
    for names in NAMES:
        used = [name for name in names if name in words]
        free = [name for name in names if name not in words]
        for name, place in zip(used, rng.permutation(len(free)), strict=False):
            table[name] = free[place]
    if not table:
        return None
    pattern = re.compile(r"\b(" + "|".join(sorted(table)) + r")\b")
    return {
        field: pattern.sub(lambda found: table[found.group(1)], text)
        for field, text in record.items()
    }


def variants(records: list[dict], seed: int, stage: int, name: str) -> list[dict]:
    """One renamed copy of every training record that names somebody we know."""
    rows = []
    for number, record in enumerate(records):
        renamed = rename_entities(stream(seed, stage, number, 0, f"rename/{name}"), record)
        if renamed is not None:
            rows.append({"item": number, "type": "rename_entities", "record": renamed})
    return rows


def _is(member: Member, split: str) -> bool:
    name = member.name.lower()
    return split in member.stem.lower() and "socratic" not in name
