"""Times alternatives by turns, so that whatever else the machine does falls on all of them alike."""

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
    """How many times as long as the base an alternative takes, and its seconds.

    Attributes:
        times: over the rounds, the ratio within each.
        seconds: median over the rounds.
    """

    times: Spread
    seconds: float

    def __str__(self) -> str:
        return str(self.times)


def by_turns(
    alternatives: Mapping[str, Callable[[], object]], base: str, rounds: int, device: torch.device
) -> dict[str, Ratio]:
    """Time each alternative once a round, as `turns`; ratios are within a round.

    Args:
        alternatives: by name, what to time.
        base: the name of the one that the others are compared with.
        rounds: how many.
        device: waited for before and after each.
    """
    seconds = turns(alternatives, rounds, device)
    return {name: _ratio(values, seconds[base]) for name, values in seconds.items()}


@denormals_flushed()
def turns(
    alternatives: Mapping[K, Callable[[], object]],
    rounds: int,
    device: torch.device,
    around: Callable[[K], AbstractContextManager[object]] = lambda name: nullcontext(),
) -> dict[K, list[float]]:
    """Time each alternative once a round, after one round that does not count.

    Every other round goes through them backwards: what follows on the first would else always be the same one.

    Args:
        alternatives: by name, what to time.
        rounds: how many.
        device: waited for before and after each.
        around: what surrounds an alternative of this name without being timed.

    Returns:
        Seconds of each round, by name.
    """
    seconds: dict[K, list[float]] = {name: [] for name in alternatives}
    for number in range(rounds + 1):
        names = list(alternatives)
        for name in names if number % 2 else reversed(names):
            with around(name):
                _wait(device)
                start = time.perf_counter()
                alternatives[name]()
                _wait(device)
                took = time.perf_counter() - start
            if number:
                seconds[name].append(took)
    return seconds


def _ratio(values: list[float], base: list[float]) -> Ratio:
    ratios = [value / other for value, other in zip(values, base, strict=True)]
    return Ratio(Spread.of(ratios), statistics.median(values))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
