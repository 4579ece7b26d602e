"""What `bench tune` may change of a method: a method declares it in `Method.search`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Range:
    """Numbers around the value that the suite has, which must be above 0; whole ones where that one is whole.

    Attributes:
        low: the smallest, as a factor of the suite's value.
        high: the largest, likewise.
        log: spread evenly over orders of magnitude, not over the numbers.
    """

    low: float = 0.1
    high: float = 10.0
    log: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.low <= 1 <= self.high or self.low == self.high:
            raise ValueError(f"a Range is of factors with 0 < low <= 1 <= high, not {self.low} to {self.high}")


@dataclass(frozen=True)
class Choice:
    """One of a few values. The suite's own is always among them.

    Attributes:
        values: what the setting may be, as JSON holds it.
    """

    values: tuple[Any, ...]


Space: TypeAlias = Mapping[str, Range | Choice]
"""What may be searched, by the names of settings, or of what a method may have of the recipe for itself."""
