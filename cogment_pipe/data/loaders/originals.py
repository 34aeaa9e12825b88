"""Corpora that SCROLLS was made from, in their own files: QMSum, Qasper, QuALITY, SQuALITY.

Each becomes rows {"id", "input", "output"}: question, blank line, document. Ids are ours.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import islice

from cogment_pipe.data.loaders.files import Member, document, need, records
from cogment_pipe.errors import CogmentError

# Fields that tell a corpus; QuALITY has a layout of lists and one of numbered columns.
MARKS = (
    ("qmsum", {"meeting_transcripts", "general_query_list"}),
    ("quality", {"article", "questions"}),
    ("quality", {"article", "question1"}),
    ("squality", {"document", "questions"}),
)
_TAG = re.compile(r"<[^>]*>")


def recognise(member: Member) -> str:
    """Name of the data set by the fields of the first record; "" for anything else."""
    if "qasper" in member.stem.lower() and member.name.endswith(".json"):
        return "qasper"
    if member.name.endswith(".parquet"):
        return ""
    for _, record in islice(records(member), 1):
        for name, fields in MARKS:
            if fields <= record.keys():
                return name
    return ""


def rows(member: Member, dataset: str) -> Iterator[tuple[int, dict]]:
    """(line, row) in SCROLLS' layout; rows of one id are alternative references."""
    if dataset == "qasper":
        yield from _qasper(member)
        return
    for number, record in records(member):
        where = f"{member.name}, line {number}"
        try:
            for id_, text, output in READERS[dataset](record, where):
                row = {"id": f"{member.stem}_{number}_{id_}", "input": text, "output": output}
                yield number, row
        except (KeyError, TypeError, IndexError) as error:
            raise CogmentError(f"{where}: not a {dataset} record ({error!r})") from None


def _qmsum(record: dict, where: str) -> Iterator[tuple[str, str, str]]:
    need(record, where, meeting_transcripts=list)
    meeting = "\n".join(f"{t['speaker']}: {t['content']}" for t in record["meeting_transcripts"])
    queries = record["general_query_list"] + record.get("specific_query_list", [])
    for number, query in enumerate(queries):
        yield str(number), f"{query['query']}\n\n{meeting}", query["answer"]


def _quality(record: dict, where: str) -> Iterator[tuple[str, str, str]]:
    article = record["article"]
    article = "\n".join(article) if isinstance(article, list) else article
    article = html.unescape(_TAG.sub("", article))
    questions = record["questions"] if "questions" in record else _columns(record)
    for number, question in enumerate(questions):
        if "gold_label" not in question:
            continue  # QuALITY's own test has no labels
        options = question["options"]
        listed = "\n\n".join(f"({'ABCD'[i]}) {text}" for i, text in enumerate(options))
        text = f"{question['question']}\n\n{listed}\n\n{article}"
        yield str(number), text, options[int(question["gold_label"]) - 1]


def _columns(record: dict) -> Iterator[dict]:
    """Questions 1, 2, ... of QuALITY's column layout, in the form of its list layout."""
    number = 1
    while (name := f"question{number}") in record:
        options = [record[f"{name}option{i}"] for i in (1, 2, 3, 4)]
        yield {
            "question": record[name],
            "options": options,
            "gold_label": record[f"{name}_gold_label"],
        }
        number += 1


def _squality(record: dict, where: str) -> Iterator[tuple[str, str, str]]:
    need(record, where, document=str)
    for question in record["questions"]:
        for response in question["responses"]:
            text = f"{question['question_text']}\n\n{record['document']}"
            yield str(question["question_number"]), text, response["response_text"]


def _qasper(member: Member) -> Iterator[tuple[int, dict]]:
    papers = document(member)
    if not isinstance(papers, dict):
        raise CogmentError(f"{member.name}: expected an object of papers")
    for number, (paper, content) in enumerate(papers.items(), 1):
        try:
            sections = [content["title"], content["abstract"]]
            for section in content["full_text"]:
                sections += [section["section_name"] or "", *section["paragraphs"]]
            text = "\n".join(sections)
            for question in content["qas"]:
                for one in question["answers"]:
                    row = {
                        "id": f"{paper}_{question['question_id']}",
                        "input": f"{question['question']}\n\n{text}",
                        "output": _qasper_answer(one["answer"]),
                    }
                    yield number, row
        except (KeyError, TypeError) as error:
            raise CogmentError(f"{member.name}, paper {paper}: not Qasper ({error!r})") from None


def _qasper_answer(answer: dict) -> str:
    if answer["unanswerable"]:
        return "Unanswerable"
    if answer["extractive_spans"]:
        return ", ".join(answer["extractive_spans"])
    if answer["free_form_answer"]:
        return answer["free_form_answer"]
    return "Yes" if answer["yes_no"] else "No"


READERS = {"qmsum": _qmsum, "quality": _quality, "squality": _squality}
