"""Numbers, times and sizes on the command line. Errors name the option and the expected form."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from bench import registry
from bench.errors import UsageError, shortened
from bench.system.cpus import MAX_JOBS

_TIMES = {"s": 1, "m": 60, "h": 3600}
_PARAMETERS = {"": 1, "k": 1e3, "m": 1e6}
_MAX_PARAMETERS = 1e12
_SIZES = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


def whole(text: str, option: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        UsageError: The text is not one.
    """
    if re.fullmatch("[0-9]{10,}", text):
        raise UsageError(f"{option} must be a whole number from 1 to 999999999, not {shortened(text)}")
    if not re.fullmatch("[0-9]+", text) or not int(text):
        raise UsageError(f"{option} must be a whole number of at least 1, not {shortened(text)}")
    return int(text)


def jobs(text: str, option: str = "--jobs") -> int:
    """Return a number of processes.

    Raises:
        UsageError: The text is not one that a machine may have.
    """
    count = whole(text, option)
    if count > MAX_JOBS:
        raise UsageError(f"{option} must be a whole number from 1 to {MAX_JOBS}, not {count}")
    return count


def number(text: str, option: str) -> float:
    """Return a finite number.

    Raises:
        UsageError: The text is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{option} must be a finite number, not {shortened(text)}")
    return value


def gpus(text: str, option: str) -> float:
    """Return a number of GPUs: a whole number, or a part of one GPU.

    Raises:
        UsageError: The text is neither.
    """
    try:
        count = float(text)
    except ValueError:
        count = -1.0
    if not (0 <= count <= 1 or (count > 1 and count.is_integer())):
        raise UsageError(f"{option} must be a whole number or a part of 1, as in 0.5, not {shortened(text)}")
    return count


def seconds(text: str, option: str) -> float:
    """Return a time in seconds.

    Raises:
        UsageError: The text is not a time above 0.
    """
    return _with_unit(text, _TIMES, f"{option} must be a time, as in 90s, 30m or 2h")


def size(text: str, option: str) -> int:
    """Return a size in bytes.

    Raises:
        UsageError: The text is not a size above 0.
    """
    return int(_with_unit(text, _SIZES, f"{option} must be a size, as in 500MB, 8GB or 8GiB"))


def parameters(text: str, option: str = "--budget") -> Callable[[int], int] | None:
    """Return a function from the streams' parameters to the number that a budget asks for; None if it names a method.

    Raises:
        UsageError: The budget is neither a number nor a method.
    """
    if match := re.fullmatch(r"(\d+(?:[_,]\d{3})*(?:\.\d+)?)(%|[kmKM]?)", text):
        value, unit = float(re.sub("[_,]", "", match[1])), match[2].lower()
        if value > _MAX_PARAMETERS:
            raise UsageError(f"{option} {shortened(text)} is more parameters than any stream has")
        return lambda size: round(size * value / 100 if unit == "%" else value * _PARAMETERS[unit])
    try:
        registry.load("methods", text)
    except UsageError as error:
        raise UsageError(f"{option} takes a percentage (2%), a number (400k, 1.5M) or a method: {error}") from error
    return None


def _with_unit(text: str, units: Mapping[str, int], expected: str) -> float:
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]+)?)([A-Za-z]+)", text)
    if not match or match[2] not in units or not float(match[1]):
        raise UsageError(f"{expected}, not {shortened(text)}")
    return float(match[1]) * units[match[2]]
