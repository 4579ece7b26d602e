"""How numbers, data and settings read in tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

NONE = "\N{EN DASH}"


def score(values: Sequence[float], with_deviation: bool = False) -> str:
    """Return the mean of finite values; with the sample standard deviation on demand, which takes two values."""
    if not values:
        return NONE
    mean = f"{statistics.fmean(values):.2f}"
    if not with_deviation:
        return mean
    if len(values) < 2:
        return f"{mean} ± {NONE}"
    return f"{mean} ± {statistics.stdev(values):.2f}"


def number(value: float | None, pattern: str) -> str:
    """Return one number as the format `pattern` writes it; a dash for none, and for one that is not finite."""
    return NONE if value is None or not math.isfinite(value) else format(value, pattern)


def average(values: Sequence[float], pattern: str) -> str:
    """Return the mean as the format `pattern` writes it, as in ",.0f"."""
    return format(statistics.fmean(values), pattern) if values else NONE


def p_value(p: float | None) -> str:
    """Return the p-value of a test to three digits; a dash for none."""
    return NONE if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001"


def runs(count: int) -> str:
    """Return a number of runs: "1 run", "2 runs"."""
    return f"{count:,} run{'s' * (count != 1)}"
