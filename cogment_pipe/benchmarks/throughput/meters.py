"""What a step is measured with: the machine's own rates, operations as they run, peak memory.

Rates of the machine are taken in the process that is timed and between its steps, so that whatever
else slows the machine down slows both.
"""

from __future__ import annotations

import ctypes
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

SQUARES = (256, 1024, 2048)
PATIENCE = 1.0  # seconds; a product that would take longer is left out (emulated number formats)
COPIED = 1 << 26  # numbers of the block that is copied: 256 MB, past any cache
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MOVED_AROUND = {"view", "_unsafe_view", "t", "transpose", "expand", "slice", "select", "detach"}
MOVED_AROUND |= {"split", "unsqueeze", "squeeze", "permute", "alias", "as_strided", "unbind"}


GROUPS = {
    "matrix products": ("mm", "addmm", "bmm", "linear", "matmul"),
    "attention": ("_scaled_dot_product", "scaled_dot_product"),
    "convolution": ("convolution", "_convolution", "mkldnn_conv", "_slow_conv", "thnn_conv"),
    "norms": ("rms_norm", "_fused_rms", "native_layer_norm", "linalg_vector_norm", "rsqrt", "mean"),
    "optimizer, filter, average": ("_fused_adamw", "_foreach", "lerp"),
    "copies": ("copy_", "cat", "clone", "contiguous", "_to_copy", "stack"),
    "activations": ("silu", "sigmoid"),
    "sums and products": ("add", "mul", "sub", "div", "neg", "sum", "where"),
    "softmax and loss": ("log_softmax", "_log_softmax", "nll", "cross_entropy", "logsumexp"),
    "triangular solve of the memory": ("linalg_solve", "triangular", "tril"),
    "memory given out": ("empty", "zeros", "zero_", "fill_", "resize", "new_"),
    "indexing": ("index", "gather", "embedding", "slice_backward", "select_backward"),
}
HOST_READS = ("_local_scalar_dense", "nonzero")  # a GPU has to finish before the host goes on


class MachineRates:
    """Multiply-add rate of square products by number format, and the rate of a large copy.

    `take` measures each once; the rate of a format is the best median over the sizes.
    """

    def __init__(self, formats: dict[str, torch.dtype], device: torch.device) -> None:
        self._device, self._formats = device, formats
        self._products: dict[tuple[str, int], list[float]] = {}
        self._copies: list[float] = []

    def take(self) -> dict[str, float]:
        """Operations a second of each format, as measured now."""
        now = {}
        for name, kind in self._formats.items():
            now[name] = 0.0
            for side in SQUARES:
                if now[name] and 2 * side**3 / now[name] > PATIENCE:
                    break
                rate = 2 * side**3 / self._seconds(*_product(side, kind, self._device))
                self._products.setdefault((name, side), []).append(rate)
                now[name] = max(now[name], rate)
        block = torch.ones(COPIED, device=self._device)
        other = torch.empty_like(block)
        copied = 2 * block.numel() * block.element_size()
        self._copies.append(copied / self._seconds(lambda: other.copy_(block)))
        return now

    def products(self, name: str) -> float:
        """Operations a second of one format."""
        return max(
            statistics.median(rates) for (kind, _), rates in self._products.items() if kind == name
        )

    @property
    def bandwidth(self) -> float:
        """Bytes a second of a copy, read and written ones counted."""
        return statistics.median(self._copies)

    def _seconds(self, action: Callable[[], object]) -> float:
        action()  # page faults of the result, kernels that are chosen
        return timed(action, self._device)


def _product(side: int, kind: torch.dtype, device: torch.device) -> tuple[Callable[[], object]]:
    a, b = (torch.rand(side, side, device=device).to(kind) for _ in range(2))
    out = torch.empty_like(a)
    return (lambda: torch.mm(a, b, out=out),)


def timed(action: Callable[[], object], device: torch.device) -> float:
    """Seconds of `action`, to the end of what it starts on the device."""
    wait(device)
    start = time.perf_counter()
    action()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Until the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Peak:
    """Peak memory of one action: resident memory of the process, or what CUDA has allocated.

    `before` and `highest` are bytes; None where the system does not let a process reset its peak.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.before: int | None = None
        self.highest: int | None = None

    def __enter__(self) -> Peak:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self.before = torch.cuda.memory_allocated(self._device)
            return self
        give_back()
        try:
            CLEAR.write_text("5", encoding="ascii")
            self.before = _status("VmRSS")
        except OSError:
            self.before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self.highest = torch.cuda.max_memory_allocated(self._device)
        elif self.before is not None:
            self.highest = _status("VmHWM")


def give_back() -> None:
    """Free heap to the system, so that it does not count as held."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(encoding="ascii"), re.M)
    if found is None:
        raise OSError(f"{STATUS} has no {name}")
    return 1024 * int(found[1])


class Kernels(TorchDispatchMode):
    """Counts the operations that compute something: on a GPU about one kernel each."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        if name not in MOVED_AROUND:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counting(counts: dict[str, int]) -> Iterator[None]:
    """Fills `counts` with operations and kernels of what runs inside, backward included.

    torch counts neither attention's own CPU kernel nor groups in a convolution's backward pass: the
    first is told to it, the second is put at twice the forward pass.
    """
    aten = torch.ops.aten
    told = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    kernels = Kernels()
    with FlopCounterMode(display=False, custom_mapping=told) as flops, kernels:
        yield
    by_name = {str(op).split(".")[1]: n for op, n in flops.get_flop_counts()["Global"].items()}
    if "convolution_backward" in by_name:
        by_name["convolution_backward"] = 2 * by_name["convolution"]
    counts["counted"] = sum(by_name.values())
    counts["kernels"] = sum(kernels.counts.values())
    counts["host_reads"] = sum(kernels.counts[name] for name in HOST_READS)


def _attention(q, k, v, *_args, out_shape=None, **_options) -> int:
    return sdpa_flop_count(q, k, v)


def _attention_backward(grad, q, k, v, *_args, out_shape=None, **_options) -> int:
    return sdpa_backward_flop_count(grad, q, k, v)


@contextmanager
def saving(found: dict[str, int]) -> Iterator[None]:
    """Puts into `found` the bytes that are kept for the backward pass, each storage once."""
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not (tensor.is_leaf and tensor.requires_grad):  # weights are there anyway
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield
    found["saved_bytes"] = sum(sizes.values())


def profile(action: Callable[[], object]) -> dict[str, float]:
    """Shares of the time of `action` by kind of operation, each operation without what it calls."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        action()
    spent: Counter[str] = Counter()
    for event in profiler.key_averages():
        spent[_group(event.key)] += event.self_cpu_time_total
    whole = sum(spent.values())
    return {name: round(time / whole, 4) for name, time in spent.most_common()}


def _group(name: str) -> str:
    word = name.removeprefix("aten::")
    return next((group for group, words in GROUPS.items() if word.startswith(words)), "the rest")


class Others:
    """Processor time that others took meanwhile, as a share of the whole machine's."""

    def __enter__(self) -> Others:
        self._start = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        wall, busy, own = (b - a for a, b in zip(self._start, self._now(), strict=True))
        self.share = max(0.0, busy - own) / (wall * (os.cpu_count() or 1))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0)
        busy -= getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        own = psutil.Process().cpu_times()
        return time.perf_counter(), busy, sum(own[:4])
