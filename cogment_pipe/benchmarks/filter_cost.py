"""What the gradient filter costs, beside the least that memory traffic allows, in one process.

The least is four passes over the gradients: read g, read and write its average, write g. Their
time is taken from `add_`, three passes (two reads, one write), over tensors of the same sizes.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from cogment_pipe.atomic import write_json
from cogment_pipe.benchmark_config import FilterSlice
from cogment_pipe.benchmarks.throughput.meters import timed
from cogment_pipe.determinism import environment, set_determinism
from cogment_pipe.grokfast import FilterRule, GradientFilter
from cogment_pipe.provenance import write_manifest
from cogment_pipe.rng import torch_stream

log = logging.getLogger(__name__)

CPU = torch.device("cpu")
FLOOR_PASSES, ADD_PASSES = 4, 3
AT_MOST_FLOORS, AT_LEAST_NAIVE = 1.5, 2.0
RULE = FilterRule(lamb=2.0, alpha=0.98)


class NaiveFilter:
    """The published loop: new tensors for the average and for the gradient, at every step."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.averages = [p.grad.detach().clone() for p in parameters]

    @torch.no_grad()
    def apply(self) -> None:
        """g + lambda * average, average = alpha * average + (1 - alpha) * g."""
        for i, parameter in enumerate(self.parameters):
            gradient = parameter.grad
            self.averages[i] = self.averages[i] * RULE.alpha + gradient * (1 - RULE.alpha)
            parameter.grad = gradient + self.averages[i] * RULE.lamb


def measure(slice: FilterSlice, source: str, out: Path) -> None:
    """Time filter, published loop and floor in turn; write table.json and a manifest into `out`."""
    set_determinism(slice.threads, strict=True)
    settings = slice.filter
    own, naive, spare = (_parameters(slice) for _ in range(3))
    ours, theirs = GradientFilter({"core": own}, {"core": RULE}), NaiveFilter(_plain(naive))

    def floor() -> None:
        with torch.no_grad():
            for parameter in _plain(spare):
                parameter.add_(parameter.grad)

    ways = {"filter": ours.apply, "naive": theirs.apply, "floor": floor}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(settings.warmup + settings.repeats):
        for name, way in ways.items():
            spent = timed(way, CPU)
            if turn >= settings.warmup:
                seconds[name].append(spent)
    seconds["floor"] = [s * FLOOR_PASSES / ADD_PASSES for s in seconds["floor"]]
    row = _figures(seconds) | {"allocated_bytes": allocated(ours.apply)}
    log.info("filter cost: %s", row)
    content = {
        "title": "GrokFast's filter: milliseconds of a step",
        "at_most_floors": AT_MOST_FLOORS,
        "at_least_naive": AT_LEAST_NAIVE,
        "reached": row["floors"] <= AT_MOST_FLOORS and row["times_faster"] >= AT_LEAST_NAIVE,
        "rows": [{**settings.model_dump(mode="json"), "threads": slice.threads, **row}],
        "environment": environment(CPU, "fp32"),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "table.json", content)
    manifest = {"slice": slice.model_dump(mode="json"), "source": source, "inputs": {}}
    write_manifest(out, manifest, ["table.json"])


def allocated(action: Callable[[], object]) -> int:
    """Bytes of tensors that `action` allocates, by the profiler."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        action()
    events = profile.key_averages()
    return sum(max(0, event.self_cpu_memory_usage) for event in events)


def _parameters(slice: FilterSlice) -> list[tuple[str, nn.Parameter]]:
    """Named parameters of one size, with gradients of training's magnitude."""
    settings = slice.filter
    size = settings.parameters // settings.tensors
    draws = torch_stream(slice.seed, 0, 0, 0, "filter")
    made = []
    for i in range(settings.tensors):
        parameter = nn.Parameter(torch.zeros(size))
        parameter.grad = torch.randn(size, generator=draws) * 1e-3
        made.append((f"p{i:03}", parameter))
    return made


def _plain(named: list[tuple[str, nn.Parameter]]) -> list[nn.Parameter]:
    return [parameter for _, parameter in named]


def _figures(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Medians in milliseconds, and the ratios of the medians."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {f"{name}_ms": float(f"{1e3 * median:.5g}") for name, median in medians.items()} | {
        "floors": round(medians["filter"] / medians["floor"], 3),
        "times_faster": round(medians["naive"] / medians["filter"], 3),
    }
