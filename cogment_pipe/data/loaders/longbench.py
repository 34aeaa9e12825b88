"""LongBench v1: data/<task>.jsonl in a folder or data.zip. Test only, English by default.

LongBench-E (<task>_e.jsonl) repeats rows of the other files and is left out.
"""

from __future__ import annotations

from cogment_pipe.data.loaders.files import Corpus, need, records, texts
from cogment_pipe.data.task_splits import TaskSplits
from cogment_pipe.errors import CogmentError

LICENCE = "MIT (texts: their own)"
FIELDS = ("input", "context", "answers", "length", "dataset", "language", "all_classes", "_id")


def load(
    corpus: Corpus, languages: tuple[str, ...] = ("en",), datasets: tuple[str, ...] = ()
) -> TaskSplits:
    """All rows of the wanted languages (and data sets, where named) as test records."""
    done = TaskSplits("longbench", "longbench", sources=list(corpus.sources))
    for member in corpus.members:
        if member.stem.endswith("_e"):
            done.notes.append(f"{member.name} not used (LongBench-E repeats other rows)")
            continue
        for number, raw in records(member):
            record = checked(raw, f"{member.name}, line {number}")
            if record["language"] not in languages:
                done.drop("test", f"language {record['language']}")
            elif datasets and record["dataset"] not in datasets:
                done.drop("test", "data set not asked for")
            else:
                done.records["test"].append(record)
    return done


def checked(record: dict, where: str) -> dict:
    """One row with upstream's fields, or a CogmentError."""
    need(record, where, input=str, context=str, answers=list, length=int, dataset=str, language=str)
    if not texts(record["answers"], where, "answers"):
        raise CogmentError(f"{where}: field 'answers' is empty")
    if record.get("all_classes") is not None:
        texts(record["all_classes"], where, "all_classes")
    return {"all_classes": None, "_id": where, **{k: record[k] for k in FIELDS if k in record}}
