"""Formatting of numbers in tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

NONE = "\N{EN DASH}"
SEEDS_ONLY = "°"
"""Marks an interval that is over other seeds, but not over other test samples."""


def place(number: int | None, tied: bool) -> str:
    """Return the place of a method in its table as text."""
    return "≈ best" if tied else "too few seeds" if number is None else str(number)


def score(values: Sequence[float], with_deviation: bool = False) -> str:
    """Return the mean of finite values, optionally with the sample standard deviation if there are several."""
    if not values:
        return NONE
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if with_deviation and len(values) > 1 else mean


def number(value: float | None, pattern: str) -> str:
    """Return a number formatted with `pattern`; a dash for None and for numbers that are not finite."""
    return NONE if value is None or not math.isfinite(value) else format(value, pattern)


def average(values: Sequence[float], pattern: str) -> str:
    """Return the mean of values formatted with `pattern`, e.g. ",.0f"; a dash if there are none."""
    return format(statistics.fmean(values), pattern) if values else NONE


def p_value(p: float | None) -> str:
    """Return the p-value of a test with three digits; a dash for None."""
    return NONE if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001"


def verdict_mark(verdict: str) -> str:
    """Return a verdict as a mark beside a gain: better or worse; nothing for another one."""
    return {"better": "▲", "worse": "▼"}.get(verdict, "")


def marked_gain(points: float, verdict: str) -> str:
    """Return a gain with the mark of its verdict: "+2.27 ▲"."""
    return f"{points:+.2f} {verdict_mark(verdict)}".rstrip()


def runs(count: int) -> str:
    """Return a number of runs as text: "1 run", "2 runs"."""
    return f"{count:,} run{'s' * (count != 1)}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it: "48 s", "12 min", "3.4 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def ranges(numbers: Iterable[int]) -> str:
    """Return whole numbers as text, each once, with ranges: "0-4, 7"."""
    texts: list[str] = []
    ordered = sorted(set(numbers))
    first = 0
    for index, number in enumerate(ordered):
        if index + 1 == len(ordered) or ordered[index + 1] != number + 1:
            texts.append(str(number) if ordered[first] == number else f"{ordered[first]}-{number}")
            first = index + 1
    return ", ".join(texts)
