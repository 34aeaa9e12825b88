"""Recall across segments, in LongBench's layout: facts in earlier segments, question at the end.

Paragraphs (separated by a blank line) become segments. A value can only be known from its
statement, so a reader that sees the last segment alone is at chance: one in `values`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from cogment_pipe.data.generators import lexicon
from cogment_pipe.data.generators.text_item import TextGenerator, TextItem, choose, one
from cogment_pipe.rng import stream
from cogment_pipe.task_config import Strict


class Params(Strict):
    """Parameters of `recall`."""

    segments: int = Field(4, ge=1, le=4096, description="segments that hold facts or filler")
    facts: int = Field(3, ge=1, le=24, description="key-value statements per segment")
    values: int = Field(32, ge=2, le=len(lexicon.VALUES), description="possible answers")
    filler: Literal["random", "predictable", "none"] = Field(
        "random", description="sentences between facts: drawn anew, always the same, or none"
    )
    filler_sentences: int = Field(1, ge=0, le=64, description="filler sentences per segment")
    fact_segments: int = Field(0, ge=0, description="segments with facts; 0: all of them")
    fewest: int = Field(0, ge=0, description="training rows: from so many segments; 0: `segments`")
    probes: int = Field(
        0, ge=0, le=24, description="training rows: further questions on the same document"
    )

    @model_validator(mode="after")
    def _enough_keys(self) -> Params:
        if self.facts * (self.fact_segments or self.segments) > len(lexicon.KEYS):
            raise ValueError(
                f"facts x segments is above the {len(lexicon.KEYS)} keys there are; "
                "lower facts or set fact_segments"
            )
        if self.fact_segments > self.segments:
            raise ValueError("fact_segments is above segments")
        return self


def items(params: Params, split: str, *, seed: int, stage: int, purpose: str) -> Iterator[TextItem]:
    """Endless stream of items of one split; the asked fact's segment and place go round."""
    step = 0
    while True:
        rng = stream(seed, stage, step, 0, f"{purpose}/{split}")
        here = params
        if split == "train" and params.fewest:
            number = int(rng.integers(params.fewest, params.segments + 1))
            here = params.model_copy(update={"segments": number})
        record = _record(rng, here, step, params.probes if split == "train" else 0)
        step += 1
        variants = {}
        if split == "train":
            other = shuffle_distractors(rng, record)
            variants["shuffle_distractors"] = (other, key(other))
        yield TextItem(record, key(record), variants)


def key(record: dict) -> str:
    """Question and paragraphs regardless of their order."""
    return "\n".join([record["input"], *sorted(record["context"].split("\n\n"))]).lower()


def filler(rng: np.random.Generator, mode: str) -> str:
    """One sentence that tells nothing about any key."""
    if mode == "predictable":
        return "and so it goes."
    subject, state = one(rng, lexicon.SUBJECTS), one(rng, lexicon.STATES)
    return f"The {subject} was {state} {one(rng, lexicon.TIMES)}."


def _record(rng: np.random.Generator, params: Params, step: int, probes: int) -> dict:
    holding = params.fact_segments or params.segments
    where = sorted(choose(rng, range(params.segments), holding))
    keys = choose(rng, lexicon.KEYS, params.facts * holding)
    pool = lexicon.VALUES[: params.values]
    if len(keys) <= len(pool):
        values = choose(rng, pool, len(keys))
    else:
        values = [one(rng, pool) for _ in keys]
    facts = [f"{name} is {value}." for name, value in zip(keys, values, strict=True)]
    paragraphs = []
    for segment in range(params.segments):
        sentences = []
        if segment in where:
            start = where.index(segment) * params.facts
            sentences = facts[start : start + params.facts]
        if params.filler != "none":
            for _ in range(params.filler_sentences):
                place = int(rng.integers(len(sentences) + 1))
                sentences.insert(place, filler(rng, params.filler))
        paragraphs.append(" ".join(sentences))
    asked = step % len(keys)
    record = longbench("recall", question(keys[asked]), "\n\n".join(paragraphs), values[asked])
    others = [i for i in range(len(keys)) if i != asked]
    further = [[question(keys[i]), values[i]] for i in choose(rng, others, probes)]
    return {**record, "probes": further} if further else record


def question(name: str) -> str:
    """What is asked of one key."""
    return f"What is {name}?"


def longbench(dataset: str, question: str, context: str, answer: str) -> dict:
    """A record in LongBench's layout; `length` counts words as upstream does for English."""
    identity = hashlib.sha256(f"{dataset}\n{question}\n{context}".encode()).hexdigest()[:48]
    return {
        "input": question,
        "context": context,
        "answers": [answer],
        "length": len(context.split()),
        "dataset": dataset,
        "language": "en",
        "all_classes": None,
        "_id": identity,
    }


def shuffle_distractors(rng: np.random.Generator, record: dict) -> dict:
    """The same paragraphs in another order; the answer stays."""
    paragraphs = record["context"].split("\n\n")
    context = "\n\n".join(choose(rng, paragraphs, len(paragraphs)))
    other = longbench(record["dataset"], record["input"], context, record["answers"][0])
    return {**record, **other}


GENERATOR = TextGenerator("longbench", "recall", Params, items, segmentation="paragraphs")
