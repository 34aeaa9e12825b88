"""The split text of a stage as later steps read it: records, and the texts of training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from cogment_pipe.data.storage import read_json
from cogment_pipe.data.text_layout import LAYOUTS
from cogment_pipe.errors import CogmentError


def read_records(path: Path) -> Iterator[dict]:
    """Records of one of the JSONL files that `split_corpus` wrote."""
    try:
        with path.open(encoding="utf-8") as handle:
            for line in handle:
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise CogmentError(f"{path}: unreadable ({error}); run split_corpus again") from None


def training_texts(folder: Path) -> Iterator[str]:
    """Texts of the training splits in a folder made by `split_corpus`, as they will be encoded."""
    manifest = read_json(Path(folder) / "manifest.json")
    for name, entry in manifest["tasks"].items():
        parse = LAYOUTS[entry["layout"]]
        for record in read_records(Path(folder) / f"{name}.train.jsonl"):
            example = parse(record)
            for text in (example.context, example.question, example.answer):
                if text:
                    yield " " + text
