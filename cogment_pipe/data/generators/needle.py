"""A needle in a haystack, in LongBench's layout: one statement among filler, asked for at the end.

As in `recall`, paragraphs become segments; here one fact is hidden in as much filler as is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from cogment_pipe.data.generators import lexicon
from cogment_pipe.data.generators.recall import filler, key, longbench, shuffle_distractors
from cogment_pipe.data.generators.text_item import TextGenerator, TextItem, one
from cogment_pipe.rng import stream
from cogment_pipe.task_config import Strict


class Params(Strict):
    """Parameters of `needle`."""

    segments: int = Field(4, ge=1, le=65536, description="paragraphs")
    sentences: int = Field(3, ge=1, le=256, description="filler sentences per paragraph")
    digits: int = Field(2, ge=1, le=9, description="digits of the hidden number")


def items(params: Params, split: str, *, seed: int, stage: int, purpose: str) -> Iterator[TextItem]:
    """Endless stream of items of one split; the needle's paragraph goes round."""
    step = 0
    while True:
        rng = stream(seed, stage, step, 0, f"{purpose}/{split}")
        where = step % params.segments
        step += 1
        name = one(rng, lexicon.NAMES)
        number = "".join(str(int(rng.integers(10))) for _ in range(params.digits))
        paragraphs = []
        for segment in range(params.segments):
            sentences = [filler(rng, "random") for _ in range(params.sentences)]
            if segment == where:
                place = int(rng.integers(len(sentences) + 1))
                sentences.insert(place, f"The number of {name} is {number}.")
            paragraphs.append(" ".join(sentences))
        question = f"What is the number of {name}?"
        record = longbench("needle", question, "\n\n".join(paragraphs), number)
        variants = {}
        if split == "train":
            other = shuffle_distractors(rng, record)
            variants["shuffle_distractors"] = (other, key(other))
        yield TextItem(record, key(record), variants)


GENERATOR = TextGenerator("longbench", "recall", Params, items, segmentation="paragraphs")
