"""Timing of alternatives by turns, so that other load on the machine affects all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch

from bench.measurement.denormals import denormals_flushed
from bench.measurement.spread import Spread

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Ratio:
    """Time relative to that of the base.

    Attributes:
        times: Distribution over rounds of the ratio within each round.
        seconds: Median time over rounds, in seconds.
    """

    times: Spread
    seconds: float

    def __str__(self) -> str:
        return str(self.times)


def by_turns(
    alternatives: Mapping[str, Callable[[], object]], base: str, rounds: int, device: torch.device
) -> dict[str, Ratio]:
    """Time each alternative once per round, like `turns`, relative to a base in the same round.

    Args:
        alternatives: What to time, by name.
        base: Name of the alternative that the others are compared with.
        rounds: Number of rounds.
        device: Synchronized before and after each alternative.
    """
    seconds = turns(alternatives, rounds, device)
    return {name: _ratio(values, seconds[base]) for name, values in seconds.items()}


@denormals_flushed()
def turns(
    alternatives: Mapping[K, Callable[[], object]],
    rounds: int,
    device: torch.device,
    context_of: Callable[[K], AbstractContextManager[object]] = lambda name: nullcontext(),
) -> dict[K, list[float]]:
    """Time each alternative once per round, after one round that does not count.

    Every other round goes through them in reverse order, so that no alternative always follows the same one.

    Args:
        alternatives: What to time, by name.
        rounds: Number of rounds.
        device: Synchronized before and after each alternative.
        context_of: Returns a context for an alternative of this name, whose time does not count.

    Returns:
        Seconds of each round, by name.
    """
    seconds: dict[K, list[float]] = {name: [] for name in alternatives}
    for number in range(rounds + 1):
        names = list(alternatives)
        for name in names if number % 2 else reversed(names):
            with context_of(name):
                _wait(device)
                start = time.perf_counter()
                alternatives[name]()
                _wait(device)
                seconds_taken = time.perf_counter() - start
            if number:
                seconds[name].append(seconds_taken)
    return seconds


def _ratio(values: list[float], base: list[float]) -> Ratio:
    ratios = [value / base_value for value, base_value in zip(values, base, strict=True)]
    return Ratio(Spread.from_values(ratios), statistics.median(values))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
