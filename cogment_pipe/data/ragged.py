"""Ragged token arrays: items of any length, one after the other, with offsets beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cogment_pipe.data.storage import write_array, write_atomic
from cogment_pipe.data.text_layout import TextExample


@dataclass
class Encoded:
    """One item as ids: earlier segments, then prompt (with <sep>) and answer (with <eos>).

    The last `asked` ids of the prompt are the question. `hints` are (place in the prompt, id that
    is to be predicted there).
    """

    prompt: list[int]
    answer: list[int]
    segments: list[list[int]] = field(default_factory=list)
    asked: int = 0
    hints: list[tuple[int, int]] = field(default_factory=list)


class RaggedWriter:
    """Collects items and writes them as flat arrays with offsets."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.offsets = [0]
        self.prompt: list[int] = []
        self.hints: list[tuple[int, int]] = []
        self.hint_rows = [0]
        self.segments: list[int] = []
        self.segment_offsets = [0]
        self.segment_rows = [0]
        self.gold: list[bytes] = []
        self.difficulty: list[float] = []

    def add(self, item: Encoded, example: TextExample) -> None:
        """One item; all items come before the first variant."""
        self.add_variant(item)
        line = json.dumps(example.gold, sort_keys=True, ensure_ascii=False) + "\n"
        self.gold.append(line.encode())
        self.difficulty.append(example.difficulty)

    def add_variant(self, item: Encoded) -> None:
        """Tokens alone; variants come in the order of the items they belong to."""
        self.tokens += item.prompt + item.answer
        self.offsets.append(len(self.tokens))
        self.prompt.append(len(item.prompt))
        self.hints += item.hints
        self.hint_rows.append(len(self.hints))
        for segment in item.segments:
            self.segments += segment
            self.segment_offsets.append(len(self.segments))
        self.segment_rows.append(len(self.segment_offsets) - 1)

    def statistics(self) -> dict[str, dict[str, int]]:
        """Median, 95th percentile and maximum of prompt, answer and segment lengths in tokens."""
        prompt = np.array(self.prompt, dtype=np.int64)
        whole = np.diff(self.offsets)
        lengths = {
            "prompt": prompt,
            "answer": whole - prompt,
            "segment": np.diff(self.segment_offsets),
            "segments": np.diff(self.segment_rows),
        }
        return {
            name: {
                "median": int(np.percentile(values, 50, method="lower")),
                "p95": int(np.percentile(values, 95, method="lower")),
                "max": int(values.max()),
            }
            for name, values in lengths.items()
            if len(values)
        }

    def write(
        self, out: Path, name: str, split: str, variants: np.ndarray, vocab_size: int
    ) -> None:
        """Write all arrays and the items' JSON lines, each atomically."""
        ids = np.uint16 if vocab_size <= 1 << 16 else np.uint32
        gold_offsets = np.cumsum([0, *map(len, self.gold)])[:-1]
        arrays = {
            "tokens": np.array(self.tokens, dtype=ids),
            "offsets": np.array(self.offsets, dtype=np.int64),
            "prompt": np.array(self.prompt, dtype=np.int32),
            "hints": np.array(self.hints, dtype=np.int32).reshape(-1, 2),
            "hint_rows": np.array(self.hint_rows, dtype=np.int64),
            "segments": np.array(self.segments, dtype=ids),
            "segment_offsets": np.array(self.segment_offsets, dtype=np.int64),
            "segment_rows": np.array(self.segment_rows, dtype=np.int64),
            "variants": np.asarray(variants, dtype=np.int64),
            "gold_offsets": gold_offsets.astype(np.int64),
            "difficulty": np.array(self.difficulty, dtype=np.float32),
        }
        for array, values in arrays.items():
            write_array(out / f"{name}.{split}.{array}.npy", values)
        file = out / f"items.{name}.{split}.jsonl"
        write_atomic(file, lambda handle: handle.writelines(self.gold))
