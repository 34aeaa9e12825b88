"""Own questions (`kind: qa`): JSON lines {"question", "answer"} with "context" if there is one.

A file whose name holds train, validation (dev, val) or test is that split; what is missing is taken
from train by a hash of the question, and files with other names are divided in the same way.
"""

from __future__ import annotations

from cogment_pipe.data.generators.text_item import split_of
from cogment_pipe.data.loaders.files import Corpus, Member, need, records
from cogment_pipe.data.splits import question_hash
from cogment_pipe.data.task_splits import TaskSplits
from cogment_pipe.errors import CogmentError

LICENCE = "your own"


def load(corpus: Corpus) -> TaskSplits:
    """Records by split; a question (with its context) enters once, the test split first."""
    done = TaskSplits("qa", "qa", sources=list(corpus.sources))
    seen: set[str] = set()
    named = {member: role(member) for member in corpus.members}
    rest: list[dict] = []
    order = {"test": 0, "validation": 1, "train": 2, "": 3}
    for member in sorted(named, key=lambda m: (order[named[m]], m.name)):
        for number, record in records(member):
            plain = checked(record, f"{member.name}, line {number}")
            digest = question_hash(f"{plain['question']} {plain['context']}")
            if digest in seen:
                done.drop(named[member] or "train", "question seen before")
                continue
            seen.add(digest)
            if named[member] in ("test", "validation"):
                done.records[named[member]].append(plain)
            else:
                rest.append(plain)
    given = set(named.values())
    for record in rest:
        split = split_of(question_hash(f"{record['question']} {record['context']}"))
        done.records["train" if split in given else split].append(record)
    for split, found in done.records.items():
        if not found:
            raise CogmentError(
                f"corpus {corpus.name}: too few questions for a {split} split; give more, or a "
                f"file {split}.jsonl of its own"
            )
    return done


def checked(record: dict, where: str) -> dict:
    """One record with its three fields, or a CogmentError."""
    record = {"context": "", **record}
    need(record, where, question=str, answer=str, context=str)
    if not record["question"].strip() or not record["answer"].strip():
        raise CogmentError(f"{where}: question and answer must not be empty")
    return {name: record[name] for name in ("question", "answer", "context")}


def role(member: Member) -> str:
    """train, validation, test, or "" by the file's name."""
    stem = member.stem.lower()
    if "test" in stem:
        return "test"
    if "dev" in stem or "val" in stem:
        return "validation"
    return "train" if "train" in stem else ""
