"""Comparison of fresh values with the baseline: the rows of a check's table, with their margins.

The margins of scores are prediction intervals from Student's t distribution: by chance, a fresh mean of m seeds differs
from a mean of n seeds by up to t s sqrt(1/m + 1/n), where s is the standard deviation within methods. All methods of a
task share one s (more degrees of freedom make the interval narrower), unless Levene's test finds that their variances
differ. The level is divided by the number of score comparisons (Bonferroni), so that `FALSE_ALARMS` is the probability
that a check of unchanged code fails because of scores.
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scipy import stats

from bench.check.baseline import Baseline, MethodBaseline, ReaderOutput, TaskBaseline
from bench.config.reference import REFERENCE

FALSE_ALARMS = 0.001
PEAK = 0.35
"""Allowed relative increase of the median peak memory of a task's runs. It detects leaks only: resident sizes of equal
runs differ by 3% within a day, by 20% between days, and occasionally by 50%. The memory of a training step is compared
precisely."""
_MIN_PEAKS = 3  # for a meaningful median
STEP_TIME = 0.25
"""Allowed relative increase of the time of a training step, as a ratio to LoRA's. Repeated measurements of this ratio
differ by 2% on an idle machine, and by up to 15% on one with twice the load that it can handle."""
STEP_BYTES = 0.02
"""Allowed relative increase of the memory of a training step. The measurement is exact; this allows for other versions
of torch."""
INPUTS = 0.01
"""Allowed relative deviation of the mean of inputs: other versions of decoders and resamplers round differently."""
_LEVENE = 0.05

Kind = Literal["exact", "scores", "memory", "speed"]


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        kind: Kind of the comparison.
        task: Name of the task.
        method: Name of the method; empty for a quantity of the task.
        quantity: Name of the quantity.
        baseline: Its expected value.
        fresh: Its value now.
        deviation: Difference of the two.
        allowed: The margin.
        margin_used: Deviation as a fraction of the margin; the comparison fails above 1.
    """

    kind: Kind
    task: str
    method: str
    quantity: str
    baseline: str
    fresh: str
    deviation: str
    allowed: str
    margin_used: float

    @property
    def failed(self) -> bool:
        """Whether the value is outside its margin, as NaN always is."""
        return not self.margin_used <= 1


def compare(baseline: Baseline, fresh: Baseline, skip: Collection[str]) -> list[Row]:
    """Compare fresh values with the baseline.

    Args:
        baseline: The baseline, with at least the tasks and methods of `fresh`.
        fresh: Values to check.
        skip: Quantities to leave out, by the names that `incomparable` returns.
    """
    rows: list[Row] = []
    count = sum(
        len(fresh_method.scores) for fresh_task in fresh.tasks.values() for fresh_method in fresh_task.methods.values()
    )
    level = FALSE_ALARMS / max(count, 1)
    for task, fresh_task in fresh.tasks.items():
        base_task = baseline.tasks[task]
        rows += _compare_data(task, base_task.data, fresh_task.data)
        if "peaks" not in skip:
            rows += _compare_peaks(task, base_task, fresh_task)
        for method, fresh_method in fresh_task.methods.items():
            base = base_task.methods[method]
            rows += _equal(task, method, "specification", _flat(base.spec), _flat(fresh_method.spec))
            rows += _equal(task, method, "parameters", base.parameters, fresh_method.parameters)
            rows += [
                _compare_score(task, method, name, base_task, fresh_method, level)
                for name in base.scores
                if name in fresh_method.scores
            ]
            if "bytes" not in skip:
                sizes = base.step.bytes, fresh_method.step.bytes
                rows.append(
                    _one_sided("memory", task, method, "memory of a step, MB", sizes, margin=STEP_BYTES, unit=1e6)
                )
            if "time" not in skip and method != REFERENCE:
                times = base.step.time, fresh_method.step.time
                rows.append(_one_sided("speed", task, method, f"step time, {REFERENCE} is 1", times, margin=STEP_TIME))
    return rows


def incomparable(baseline: Baseline, fresh: Baseline) -> dict[str, str]:
    """Return which of `peaks`, `time` and `bytes` the environments do not allow to compare, each with the reason."""
    current, recorded = fresh.environment, baseline.environment
    pairs = {
        "device": (recorded.device, current.device),
        "processor": (baseline.processor, fresh.processor),
        "threads": (recorded.threads, current.threads),
        "jobs": (recorded.jobs, current.jobs),
        "torch": tuple(environment.versions.get("torch") for environment in (recorded, current)),
    }
    required = {"peaks": tuple(pairs), "time": ("device", "processor"), "bytes": ("device",)}
    reasons = {}
    for quantity, names in required.items():
        differing = [f"{name} {pairs[name][0]} and {pairs[name][1]}" for name in names if len(set(pairs[name])) > 1]
        if differing:
            reasons[quantity] = "; ".join(differing)
    return reasons


def _compare_data(task: str, base: ReaderOutput, fresh: ReaderOutput) -> list[Row]:
    """Compare the outputs of a task's reader: exactly, except for the means of inputs."""
    means = [
        _two_sided(
            "exact",
            task,
            "",
            f"mean of {name}",
            (value, fresh.inputs.get(name, math.nan)),
            margin=INPUTS * max(abs(value), 0.1),
        )
        for name, value in base.inputs.items()
    ]
    plain, changed = (_flat({k: v for k, v in asdict(output).items() if k != "inputs"}) for output in (base, fresh))
    return [*_equal(task, "", "samples", plain, changed), *means]


def _compare_score(
    task: str, method: str, name: str, base_task: TaskBaseline, fresh_method: MethodBaseline, level: float
) -> Row:
    values, fresh = base_task.methods[method].scores[name], fresh_method.scores[name]
    deviation, freedom = spread(
        values, [entry.scores[name] for entry in base_task.methods.values() if name in entry.scores]
    )
    margin = float(stats.t.isf(level / 2, freedom)) * deviation * math.sqrt(1 / len(values) + 1 / len(fresh))
    return _two_sided("scores", task, method, name, (statistics.fmean(values), statistics.fmean(fresh)), margin=margin)


def spread(values: Sequence[float], groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the standard deviation within methods and its degrees of freedom.

    It is pooled over all methods, unless Levene's test finds that their variances differ.

    Args:
        values: Values of the method, one per seed.
        groups: Values of all methods of the task, including this one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # about groups without any spread
        poolable = len(groups) < 2 or not stats.levene(*groups).pvalue < _LEVENE
    used = groups if poolable else [values]
    freedom = sum(len(group) - 1 for group in used)
    return math.sqrt(sum(statistics.variance(group) * (len(group) - 1) for group in used) / freedom), freedom


def _compare_peaks(task: str, base_task: TaskBaseline, fresh: TaskBaseline) -> list[Row]:
    """Compare the peaks of all runs of a task, as ratios to the median of the baseline's runs of the same method."""
    ratios: dict[str, list[float]] = {}
    for method, fresh_method in fresh.methods.items():
        for name, values in fresh_method.memory.items():
            usual = statistics.median(base_task.methods[method].memory[name])
            ratios.setdefault(name, []).extend(value / usual for value in values)
    return [
        _one_sided("memory", task, "", f"{name}, median", (1.0, statistics.median(values)), margin=PEAK)
        for name, values in ratios.items()
        if len(values) >= _MIN_PEAKS
    ]


def _one_sided(
    kind: Kind, task: str, method: str, quantity: str, values: tuple[float, float], *, margin: float, unit: float = 1
) -> Row:
    """Compare a value that may exceed the baseline's by the fraction `margin`, and fall below it by any amount.

    Args:
        kind: Kind of the comparison.
        task: Name of the task.
        method: Name of the method; empty for a quantity of the task.
        quantity: Name of the quantity.
        values: The baseline's value and the fresh one.
        margin: Allowed increase, as a fraction of the baseline's value.
        unit: Divisor of both values for display.
    """
    base, fresh = values
    deviation = fresh / base - 1 if base else math.inf
    base_text, fresh_text = (f"{value / unit:,.2f}" for value in (base, fresh))
    return Row(
        kind,
        task,
        method,
        quantity,
        base_text,
        fresh_text,
        f"{100 * deviation:+.1f}%",
        f"+{100 * margin:.0f}%",
        max(deviation, 0) / margin,
    )


def _two_sided(kind: Kind, task: str, method: str, quantity: str, values: tuple[float, float], *, margin: float) -> Row:
    """Compare the baseline's value and the fresh one, which may differ by `margin` in either direction."""
    base, fresh = values
    deviation = fresh - base
    margin_used = abs(deviation) / margin if margin else (math.inf if deviation else 0.0)
    return Row(
        kind,
        task,
        method,
        quantity,
        f"{base:.4g}",
        f"{fresh:.4g}",
        f"{deviation:+.3g}",
        f"\N{PLUS-MINUS SIGN}{margin:.3g}",
        margin_used,
    )


def _equal(task: str, method: str, quantity: str, base: Mapping[str, Any], fresh: Mapping[str, Any]) -> list[Row]:
    """Return one row per value that differs; a single row if none does."""
    names = [name for name in {**base, **fresh} if base.get(name) != fresh.get(name)]
    if not names:
        return [Row("exact", task, method, quantity, f"{len(base)} values", "equal", "", "none", 0.0)]
    return [exact(task, method, f"{quantity}: {name}", base.get(name), fresh.get(name)) for name in names]


def exact(task: str, method: str, quantity: str, base: object, fresh: object) -> Row:
    """Return the failed row of a value that should equal the baseline's but does not."""
    deviation = ""
    if all(isinstance(value, int | float) for value in (base, fresh)):
        with suppress(OverflowError):  # the integers of a specification are not limited
            deviation = f"{fresh - base:+,.6g}"  # type: ignore[operator]
    return Row("exact", task, method, quantity, _text(base), _text(fresh), deviation, "none", math.inf)


def _text(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"
    return str(value)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables as one table with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{name}.{inner}": item for inner, item in _flat(value).items()}
        else:
            flat[name] = value
    return flat
