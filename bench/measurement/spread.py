"""Median and quartiles: how values measured in several rounds are summarized."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a value that was measured in several rounds."""

    median: float = field(metadata={"doc": "The median over the rounds."})
    low: float = field(metadata={"doc": "The first quartile."})
    high: float = field(metadata={"doc": "The third quartile."})

    @classmethod
    def from_values(cls, values: Sequence[float]) -> Spread:
        """Return the spread of values; quartiles are NumPy's, which never lie outside the values' range."""
        if len(values) < 2:
            return Spread(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return Spread(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"
