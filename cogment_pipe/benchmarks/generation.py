"""How much faster generation is with its cache: the same prompts both ways, in one process.

Weights are random, since speed does not depend on them, and the end token is never drawn, so that
every answer has its full length. Both ways must give the same tokens, or there is no figure.
"""

from __future__ import annotations

import logging
import statistics
from pathlib import Path

import torch
from torch import Tensor

from cogment_pipe.atomic import write_json
from cogment_pipe.benchmark_config import GenerationSlice
from cogment_pipe.benchmarks.throughput.meters import timed
from cogment_pipe.determinism import environment, set_determinism
from cogment_pipe.errors import CogmentError
from cogment_pipe.model.decode import END, Generated, Sampling, generate
from cogment_pipe.model.feed import TextFeed
from cogment_pipe.model.model import Cogment
from cogment_pipe.provenance import write_manifest
from cogment_pipe.rng import torch_stream
from cogment_pipe.stage_run import pick_device, pick_precision

log = logging.getLogger(__name__)

AT_LEAST = 5.0  # how many times faster the cache must be
STAGE, TASK = 3, 8
FIRST_WORD = 5  # smallest token that is no special one


class NeverEnding(Sampling):
    """Greedy, without the end token."""

    def draw(self, logits: Tensor) -> Tensor:
        """Next tokens (B,) from logits (B, vocab)."""
        logits = logits.clone()
        logits[:, END] = -torch.inf
        return super().draw(logits)


def measure(slice: GenerationSlice, source: str, device: str, out: Path) -> None:
    """Time every number of rows and write table.json and a manifest into `out`.

    Raises CogmentError where the two ways differ in a token.
    """
    set_determinism(slice.threads, slice.deterministic)
    target = pick_device(device)
    torch.manual_seed(slice.seed)
    model = Cogment(slice.model).to(target).eval()
    precision = pick_precision(slice.precision, target)
    rows = [_row(model, slice, count, precision) for count in slice.generation.rows]
    least = min(row["ratio"] for row in rows)
    given = slice.generation.model_dump(mode="json", exclude={"rows"})
    where = environment(target, precision)
    content = {"title": "generation", "at_least": AT_LEAST, "reached": least >= AT_LEAST, **given}
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "table.json", {**content, "rows": rows, "environment": where})
    content = {"slice": slice.model_dump(mode="json"), "source": source, "inputs": {}}
    write_manifest(out, content, ["table.json"])


def _row(model: Cogment, slice: GenerationSlice, rows: int, precision: str) -> dict:
    """Seconds of a whole generation with and without the cache: medians over the repeats."""
    settings, home = slice.generation, slice.home
    device = next(model.parameters()).device
    shape = (rows, settings.prompt_tokens)
    draws = torch_stream(slice.seed, STAGE, 0, rows, "generation")
    tokens = torch.randint(FIRST_WORD, slice.model.vocab_size, shape, generator=draws).to(device)
    length = torch.full((rows,), settings.prompt_tokens, device=device)
    feed = TextFeed(STAGE, TASK, tokens, length, length)

    def run(cache: bool) -> Generated:
        options = {"max_new": settings.new_tokens, "sampling": NeverEnding(), "cache": cache}
        half = {"fp16": torch.float16}.get(precision, torch.bfloat16)
        with torch.autocast(device.type, half, enabled=precision != "fp32"):
            return generate(model, feed, home, **options)

    said = [run(cache).tokens for cache in (True, False)]  # not timed: the first ones warm up
    if said[0] != said[1]:
        raise CogmentError(f"generation of {rows} rows differs with and without the cache")
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(settings.repeats):
        for cache, times in seconds.items():
            times.append(timed(lambda c=cache: run(c), device))
    cached, plain = (statistics.median(times) for times in seconds.values())
    log.info("%d rows: %.3f s cached, %.3f s without", rows, cached, plain)
    return {
        "rows": rows,
        "cached_seconds": round(cached, 4),
        "plain_seconds": round(plain, 4),
        "ratio": round(plain / cached, 2),
        "lowest_ratio": round(min(p / c for c, p in zip(*seconds.values(), strict=True)), 2),
        "tokens_a_second": round(rows * settings.new_tokens / cached, 1),
    }
