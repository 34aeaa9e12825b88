"""Whether a long document occurs among others, however it was cut, spaced or punctuated.

Runs of words are hashed where their first words say so, not at fixed places, so that a document
that starts elsewhere still shares its hashes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator

WORDS = 12
EVERY = 16  # about one run in so many is kept
SHARE = 0.3  # of the smaller document's runs
_WORD = re.compile(r"\w+")


def runs(text: str) -> set[int]:
    """Hashes of some runs of words; of the whole text where it is too short to have any."""
    found = set(_runs(_WORD.findall(text.lower())))
    return found or {zlib.crc32(" ".join(_WORD.findall(text.lower())).encode())}


def _runs(words: list[str]) -> Iterator[int]:
    for i in range(len(words) - WORDS + 1):
        if zlib.crc32(f"{words[i]} {words[i + 1]}".encode()) % EVERY == 0:
            yield zlib.crc32(" ".join(words[i : i + WORDS]).encode())


class Fingerprints:
    """A set of documents that can be asked whether it holds another."""

    def __init__(self, documents: Iterable[str]) -> None:
        self._sizes: list[int] = []
        self._places: dict[int, list[int]] = {}
        for number, text in enumerate(documents):
            found = runs(text)
            self._sizes.append(len(found))
            for run in found:
                self._places.setdefault(run, []).append(number)

    def holds(self, text: str) -> bool:
        """True where a document shares `SHARE` of the smaller one's runs with `text`."""
        found = runs(text)
        shared: dict[int, int] = {}
        for run in found:
            for number in self._places.get(run, ()):
                shared[number] = shared.get(number, 0) + 1
        return any(
            count >= SHARE * min(len(found), self._sizes[number])
            for number, count in shared.items()
        )
