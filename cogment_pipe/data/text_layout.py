"""From a record in an upstream layout to what the model reads and what a metric needs.

Every text task goes through here, generated or real, so that both are tokenised alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

# SCROLLS configurations whose input is a document alone, and what is then asked
INSTRUCTIONS = {
    "gov_report": "Write a summary of the report.",
    "summ_screen_fd": "Write a summary of the episode.",
    "multi_news": "Write a summary of the news.",
    "vcsum": "Write a summary of the meeting.",
    "passage_count": "How many different paragraphs are there?",
}


@dataclass(frozen=True)
class Probe:
    """A further question on the same context.

    `bridge`: a word of the question and what that word leads to, on the way to the answer.
    """

    question: str
    answer: str
    bridge: tuple[str, str] | None = None


@dataclass
class TextExample:
    """One item: `question` is asked last, `context` precedes it, `answer` is what training writes.

    `paragraphs` splits the context into (text, needed for the answer) where the layout knows it.
    Generated training items have `probes`, so that one document teaches several lookups, and the
    `bridge` of their own question.
    """

    question: str
    answer: str
    context: str = ""
    paragraphs: list[tuple[str, bool]] = field(default_factory=list)
    gold: dict = field(default_factory=dict)
    difficulty: float = 0.0
    probes: list[Probe] = field(default_factory=list)
    bridge: tuple[str, str] | None = None


def gsm8k(record: dict) -> TextExample:
    """Question; rationale and final `#### N`. Difficulty = number of calculator marks."""
    question, answer = record["question"].strip(), record["answer"].strip()
    gold = {"answers": [answer], "question": question}
    return TextExample(question, answer, gold=gold, difficulty=float(answer.count("<<")))


def hotpotqa(record: dict) -> TextExample:
    """Paragraphs in their stored order; difficulty = number of supporting facts."""
    needed = {title for title, _ in record["supporting_facts"]}
    paragraphs = []
    for title, sentences in record["context"]:
        text = " ".join(sentence.strip() for sentence in sentences)
        shown = text if text.startswith(title) else f"{title}: {text}"
        paragraphs.append((shown, title in needed))
    gold = {
        "answers": [record["answer"]],
        "question": record["question"],
        "supporting_facts": [list(fact) for fact in record["supporting_facts"]],
        "type": record.get("type", ""),
        "id": record["_id"],
    }
    return TextExample(
        record["question"].strip(),
        record["answer"],
        " ".join(text for text, _ in paragraphs),
        paragraphs,
        gold,
        float(len(record["supporting_facts"])),
        _probes(record),
        _bridge(record.get("bridge")),
    )


def longbench(record: dict) -> TextExample:
    """`input` is the question, `answers` are alternatives; difficulty = words of context."""
    dataset = record["dataset"]
    question = record["input"].strip() or INSTRUCTIONS.get(dataset, "Answer:")
    gold = {
        "answers": list(record["answers"]),
        "question": record["input"],
        "all_classes": record["all_classes"],
        "dataset": dataset,
        "id": record["_id"],
    }
    words = float(len(record["context"].split()))
    return TextExample(
        question,
        record["answers"][0],
        record["context"],
        gold=gold,
        difficulty=words,
        probes=_probes(record),
    )


def _probes(record: dict) -> list[Probe]:
    return [Probe(q, a, _bridge(bridge)) for q, a, *bridge in record.get("probes", ())]


def _bridge(words: list | None) -> tuple[str, str] | None:
    return (words[0], words[1]) if words else None


def scrolls(record: dict) -> TextExample:
    """`input` holds question, blank line, document; `outputs` are all references of one id."""
    dataset, text = record["dataset"], record["input"]
    if dataset in INSTRUCTIONS:
        question, context = INSTRUCTIONS[dataset], text
    else:
        question, context = split_question(text, options=dataset == "quality")
    gold = {
        "answers": list(record["outputs"]),
        "question": question,
        "dataset": dataset,
        "id": record["id"],
    }
    words = float(len(context.split()))
    return TextExample(question, record["outputs"][0], context, gold=gold, difficulty=words)


def qa(record: dict) -> TextExample:
    """Own data: question, answer, context (may be empty)."""
    context = record.get("context", "")
    gold = {"answers": [record["answer"]], "question": record["question"]}
    words = float(len(context.split()))
    return TextExample(
        record["question"].strip(), record["answer"], context, gold=gold, difficulty=words
    )


def split_question(text: str, *, options: bool = False) -> tuple[str, str]:
    """Question and document of a SCROLLS input; QuALITY's options belong to the question."""
    parts = text.split("\n\n")
    head = 1
    if options:
        while head < len(parts) - 1 and parts[head].lstrip().startswith(
            ("(A)", "(B)", "(C)", "(D)")
        ):
            head += 1
    return "\n".join(parts[:head]).strip(), "\n\n".join(parts[head:]).strip()


LAYOUTS: dict[str, Callable[[dict], TextExample]] = {
    "gsm8k": gsm8k,
    "hotpotqa": hotpotqa,
    "longbench": longbench,
    "scrolls": scrolls,
    "qa": qa,
}
