"""Two-hop questions over short paragraphs, in HotpotQA's layout.

bridge: the question names a work, its paragraph names a person, that person's paragraph holds the
answer. comparison: the oldest of all persons, so every person's paragraph is needed. Every work has
a person and every person has a value of the asked kind, so that one paragraph alone never tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from pydantic import Field, model_validator

from cogment_pipe.data.generators import lexicon
from cogment_pipe.data.generators.text_item import TextGenerator, TextItem, choose, one, split_of
from cogment_pipe.rng import stream
from cogment_pipe.task_config import Strict

# Words between a name and what is said of it are at most two: the memory's keys reach over three
# positions (model/memory.py).
# kind of work: (statement, noun of the person behind it)
RELATIONS = (
    ("{w} is by {p}.", "maker"),
    ("{w} belongs to {p}.", "owner"),
    ("{w} follows {p}.", "leader"),
    ("{w} comes from {p}.", "seller"),
)
# what is asked of a person: (statement, question, values)
ATTRIBUTES = {
    "city": ("{p} lives in {v}.", "Where does {p} live?", lexicon.CITIES),
    "job": ("{p} is a {v}.", "What is the job of {p}?", lexicon.JOBS),
    "pet": ("{p} has a {v}.", "What pet does {p} have?", lexicon.PETS),
}
BEHIND = "the {r} of {w}"  # takes the person's place in a question of two hops
AGE = ("{p} is {v} years old.", "Who is the oldest of {names}?")
WHO = "Who is {b}?"
CUE = {"city": "in", "job": "a", "pet": "a"}


class Params(Strict):
    """Parameters of `two_hop`."""

    distractors: int = Field(
        5, ge=1, le=8, description="other persons, each with a value, and a work with a paragraph"
    )
    comparison: float = Field(0.25, ge=0.0, le=1.0, description="share of comparison questions")
    attributes: list[str] = Field(["city", "job", "pet"], description="what bridges ask for")
    extra_sentences: int = Field(
        0, ge=0, le=2, description="further sentences per person, on what is not asked"
    )
    probes: int = Field(
        0, ge=0, le=24, description="training rows: further questions, of one hop or two"
    )
    trace: bool = Field(
        False,
        description="training rows: targets begin at the word that is asked about, and at a work "
        "it is the person behind it",
    )

    @model_validator(mode="after")
    def _known(self) -> Params:
        if not self.attributes or set(self.attributes) - set(ATTRIBUTES):
            raise ValueError(f"attributes must be among {', '.join(ATTRIBUTES)}")
        return self


def items(params: Params, split: str, *, seed: int, stage: int, purpose: str) -> Iterator[TextItem]:
    """Endless stream of items of one split; a question's wording belongs to one split only.

    The place of the answer among the candidates goes round, so that no place is a good guess.
    """
    if split != "train":
        params = params.model_copy(update={"probes": 0, "trace": False})
    step, made = 0, [0, 0]
    while True:
        rng = stream(seed, stage, step, 0, f"{purpose}/{split}")
        compare = (step * params.comparison) % 1.0 + params.comparison >= 1.0
        step += 1
        rank = made[compare] % (params.distractors + 1)
        made[compare] += 1
        while True:
            record = (_comparison if compare else _bridge)(rng, params, rank)
            if split_of(record["question"]) == split:
                break
        variants = {}
        if split == "train":
            for name, change in AUGMENTATIONS.items():
                other = change(rng, record)
                if split_of(other["question"]) == "train":
                    variants[name] = (other, key(other))
        yield TextItem(record, key(record), variants)


def key(record: dict) -> str:
    """Question and set of paragraphs, so that a mere reordering counts as the same item."""
    paragraphs = sorted(title + "\t" + " ".join(text) for title, text in record["context"])
    return "\n".join([record["question"], *paragraphs]).lower()


def _persons(
    rng: np.random.Generator, params: Params, asked: str
) -> tuple[list[str], dict[str, str], list[list]]:
    """Names, the asked value of each, and one paragraph each."""
    names = choose(rng, lexicon.NAMES, params.distractors + 1)
    others = [kind for kind in ATTRIBUTES if kind != asked]
    kinds = [asked, *choose(rng, others, params.extra_sentences)]
    sentences: dict[str, list[str]] = {name: [] for name in names}
    values: dict[str, str] = {}
    for kind in kinds:
        if kind == "age":
            # Distinct tens, so that the first digit decides: no arithmetic in a reading task.
            tens = choose(rng, range(1, 10), len(names))
            drawn = [str(10 * ten + int(rng.integers(10))) for ten in tens]
            statement = AGE[0]
        else:
            statement, _, pool = ATTRIBUTES[kind]
            drawn = choose(rng, pool, len(names))
        for name, value in zip(names, drawn, strict=True):
            sentences[name].append(statement.format(p=name, v=value))
            if kind == asked:
                values[name] = value
    for name in names:
        sentences[name] = choose(rng, sentences[name], len(sentences[name]))
    return names, values, [[name, sentences[name]] for name in names]


def _works(rng: np.random.Generator, names: list[str]) -> tuple[list[str], list[int], list[list]]:
    works = choose(rng, lexicon.WORKS, len(names))
    relations = [int(rng.integers(len(RELATIONS))) for _ in works]
    paragraphs = [
        [work, [RELATIONS[relation][0].format(w=work, p=name)]]
        for work, relation, name in zip(works, relations, names, strict=True)
    ]
    return works, relations, paragraphs


def _bridge(rng: np.random.Generator, params: Params, rank: int) -> dict:
    asked = one(rng, params.attributes)
    names, values, persons = _persons(rng, params, asked)
    works, relations, about = _works(rng, names)
    wording = ATTRIBUTES[asked][1]
    behind = [
        BEHIND.format(r=RELATIONS[relation][1], w=work)
        for work, relation in zip(works, relations, strict=True)
    ]
    question = wording.format(p=behind[0])
    fact = next(i for i, text in enumerate(persons[0][1]) if _tells(text, values[names[0]]))
    support = [[works[0], 0], [names[0], fact]]
    context = _placed(rng, persons, about, names[0], rank)
    hops = list(zip(behind, zip(works, names, strict=True), strict=True))
    further = [[wording.format(p=b), values[hop[1]], *hop] for b, hop in hops][1:]
    further += [[WHO.format(b=b), hop[1], *hop] for b, hop in hops]
    further += [[wording.format(p=name), values[name], name, values[name]] for name in names]
    record = _record(question, values[names[0]], "bridge", support, context)
    if params.trace:
        record["bridge"] = list(hops[0][1])
    return _with_probes(rng, params, record, further)


def _comparison(rng: np.random.Generator, params: Params, rank: int) -> dict:
    names, ages, persons = _persons(rng, params, "age")
    _, _, about = _works(rng, names)
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    support = [
        [name, next(i for i, text in enumerate(texts) if _tells(text, ages[name]))]
        for name, texts in persons
    ]
    answer = max(names, key=lambda name: int(ages[name]))
    question = AGE[1].format(names=listed)
    context = _placed(rng, persons, about, answer, rank)
    record = _record(question, answer, "comparison", support, context)
    if params.trace:
        record["bridge"] = [names[-1], answer]
    further = []
    for _ in range(params.probes):
        some = choose(rng, names, int(rng.integers(2, len(names))))
        asked = AGE[1].format(names=f"{', '.join(some[:-1])} and {some[-1]}")
        oldest = max(some, key=lambda name: int(ages[name]))
        further.append([asked, oldest, some[-1], oldest])
    return _with_probes(rng, params, record, further)


def _with_probes(
    rng: np.random.Generator, params: Params, record: dict, further: list[list[str]]
) -> dict:
    """The record with some of the further questions; no wording that another split may hold.

    A question is [text, answer] and, with `trace`, the word from which on it can be answered and
    what is to be said at that word: the person behind a work, else the answer.
    """
    own = [q if params.trace else q[:2] for q in further if split_of(q[0]) == "train"]
    kept = choose(rng, own, params.probes)
    return {**record, "probes": kept} if kept else record


def _tells(sentence: str, value: str) -> bool:
    return value in sentence.rstrip(".").split()


def _placed(
    rng: np.random.Generator, persons: list[list], about: list[list], gold: str, rank: int
) -> list[list]:
    """All paragraphs in random order, but for `gold` being the person number `rank` among them."""
    context = choose(rng, persons + about, len(persons) + len(about))
    titles = {name for name, _ in persons}
    places = [i for i, (title, _) in enumerate(context) if title in titles]
    here = next(i for i in places if context[i][0] == gold)
    there = places[rank]
    context[here], context[there] = context[there], context[here]
    return context


def _record(
    question: str, answer: str, kind: str, support: list[list], context: list[list]
) -> dict:
    return _identified(
        {
            "question": question,
            "answer": answer,
            "type": kind,
            "level": "easy",
            "supporting_facts": support,
            "context": context,
        }
    )


def _identified(record: dict) -> dict:
    text = repr((record["question"], record["context"]))
    return {"_id": hashlib.sha256(text.encode()).hexdigest()[:24], **record}


def shuffle_passages(rng: np.random.Generator, record: dict) -> dict:
    """The same paragraphs in another order; question, answer and support stay."""
    plain = {name: value for name, value in record.items() if name != "_id"}
    return _identified({**plain, "context": choose(rng, record["context"], len(record["context"]))})


def rename_entities(rng: np.random.Generator, record: dict) -> dict:
    """Persons and works under other names of the same lists, in every field."""
    table: dict[str, str] = {}
    for pool in (lexicon.NAMES, lexicon.WORKS):
        table.update(zip(pool, choose(rng, pool, len(pool)), strict=True))

    def renamed(text: str) -> str:
        words = text.split(" ")
        for i, word in enumerate(words):
            bare = word.rstrip(".,?")
            words[i] = table.get(bare, bare) + word[len(bare) :]
        return " ".join(words)

    extras: dict[str, list] = {}
    if "probes" in record:
        extras["probes"] = [list(map(renamed, probe)) for probe in record["probes"]]
    if "bridge" in record:
        extras["bridge"] = list(map(renamed, record["bridge"]))
    return _identified(
        {
            "question": renamed(record["question"]),
            "answer": renamed(record["answer"]),
            "type": record["type"],
            "level": record["level"],
            "supporting_facts": [[renamed(t), i] for t, i in record["supporting_facts"]],
            "context": [[renamed(t), [renamed(s) for s in ss]] for t, ss in record["context"]],
            **extras,
        }
    )


AUGMENTATIONS = {
    "rename_entities": rename_entities,
    "shuffle_passages": shuffle_passages,
}


def shortcuts(records: list[dict], train: list[dict]) -> dict[str, float]:
    """Exact match of answering without the second hop, by several rules; the highest is the figure.

    Each rule knows the kind of answer wanted. overlap: first candidate in the paragraphs, taken in
    order of words shared with the question; commonest: the candidate that training answers name
    most; first and last: by place in the context; next: the candidate nearest after the paragraph
    that shares most words.
    """
    counts: dict[str, int] = {}
    for record in train:
        counts[record["answer"]] = counts.get(record["answer"], 0) + 1
    right = dict.fromkeys(("overlap", "commonest", "first", "last", "next"), 0)
    for record in records:
        asked = set(_words(record["question"]))
        found: list[list[str]] = [_candidates(record, texts) for _, texts in record["context"]]
        shared = [len(asked & set(_words(" ".join(texts)))) for _, texts in record["context"]]
        order = sorted(range(len(shared)), key=lambda i: -shared[i])
        after = order[0:1] + [(order[0] + k) % len(shared) for k in range(1, len(shared))]
        flat = [value for values in found for value in values]
        guess = {
            "overlap": next(v for i in order for v in found[i]),
            "commonest": max(flat, key=lambda v: (counts.get(v, 0), v)),
            "first": flat[0],
            "last": flat[-1],
            "next": next(v for i in after for v in found[i]),
        }
        for name, value in guess.items():
            right[name] += value == record["answer"]
    total = max(1, len(records))
    rates = {f"one_hop_{name}": count / total for name, count in right.items()}
    return {"one_hop_shortcut": max(rates.values(), default=0.0), **rates}


def _words(text: str) -> list[str]:
    small = {"the", "of", "is", "was", "a", "in", "by", "and", "does", "what", "where", "who"}
    return [w for w in text.lower().replace(",", " ").rstrip(".?").split() if w not in small]


def _candidates(record: dict, texts: list[str]) -> list[str]:
    """Values of the wanted kind in one paragraph: a person's in comparisons, else the attribute."""
    answer = record["answer"]
    pools = [lexicon.NAMES, *(pool for _, _, pool in ATTRIBUTES.values())]
    pool = next(pool for pool in pools if answer in pool)
    words = [word.rstrip(".") for text in texts for word in text.split()]
    if record["type"] == "comparison" and "years" not in words:
        return []
    return [word for word in words if word in pool]


GENERATOR = TextGenerator("hotpotqa", "hotpot", Params, items, shortcuts=shortcuts)
