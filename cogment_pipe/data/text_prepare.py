"""From split text to token arrays: what fits, what is shortened, what is dropped, all counted.

Training items that do not fit are shortened by a rule or dropped; validation and test items are
never dropped: their context is cut in the middle, which is LongBench's rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from cogment_pipe.data.batch import TASK_IDS
from cogment_pipe.data.generators.text_item import SPLITS
from cogment_pipe.data.ragged import Encoded, RaggedWriter
from cogment_pipe.data.split_text import read_records
from cogment_pipe.data.storage import read_json
from cogment_pipe.data.text_layout import LAYOUTS, Probe, TextExample
from cogment_pipe.data.tokenizer import EOS, SEG, SEP, Tokenizer, load_tokenizer
from cogment_pipe.errors import CogmentError

BLOCK = 256  # examples encoded at once


@dataclass(frozen=True)
class Limits:
    """What fits; `segment` 0 means that everything is one segment of at most `sequence` tokens."""

    sequence: int
    segment: int
    segments: int
    by_paragraph: bool
    memory: bool = False  # a context is always read in segments, however short it is

    @classmethod
    def of(cls, config: dict, segmentation: str, params: dict) -> Limits:
        """From a stage's configuration; params may name a number of earlier `segments`."""
        sequence, segment = config["sequence_length"], config.get("segment_length", 0)
        if segment and not 8 <= segment <= sequence:
            raise CogmentError(
                f"segment_length {segment} must be 8 to sequence_length ({sequence}), or 0"
            )
        room = max(1, sequence // segment - 1) if segment else 0
        memory = bool(segment) and config.get("context") == "memory"
        segments = params.get("segments", room)
        return cls(sequence, segment, segments, segmentation == "paragraphs", memory)


def prepare_text(
    task_name: str, task: dict, slice: dict, corpus: Path, tokenizer: Path, out: Path
) -> dict:
    """Write the arrays of the three splits into `out`; returns the task's manifest entry.

    `corpus` is the folder of `split_corpus`, `task` the TaskConfig or CorpusTask as dict.
    """
    corpus, out, config = Path(corpus), Path(out), slice["stage"]
    source = read_json(corpus / "manifest.json")["tasks"].get(task_name)
    if source is None:
        raise CogmentError(f"{corpus}: no text of task {task_name}; run split_corpus again")
    coder = load_tokenizer(tokenizer)
    if coder.size > slice["vocab_size"]:
        raise CogmentError(
            f"{tokenizer}: {coder.size} tokens, above vocab_size {slice['vocab_size']}; retrain it"
        )
    limits = Limits.of(config, source["segmentation"], task.get("params", {}))
    rate = config.get("augmentation_rate", 0.0)
    types = set(config.get("augmentation_types", ())) if rate else set()
    splits = {}
    for split in SPLITS:
        splits[split] = _prepare_split(
            task_name, split, source, limits, coder, types, slice["vocab_size"], corpus, out
        )
        splits[split]["dropped"] |= source["splits"][split]["dropped"]
    origin = {key: source[key] for key in ("generator", "corpus") if key in source}
    return {
        **origin,
        "kind": "text",
        "layout": source["layout"],
        "task_id": TASK_IDS[origin.get("generator", source["layout"])],
        "weight": float(task.get("weight", 1.0)),
        "batch_size": task.get("batch_size"),
        "metric": source["metric"],
        "splits": splits,
        "sources": source["sources"],
        "baselines": source["baselines"],
        "leaks": source["leaks"],
        "notes": source["notes"],
        "augmentation": {
            "rate": rate,
            "types": sorted(types & set(source["variants"])),
        },
    }


def encode(examples: list[TextExample], limits: Limits, coder: Tokenizer) -> list[Encoded]:
    """Ids of examples before any limit on totals is applied; see `fit`.

    Each text starts with a blank, so that a word has the same id at a text's start and inside it.
    """
    questions = coder.encode_many([" " + e.question for e in examples])
    answers = coder.encode_many([" " + e.answer for e in examples])
    done = []
    for example, question, answer in zip(examples, questions, answers, strict=True):
        item = Encoded([*question, SEP], [*answer, EOS], asked=len(question) + 1)
        if example.context and limits.segment and limits.by_paragraph:
            for part in coder.encode_many([" " + p for p in example.context.split("\n\n")]):
                item.segments += _cut(part, limits.segment)
        elif example.context:
            texts = [text for text, _ in example.paragraphs] or [example.context]
            parts = coder.encode_many([" " + text for text in texts])
            whole = sum(map(len, parts)) + len(item.prompt) + len(item.answer)
            if limits.segment and (limits.memory or whole > limits.segment):
                item.segments = _packed(parts, limits.segment)
            else:
                item.prompt = [*chain.from_iterable(parts), *item.prompt]
        done.append(item)
    return done


def fit(
    item: Encoded, example: TextExample, limits: Limits, coder: Tokenizer, train: bool
) -> tuple[Encoded | None, list[str]]:
    """The item within `limits` and what was done to it; None: it cannot be used, and why."""
    if item.segments:
        return _fit_segments(item, limits)
    if len(item.prompt) + len(item.answer) <= limits.sequence:
        return item, []
    if train:
        shorter = _without_distractors(item, example, limits, coder)
        why = "longer than sequence_length" if shorter is None else "distractor paragraphs left out"
        return shorter, [why]
    did = []
    if len(item.prompt) >= limits.sequence:
        room = max(1, limits.sequence - min(len(item.answer), limits.sequence // 4))
        item.prompt = _middle(item.prompt, room)
        did.append("context cut in the middle")
    return _fit_answer(item, limits.sequence, did)


def _fit_segments(item: Encoded, limits: Limits) -> tuple[Encoded, list[str]]:
    did = []
    if len(item.segments) > limits.segments and not limits.by_paragraph:
        item = _fewer_segments(item, limits.segments)
        did.append("context cut in the middle")
    if len(item.prompt) > limits.segment:
        item.prompt = _middle(item.prompt, limits.segment)
        did.append("question cut in the middle")
    return _fit_answer(item, limits.sequence, did)


def _fit_answer(item: Encoded, room: int, did: list[str]) -> tuple[Encoded, list[str]]:
    """Cuts the tokens of an answer alone: what the metric compares with is kept whole."""
    if len(item.prompt) + len(item.answer) > room:
        item.answer = [*item.answer[: max(0, room - len(item.prompt) - 1)], EOS]
        did.append("answer cut")
    return item, did


def _cut(ids: list[int], width: int) -> list[list[int]]:
    """Pieces of at most `width` ids, each with <seg> in front."""
    step = width - 1
    return [[SEG, *ids[i : i + step]] for i in range(0, len(ids), step)]


def _packed(paragraphs: list[list[int]], width: int) -> list[list[int]]:
    """Paragraphs share a segment as long as they fit; only one longer than `width` is cut."""
    segments: list[list[int]] = []
    for ids in paragraphs:
        if segments and len(segments[-1]) + len(ids) <= width:
            segments[-1] += ids
        else:
            segments += _cut(ids, width)
    return segments


def _middle(ids: list[int], room: int) -> list[int]:
    """`room` ids from both ends, the larger half at the end, where question and <sep> are."""
    head = room // 2
    return ids[:head] + ids[len(ids) - (room - head) :]


def _fewer_segments(item: Encoded, segments: int) -> Encoded:
    head = -(-segments // 2)
    kept = item.segments[:head] + item.segments[len(item.segments) - (segments - head) :]
    return Encoded(item.prompt, item.answer, kept)


def _without_distractors(
    item: Encoded, example: TextExample, limits: Limits, coder: Tokenizer
) -> Encoded | None:
    """Training only: paragraphs that the answer does not need are left out, the last first."""
    if not example.paragraphs:
        return None
    parts = coder.encode_many([" " + text for text, _ in example.paragraphs])
    needed = [flag for _, flag in example.paragraphs]
    question = [*coder.encode(" " + example.question), SEP]
    keep = [True] * len(parts)
    total = len(question) + len(item.answer) + sum(map(len, parts))
    for place in reversed(range(len(parts))):
        if total > limits.sequence and not needed[place]:
            keep[place] = False
            total -= len(parts[place])
    if total > limits.sequence:
        return None
    context = [i for part, kept in zip(parts, keep, strict=True) if kept for i in part]
    return Encoded(context + question, item.answer, asked=len(question))


def add_probes(item: Encoded, example: TextExample, limits: Limits, coder: Tokenizer) -> None:
    """Put further questions before the item's own, as many as there is room for.

    The target at every token of such a question, its <sep> included, is the first id of its answer.
    Where a question goes over a bridge, its word has what the word leads to, and only the tokens
    after it have the answer. The item's own question is marked in the same way.
    """
    if not example.probes:
        return
    room = (limits.segment if item.segments else limits.sequence) - len(item.prompt)
    room -= 0 if item.segments else len(item.answer)
    start = len(item.prompt) - item.asked
    own = Probe(example.question, example.answer, example.bridge)
    asked: list[int] = []
    *further, last = _marked([*example.probes, own], coder)
    for question, targets in further:
        if len(asked) + len(question) > room:
            break
        item.hints += [(start + len(asked) + place, target) for place, target in targets]
        asked += question
    question, targets = last
    if item.prompt[start:] == question:  # not cut; its <sep> has the answer as target anyhow
        places = ((start + len(asked) + place, target) for place, target in targets)
        item.hints += list(places)[:-1]
    item.prompt[start:start] = asked


def _marked(probes: list[Probe], coder: Tokenizer) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Of each probe the ids of its question, <sep> included, and (place, id) of its targets."""
    questions = coder.encode_many([" " + probe.question for probe in probes])
    answers = coder.encode_many([" " + probe.answer for probe in probes])
    bridges = [" " + word for probe in probes for word in probe.bridge or ()]
    words = iter(coder.encode_many(bridges))
    marked = []
    for probe, question, answer in zip(probes, questions, answers, strict=True):
        first, targets = 0, []
        if probe.bridge is not None:
            word, found = next(words), next(words)
            first = next(_ends(word, question))
            targets.append((first - 1, found[0]))
        targets += [(place, answer[0]) for place in range(first, len(question) + 1)]
        marked.append(([*question, SEP], targets))
    return marked


def _ends(word: list[int], question: list[int]) -> Iterator[int]:
    """Places right after each occurrence of `word`."""
    n = len(word)
    return (i for i in range(n, len(question) + 1) if question[i - n : i] == word)


def _blocks(rows: Iterable[dict]) -> Iterator[list[dict]]:
    rows = iter(rows)
    while block := list(islice(rows, BLOCK)):
        yield block


def _prepare_split(
    name: str,
    split: str,
    source: dict,
    limits: Limits,
    coder: Tokenizer,
    types: set[str],
    vocab_size: int,
    corpus: Path,
    out: Path,
) -> dict:
    parse = LAYOUTS[source["layout"]]
    train = split == "train"
    writer = RaggedWriter()
    dropped: Counter[str] = Counter()
    shortened: Counter[str] = Counter()
    place: dict[int, int] = {}  # record number -> item number
    number = 0
    for block in _blocks(read_records(corpus / f"{name}.{split}.jsonl")):
        examples = [parse(record) for record in block]
        for example, item in zip(examples, encode(examples, limits, coder), strict=True):
            fitted, did = fit(item, example, limits, coder, train)
            if fitted is None:
                dropped.update(did)
            else:
                shortened.update(did)
                place[number] = len(writer.gold)
                add_probes(fitted, example, limits, coder)
                writer.add(fitted, example)
            number += 1
    variants = [0] * (len(writer.gold) + 1)
    if train:
        for block in _blocks(read_records(corpus / f"{name}.train.variants.jsonl")):
            kept = [row for row in block if row["item"] in place and row["type"] in types]
            examples = [parse(row["record"]) for row in kept]
            for row, example, item in zip(
                kept, examples, encode(examples, limits, coder), strict=True
            ):
                fitted, _ = fit(item, example, limits, coder, train)
                if fitted is not None:
                    add_probes(fitted, example, limits, coder)
                    writer.add_variant(fitted)
                    variants[place[row["item"]] + 1] += 1
    writer.write(out, name, split, np.cumsum(variants), vocab_size)
    counts = {"items": len(writer.gold), "dropped": dict(dropped), "shortened": dict(shortened)}
    return {**counts, "variants": sum(variants), "tokens": writer.statistics()}
