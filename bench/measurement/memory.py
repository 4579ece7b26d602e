"""Measurement of the memory and the speed of the parts of a run."""

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

_INTERVAL = 0.01  # seconds between two readings of the resident size
_WARM_UP = 0.1  # fraction of the steps left out of the median; at least 3 steps


class Peak:
    """The maximum memory in use within `watching()`, in bytes.

    Attributes:
        device: The device.
        kind: What is measured: "cuda allocator" or "resident size".
        bytes: The peak.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kind = "cuda allocator" if device.type == "cuda" else "resident size"
        self.bytes = 0
        self._earlier = 0

    def so_far(self) -> int:
        """Return the peak up to now, in bytes."""
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        return max(self.bytes, self._earlier)

    def raise_to(self, earlier: int) -> None:
        """Include a peak measured before, such as by a process that was killed."""
        self._earlier = earlier

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure the peak of the code inside.

        On CUDA it is the exact peak of the allocator. Elsewhere it is the largest resident size of the process, read
        every 10 ms; memory freed by earlier runs of the process is returned to the system first.
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
    """Return unreferenced memory to the system, so that it does not affect the next measurement."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # in glibc, not in musl
            libc.malloc_trim(0)


def bytes_of_step(
    loss: Callable[[], Tensor], step: Callable[[], object], parameters: Iterable[nn.Parameter], device: torch.device
) -> int:
    """Return the memory of a training step in bytes.

    On CUDA it is the peak of the allocator. Elsewhere it is the memory of the tensors saved for the backward pass, each
    storage counted once: it is exact and the same on every machine.

    Args:
        loss: The forward pass.
        step: The whole step.
        parameters: Parameters of the model, which do not count, since they are in memory anyway.
        device: The device.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device)
    saved: list[weakref.ref[Tensor]] = []  # tensors released during the forward pass do not count

    def record(tensor: Tensor) -> Tensor:
        saved.append(weakref.ref(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        output = loss()
    storages = [tensor.untyped_storage() for reference in saved if (tensor := reference()) is not None]
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
    excluded = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    del output
    return sum(size for address, size in sizes.items() if address not in excluded)


class StepClock:
    """Times steps without making the device wait: `tick(samples)` ends a step, `skip()` starts one after a pause."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: list[tuple[float | torch.cuda.Event, int]] = []
        self._earlier: list[float] = []

    def skip(self) -> None:
        """Mark the start of a step; the time since the last mark belongs to no step."""
        self._marks.append((self._mark(), 0))

    def tick(self, samples: int) -> None:
        """Mark the end of a step with a number of samples."""
        self._marks.append((self._mark(), samples))

    def rates(self) -> list[float]:
        """Return the samples per second of each step."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self._earlier + [
            samples / self._seconds(start, end)
            for (start, _), (end, samples) in zip(self._marks, self._marks[1:], strict=False)
            if samples
        ]

    def add(self, rates: list[float]) -> None:
        """Include steps timed before, such as by a process that was killed."""
        self._earlier = [*rates]

    def throughput(self) -> float:
        """Return the median of samples per second over the steps after the warm-up; 0 without steps."""
        rates = self.rates()
        warm_up = min(max(3, int(_WARM_UP * len(rates))), len(rates) - 1) if rates else 0
        return statistics.median(rates[warm_up:]) if rates else 0.0

    def _mark(self) -> float | torch.cuda.Event:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @staticmethod
    def _seconds(start: float | torch.cuda.Event, end: float | torch.cuda.Event) -> float:
        if isinstance(start, float) and isinstance(end, float):
            return max(end - start, 1e-9)
        return start.elapsed_time(end) / 1000  # type: ignore[union-attr, arg-type]
