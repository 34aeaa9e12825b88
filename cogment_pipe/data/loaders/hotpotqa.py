"""HotpotQA in the original layout and in the hub's columns, as JSON array, JSONL or parquet.

Test = dev (the only labelled one), train and validation = train. Where only dev is there, it is
divided by question, which the manifest says.
"""

from __future__ import annotations

import hashlib

from cogment_pipe.data.generators.text_item import split_of
from cogment_pipe.data.generators.two_hop import shuffle_passages
from cogment_pipe.data.loaders.files import Corpus, Member, need, records, texts
from cogment_pipe.data.splits import question_hash
from cogment_pipe.data.task_splits import TaskSplits
from cogment_pipe.errors import CogmentError
from cogment_pipe.rng import stream

LICENCE = "CC BY-SA 4.0"
VALIDATION_SHARE = 0.02


def load(
    corpus: Corpus, setting: str = "distractor", elsewhere: frozenset[str] = frozenset()
) -> TaskSplits:
    """Records by split; `setting` is distractor or fullwiki.

    `elsewhere` holds hashes of questions that other tests ask (LongBench): they are not trained on.
    """
    if setting not in ("distractor", "fullwiki"):
        raise CogmentError(f"corpus {corpus.name}: setting must be distractor or fullwiki")
    done = TaskSplits("hotpotqa", "hotpot", sources=list(corpus.sources))
    roles = {member: role(member) for member in corpus.members}
    chosen = {m: r for m, r in roles.items() if r in ("train", setting)}
    if not any(r == setting for r in chosen.values()):
        raise CogmentError(
            f"corpus {corpus.name}: no dev file of the {setting} setting; expected "
            f"hotpot_dev_{setting}_v1.json from hotpotqa.github.io"
        )
    for member in set(corpus.members) - set(chosen):
        done.notes.append(f"{member.name} not used (setting: {setting})")
    done.notes.sort()
    seen: set[str] = set()
    by_role: dict[str, list[dict]] = {setting: [], "train": []}
    for member, kind in sorted(chosen.items(), key=lambda one: (one[1] == "train", one[0].name)):
        for number, raw in records(member):
            record = original(raw, f"{member.name}, item {number}")
            digest = question_hash(record["question"])
            if digest in seen:
                done.drop("train" if kind == "train" else "test", "question seen before")
                continue
            seen.add(digest)
            by_role[kind].append(record)
    _divide(done, by_role["train"], by_role[setting], elsewhere)
    return done


def _divide(
    done: TaskSplits, train: list[dict], dev: list[dict], elsewhere: frozenset[str]
) -> None:
    if train:
        shares = {"test": dev}
        for record in train:
            split = "validation" if _draw(record) < VALIDATION_SHARE else "train"
            shares.setdefault(split, []).append(record)
    else:
        done.notes.append("no train file: dev is divided by question, 60/20/20, in its place")
        shares = {}
        for record in dev:
            split = split_of(question_hash(record["question"]), 0.2)
            shares.setdefault(split, []).append(record)
    for split, found in shares.items():
        for record in found:
            if split != "test" and question_hash(record["question"]) in elsewhere:
                done.drop(split, "asked in another stage's test")
            else:
                done.records[split].append(record)


def original(record: dict, where: str) -> dict:
    """One record in the original layout, from either layout."""
    need(
        record, where, question=str, answer=str, supporting_facts=(list, dict), context=(list, dict)
    )
    facts, context = record["supporting_facts"], record["context"]
    if isinstance(facts, dict):
        need(facts, f"{where}, supporting_facts", title=list, sent_id=list)
        facts = [list(pair) for pair in zip(facts["title"], facts["sent_id"], strict=False)]
    if isinstance(context, dict):
        need(context, f"{where}, context", title=list, sentences=list)
        context = [list(pair) for pair in zip(context["title"], context["sentences"], strict=False)]
    for fact in facts:
        if not _pair(fact, str, int):
            raise CogmentError(f"{where}: supporting fact {fact!r} must be [title, number]")
    for paragraph in context:
        if not _pair(paragraph, str, list):
            raise CogmentError(f"{where}: a paragraph must be [title, [sentence, ...]]")
        texts(paragraph[1], where, "context")
    digest = hashlib.sha256(record["question"].encode()).hexdigest()[:24]
    return {
        "_id": str(record.get("_id") or record.get("id") or digest),
        "question": record["question"],
        "answer": record["answer"],
        "type": str(record.get("type", "")),
        "level": str(record.get("level", "")),
        "supporting_facts": [list(fact) for fact in facts],
        "context": [list(paragraph) for paragraph in context],
    }


def role(member: Member) -> str:
    """train, distractor, fullwiki, or "" for what cannot be used, by the file's name."""
    name = member.name.lower()
    if "test" in member.stem.lower():
        return ""
    if "train" in member.stem.lower():
        return "train" if "fullwiki" not in name else ""
    return "fullwiki" if "fullwiki" in name else "distractor"


def variants(found: list[dict], seed: int, stage: int, name: str) -> list[dict]:
    """One copy of every training record with its paragraphs in another order."""
    rows = []
    for number, record in enumerate(found):
        shuffled = shuffle_passages(stream(seed, stage, number, 0, f"shuffle/{name}"), record)
        rows.append({"item": number, "type": "shuffle_passages", "record": shuffled})
    return rows


def _pair(value: object, first: type, second: type) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and isinstance(value[0], first)
        and isinstance(value[1], second)
        and not isinstance(value[1], bool)
    )


def _draw(record: dict) -> float:
    return int(question_hash(record["question"])[:12], 16) / 16**12
