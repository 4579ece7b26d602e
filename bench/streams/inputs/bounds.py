"""Checks of the numbers in an input, which a `preprocessor_config.json` or a setting may contain."""

from __future__ import annotations

from bench.errors import BenchError
from bench.streams import limits


def check_range(name: str, number: float, low: float, high: float) -> None:
    """Check that a number is within its bounds.

    Raises:
        BenchError: It is not, or is not a number.
    """
    if not low <= number <= high:  # NaN fails too
        raise BenchError(f"{name} should be {low:g} to {high:g}, not {number:g}")


def check_statistics(mean: float, std: float) -> None:
    """Check that normalization by these statistics keeps inputs finite.

    Raises:
        BenchError: It may not.
    """
    check_range("the mean of inputs", mean, *limits.MEANS)
    check_range("the standard deviation of inputs", std, *limits.DEVIATIONS)
