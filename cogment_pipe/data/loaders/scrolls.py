"""SCROLLS: <config>/{train,validation,test}.jsonl in folders or zips; rows of one id are one item.

Test = SCROLLS' validation (its test has no answers); train and validation = train. Where there is
no train, validation is divided by document, which the manifest says.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from cogment_pipe.data.fingerprint import Fingerprints
from cogment_pipe.data.generators.text_item import split_of
from cogment_pipe.data.loaders import originals
from cogment_pipe.data.loaders.files import Corpus, Member, need, records
from cogment_pipe.data.task_splits import TaskSplits
from cogment_pipe.data.text_layout import LAYOUTS
from cogment_pipe.errors import CogmentError

LICENCE = "per data set, see scrolls-benchmark.com"
VALIDATION_SHARE = 0.05
CONFIGS = (
    *("gov_report", "summ_screen_fd", "qmsum", "qasper", "narrative_qa", "contract_nli"),
    *("quality", "squality"),  # squality: of ZeroSCROLLS
)


def load(
    corpus: Corpus, datasets: tuple[str, ...] = (), elsewhere: Fingerprints | None = None
) -> TaskSplits:
    """Items {"id", "dataset", "input", "outputs"} by split.

    `elsewhere` knows documents that other tests use (LongBench): they are not trained on.
    """
    done = TaskSplits("scrolls", "scrolls", sources=list(corpus.sources))
    found: dict[str, list[dict]] = {"train": [], "validation": []}
    for member in corpus.members:
        dataset, split = where_from(member)
        if split == "test":
            done.notes.append(f"{member.name} not used (SCROLLS' test has no answers)")
        elif datasets and dataset not in datasets:
            done.notes.append(f"{member.name} not used (data set not asked for)")
        else:
            found[split] += grouped(member, dataset)
    if not any(found.values()):
        raise CogmentError(
            f"corpus {corpus.name}: no rows; expected <config>/train.jsonl and "
            "<config>/validation.jsonl of the SCROLLS archives"
        )
    if found["train"]:
        shares = _by_document(found["train"], 0.0, VALIDATION_SHARE)
        shares["test"] = found["validation"]
    else:
        done.notes.append(
            "no train file: validation is divided by document, 60/20/20, in its place"
        )
        shares = _by_document(found["validation"], 0.2, 0.2)
    done.records |= shares
    _decontaminate(done, elsewhere)
    return done


def grouped(member: Member, dataset: str) -> list[dict]:
    """Rows of one file by id, in order of first sight; references without repetition."""
    items: dict[str, dict] = {}
    for number, row in rows(member):
        where = f"{member.name}, line {number}"
        need(row, where, id=str, input=str, output=str)
        item = items.setdefault(
            row["id"], {"id": row["id"], "dataset": dataset, "input": row["input"], "outputs": []}
        )
        if row["output"] not in item["outputs"]:
            item["outputs"].append(row["output"])
    return list(items.values())


def rows(member: Member):
    """(line, row) of a file in SCROLLS' layout, or of one of the corpora it was made from."""
    dataset = originals.recognise(member)
    return originals.rows(member, dataset) if dataset else records(member)


def where_from(member: Member) -> tuple[str, str]:
    """Data set and split that a file's place and name tell."""
    path = PurePosixPath(member.name.rpartition(":")[2])
    stem = path.stem.lower()
    split = next((s for s in ("train", "validation", "test") if s in stem), "")
    if not split and ("dev" in stem or stem.startswith("val")):
        split = "validation"
    dataset = originals.recognise(member)
    if not dataset:
        parts = [*path.parts[:-1], PurePosixPath(member.name.partition(":")[0]).stem]
        dataset = next((part for part in reversed(parts) if part in CONFIGS), "")
    if not dataset or not split:
        raise CogmentError(
            f"{member.name}: expected <config>/(train|validation|test).jsonl, where <config> is "
            f"one of {', '.join(CONFIGS)}"
        )
    return dataset, split


def _by_document(items: list[dict], test: float, validation: float) -> dict[str, list[dict]]:
    """Items in train, validation and test by a hash of their document, never of their question."""
    shares: dict[str, list[dict]] = {"train": [], "validation": [], "test": []}
    for item in items:
        split = split_of(document(item)[:4000], validation)
        if split == "test" and not test:
            split = "train"
        shares[split].append(item)
    return shares


def document(item: dict) -> str:
    """The document of an item, without its question."""
    example = LAYOUTS["scrolls"](item)
    return " ".join((example.context or example.question).split())


def _decontaminate(done: TaskSplits, elsewhere: Fingerprints | None) -> None:
    """Training and validation items whose document is in a test are dropped, and counted."""
    tests = Fingerprints(document(item) for item in done.records["test"])
    for split in ("train", "validation"):
        kept = []
        for item in done.records[split]:
            text = document(item)
            if tests.holds(text):
                done.drop(split, "document is in the test split")
            elif elsewhere is not None and elsewhere.holds(text):
                done.drop(split, "document is in LongBench")
            else:
                kept.append(item)
        done.records[split] = kept
