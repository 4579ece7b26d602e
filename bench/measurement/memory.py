"""Measures memory and speed of the parts of a run."""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import psutil
import torch
from torch import Tensor, nn

_INTERVAL = 0.01  # seconds between two looks at the resident size
_WARM_UP = 0.1  # share of the steps left out of a median, and at least 3


class Peak:
    """The most memory held inside a `with watching()`, in bytes, and what was looked at."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kind = "cuda allocator" if device.type == "cuda" else "resident size"
        self.bytes = 0
        self._earlier = 0

    def so_far(self) -> int:
        """The peak until now."""
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        return max(self.bytes, self._earlier)

    def raise_to(self, earlier: int) -> None:
        """Counts a peak that was seen before, as by a process that was killed."""
        self._earlier = earlier

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Takes the peak of the code inside.

        On CUDA it is the allocator's, exact. Elsewhere it is the largest resident size of the process, looked at every
        10 ms; what earlier runs of the process have freed is given back to the system first.
        """
        release_memory()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            try:
                yield
            finally:
                self.bytes = self.so_far()
            return
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            self.bytes = self.so_far()

    def _watch(self, stop: threading.Event) -> None:
        process = psutil.Process()
        self.bytes = process.memory_info().rss
        while not stop.wait(_INTERVAL):
            self.bytes = max(self.bytes, process.memory_info().rss)


def release_memory() -> None:
    """Gives memory that nothing refers to back to the system, so that the next measurement does not see it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with_trim = ctypes.CDLL(None)
        if hasattr(with_trim, "malloc_trim"):  # glibc; musl has none
            with_trim.malloc_trim(0)


def bytes_of_step(
    loss: Callable[[], Tensor], step: Callable[[], object], parameters: Iterable[nn.Parameter], device: torch.device
) -> int:
    """The memory of a training step in bytes: on CUDA the allocator's peak, elsewhere what the forward pass keeps.

    The latter is exact too, and the same on every machine: the tensors saved for the backward pass, each storage once.

    Args:
        loss: the forward pass.
        step: the whole step.
        parameters: of the model; what is saved of them is memory anyway.
        device: that computes.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device)
    saved: list[weakref.ref[Tensor]] = []  # what the forward pass lets go of again does not count

    def keep(tensor: Tensor) -> Tensor:
        saved.append(weakref.ref(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = loss()
    storages = [tensor.untyped_storage() for reference in saved if (tensor := reference()) is not None]
    kept = {storage.data_ptr(): storage.nbytes() for storage in storages}
    own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    del found
    return sum(size for place, size in kept.items() if place not in own)


class StepClock:
    """Times steps without making the device wait: `tick(samples)` at the end of each step, `skip()` after a pause."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: list[tuple[float | torch.cuda.Event, int]] = []
        self._earlier: list[float] = []

    def skip(self) -> None:
        """Marks the start of a step; the time since the last mark belongs to none."""
        self._marks.append((self._now(), 0))

    def tick(self, samples: int) -> None:
        """Marks the end of a step of so many samples."""
        self._marks.append((self._now(), samples))

    def rates(self) -> list[float]:
        """Samples a second of each step."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self._earlier + [
            samples / self._seconds(before, after)
            for (before, _), (after, samples) in zip(self._marks, self._marks[1:], strict=False)
            if samples
        ]

    def add(self, rates: list[float]) -> None:
        """Counts steps that were timed before, as by a process that was killed."""
        self._earlier = [*rates]

    def throughput(self) -> float:
        """Samples a second: the median over the steps after the warm-up; 0 where there was no step."""
        rates = self.rates()
        warm = min(max(3, int(_WARM_UP * len(rates))), len(rates) - 1) if rates else 0
        return statistics.median(rates[warm:]) if rates else 0.0

    def _now(self) -> float | torch.cuda.Event:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @staticmethod
    def _seconds(before: float | torch.cuda.Event, after: float | torch.cuda.Event) -> float:
        if isinstance(before, float) and isinstance(after, float):
            return max(after - before, 1e-9)
        return before.elapsed_time(after) / 1000  # type: ignore[union-attr, arg-type]
