"""Byte-level BPE for the text stages, through the library `tokenizers`.

Digits are split one by one, any UTF-8 round-trips, and training sees training splits only. Ids of
the special tokens are fixed, so no model depends on where a corpus put them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import MANIFEST, sha256_file, sidecar, write_manifest

PAD, BOS, EOS, SEP, SEG = range(5)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<sep>", "<seg>")
SMALLEST = len(SPECIAL) + 256
SHORT, REMEMBERED = 80, 1 << 16  # characters of a text whose ids are kept, and how many such texts


class Tokenizer:
    """Text to ids and back; user text never yields the id of a special token."""

    def __init__(self, backend: tokenizers.Tokenizer):
        self.backend = backend
        backend.encode_special_tokens = True  # "<eos>" typed in a document stays plain characters
        self._known: dict[str, list[int]] = {}

    @property
    def size(self) -> int:
        """Number of ids in use (may be below the model's vocab_size)."""
        return self.backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; no special tokens are added."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """`encode` of several texts at once; short ones, such as names, are encoded once."""
        known = self._known if len(self._known) < REMEMBERED else {}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        made = self.backend.encode_batch(new, add_special_tokens=False) if new else []
        ids = {text: one.ids for text, one in zip(new, made, strict=True)}
        found = [list(ids[text] if text in ids else known[text]) for text in texts]
        known.update((text, row) for text, row in ids.items() if len(text) <= SHORT)
        self._known = known
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`; special tokens vanish, broken UTF-8 becomes the replacement character."""
        return self.backend.decode([int(i) for i in ids], skip_special_tokens=True)


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """BPE over `texts`, a function of the texts and the size alone.

    Raises CogmentError where `vocab_size` cannot hold the bytes and the special tokens.
    """
    if vocab_size < SMALLEST:
        raise CogmentError(
            f"vocab_size {vocab_size} is too small: special tokens and bytes need {SMALLEST}"
        )
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Counting words in several threads would let ties between merges fall differently.
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        backend.train_from_iterator(texts, trainer=trainer)
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
    return Tokenizer(backend)


def train_tokenizer(slice: dict, corpora: list[Path], out: Path) -> None:
    """Train on the training splits found in `corpora`; write `out` and its sealed sidecar.

    `corpora` are folders made by `corpus.split_corpus`; `slice` gives `vocab_size`. This is the
    first place that sees all text stages, so it refuses (CogmentError) to go on where one of them
    trains on what another one tests.
    """
    from cogment_pipe.data.cross_leaks import question_leaks
    from cogment_pipe.data.split_text import training_texts
    from cogment_pipe.data.storage import write_json

    folders = [Path(folder) for folder in corpora]
    for what, count in question_leaks(folders).items():
        if count:
            raise CogmentError(
                f"leak across tasks: {count} {what}; drop them from the training file"
            )

    def texts() -> Iterator[str]:
        for folder in folders:
            yield from training_texts(folder)

    tokenizer = train(texts(), int(slice["vocab_size"]))
    out = Path(out)
    sidecar(out).unlink(missing_ok=True)  # never the seal of another tokenizer
    write_json(out, json.loads(tokenizer.backend.to_str()))
    corpora_read = {folder.name: sha256_file(folder / MANIFEST) for folder in folders}
    content = {"slice": slice, "inputs": corpora_read, "vocabulary": tokenizer.size}
    write_manifest(out.parent, content, [out.name], sidecar(out).name)


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer that `train_tokenizer` wrote; CogmentError where it is absent or broken."""
    path = Path(path)
    if not path.is_file():
        raise CogmentError(f"{path}: no such tokenizer; run the rule train_tokenizer first")
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for every kind of damage
        raise CogmentError(f"{path}: not a tokenizer file ({error}); delete it and rerun") from None
    ids = tuple(backend.token_to_id(token) for token in SPECIAL)
    if ids != tuple(range(len(SPECIAL))):
        raise CogmentError(f"{path}: special tokens have ids {ids}, expected 0 to 4; retrain it")
    return Tokenizer(backend)
