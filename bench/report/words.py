"""How numbers, data and settings read in tables."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

NONE = "\N{EN DASH}"


def score(values: Sequence[float], with_deviation: bool = False) -> str:
    """The mean of finite values; with the sample standard deviation on demand, which takes two values."""
    if not values:
        return NONE
    mean = f"{statistics.fmean(values):.2f}"
    if not with_deviation:
        return mean
    if len(values) < 2:
        return f"{mean} ± {NONE}"
    return f"{mean} ± {statistics.stdev(values):.2f}"


def number(value: float | None, pattern: str) -> str:
    """One number as the format `pattern` writes it; a dash for none, and for one that is not finite."""
    return NONE if value is None or not math.isfinite(value) else format(value, pattern)


def average(values: Sequence[float], pattern: str) -> str:
    """The mean as the format `pattern` writes it, as in ",.0f"."""
    return format(statistics.fmean(values), pattern) if values else NONE


def p_value(p: float | None) -> str:
    """Of a test, to three digits; a dash for none."""
    return NONE if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001"


def runs(count: int) -> str:
    """A number of runs: "1 run", "2 runs"."""
    return f"{count:,} run{'s' * (count != 1)}"


def data_title(data: Mapping[str, Any]) -> str:
    """The data of a specification, in words that nobody takes for a benchmark's own."""
    only = f"; control: {' and '.join(data['streams'])} only" if data.get("streams") else ""
    if data["source"] == "official":
        return f"official data{only}"
    return f"generated data v{data['version']} (seed {data['seed']}), not the benchmark's own{only}"


def assignments(values: Mapping[str, Any]) -> str:
    """Settings in one line, as --set takes them: "r=16, alpha=8.0, inter_scale=none"."""
    return ", ".join(f"{key}={setting(value)}" for key, value in values.items())


def setting(value: Any) -> str:
    """One value as --set takes it, which is as TOML writes it but for texts and none."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}={json.dumps(each)}' for key, each in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)


def sides(align: str, columns: int) -> list[str]:
    """How columns stand, for `tabulate`: a letter each, l or r, of which the last is that of all others too."""
    return [{"l": "left", "r": "right"}[letter] for letter in align.ljust(columns, align[-1])]
