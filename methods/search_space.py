"""The search space of `bench tune`, which methods declare in `Method.search`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Range:
    """Numbers around the suite's value, which must be above 0; integers if the suite's value is one.

    Attributes:
        low: Smallest number, as a factor of the suite's value.
        high: Largest number, as a factor of the suite's value.
        log: Whether numbers are spread evenly on a logarithmic scale.
    """

    low: float = 0.1
    high: float = 10.0
    log: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.low <= 1 <= self.high or self.low == self.high:
            raise ValueError(f"the factors of a Range must have 0 < low <= 1 <= high, not {self.low} to {self.high}")


@dataclass(frozen=True)
class Choice:
    """One of several values. The suite's value is always among them.

    Attributes:
        values: The values, as in JSON.
    """

    values: tuple[Any, ...]


Space: TypeAlias = Mapping[str, Range | Choice]
"""What may be searched, by the names of settings, or of recipe values that a method may have for itself."""
