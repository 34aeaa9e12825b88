"""Passage retrieval and passage count in LongBench's layout, over generated paragraphs.

retrieval: which of the numbered paragraphs does a description belong to? count: how many different
paragraphs are there, copies aside? Paragraphs become segments.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from cogment_pipe.data.generators import lexicon
from cogment_pipe.data.generators.recall import filler, key, longbench
from cogment_pipe.data.generators.text_item import TextGenerator, TextItem, choose, one
from cogment_pipe.rng import stream
from cogment_pipe.task_config import Strict


class Params(Strict):
    """Parameters of `passage_retrieval` and `passage_count`."""

    segments: int = Field(6, ge=2, le=4096, description="paragraphs")
    sentences: int = Field(2, ge=1, le=256, description="sentences per paragraph")


def _text(rng: np.random.Generator, params: Params) -> str:
    """A paragraph that starts with what a person has and where, then filler."""
    name, city, pet = (one(rng, w) for w in (lexicon.NAMES, lexicon.CITIES, lexicon.PETS))
    rest = [filler(rng, "random") for _ in range(params.sentences - 1)]
    return " ".join([f"{name} has a {pet} in {city}.", *rest])


def _distinct(rng: np.random.Generator, params: Params, count: int) -> list[str]:
    """`count` paragraphs of which no two begin alike."""
    found: dict[str, str] = {}
    while len(found) < count:
        text = _text(rng, params)
        found.setdefault(text.split(".")[0], text)
    return list(found.values())


def _numbered(texts: list[str]) -> str:
    return "\n\n".join(f"Paragraph {i}: {text}" for i, text in enumerate(texts, 1))


def retrieval(
    params: Params, split: str, *, seed: int, stage: int, purpose: str
) -> Iterator[TextItem]:
    """Endless stream: `input` describes one paragraph, the answer is `Paragraph N`."""
    step = 0
    while True:
        rng = stream(seed, stage, step, 0, f"{purpose}/{split}")
        target = step % params.segments
        step += 1
        texts = _distinct(rng, params, params.segments)
        name, pet, city = _parts(texts[target])
        question = f"The {pet} of {name} is in {city}."

        def record(order: list[str], wanted: str, asked: str = question) -> dict:
            answer = f"Paragraph {order.index(wanted) + 1}"
            return longbench("passage_retrieval_en", asked, _numbered(order), answer)

        first = record(texts, texts[target])
        variants = {}
        if split == "train":
            other = record(choose(rng, texts, len(texts)), texts[target])
            variants["shuffle_distractors"] = (other, key(other))
        yield TextItem(first, key(first), variants)


def _parts(text: str) -> tuple[str, str, str]:
    words = text.split(".")[0].split()
    return words[0], words[3], words[5]


def count(params: Params, split: str, *, seed: int, stage: int, purpose: str) -> Iterator[TextItem]:
    """Endless stream: some paragraphs are copies; the answer is the number of different ones."""
    step = 0
    while True:
        rng = stream(seed, stage, step, 0, f"{purpose}/{split}")
        different = step % params.segments + 1
        step += 1
        texts = _distinct(rng, params, different)
        copies = [one(rng, texts) for _ in range(params.segments - different)]
        order = choose(rng, texts + copies, params.segments)
        record = longbench("passage_count", "", _numbered(order), str(different))
        variants = {}
        if split == "train":
            again = choose(rng, order, len(order))
            other = longbench("passage_count", "", _numbered(again), str(different))
            variants["shuffle_distractors"] = (other, key(other))
        yield TextItem(record, key(record), variants)


RETRIEVAL = TextGenerator(
    "longbench", "longbench:passage_retrieval_en", Params, retrieval, segmentation="paragraphs"
)
COUNT = TextGenerator(
    "longbench", "longbench:passage_count", Params, count, segmentation="paragraphs"
)
