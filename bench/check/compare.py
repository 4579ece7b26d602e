"""What is outside its margin: the rows of a check's table.

The margins of scores are prediction intervals of Student's t: a fresh mean of m seeds against one of n seeds is off by
chance by t s sqrt(1/m + 1/n), with s the standard deviation within methods. All methods of a task have one s (the more
degrees of freedom, the narrower the interval), unless Levene's test finds that they differ. The level is shared out
over all comparisons of scores (Bonferroni), so that `FALSE_ALARMS` is the chance that a check of unchanged code fails
by any of them.
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

from bench.check.baseline import Baseline, MethodBaseline, TaskBaseline
from bench.check.reader_probe import ReaderOutput
from bench.config.reference import REFERENCE

FALSE_ALARMS = 0.001
PEAK = 0.35
"""How much larger the peaks of a task's runs may be, in the median. Resident sizes of equal runs differ by 3% on one
day, by 20% between days, and a single one now and then by half: they are looked at for leaks. What a step of each
method takes is compared exactly."""
_FEWEST = 3  # peaks of which a median is worth something
STEP_TIME = 0.25
"""How much slower against LoRA a training step may be. The median over rounds by turns differs from one measurement to
the next by 2% on a machine that does nothing else, and by up to 15% on one that has twice as much to do as it can."""
STEP_BYTES = 0.02
"""How much more memory a training step may take: the number is exact, so this is room for another version of torch."""
INPUTS = 0.01
"""How far the mean of the inputs may be off: decoders and resamplers of other versions round otherwise."""
_LEVENE = 0.05

Kind = Literal["exact", "scores", "memory", "speed"]


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        kind: what sort it is.
        task: name of the task.
        method: name of the method; empty where the task is meant.
        quantity: what is compared.
        baseline: what it should be.
        fresh: what it is.
        deviation: by how much it differs.
        allowed: the margin.
        margin_used: the fraction of the margin that is used up; above 1 it fails.
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
        """Whether it is outside its margin; a number that is none is."""
        return not self.margin_used <= 1


def compare(baseline: Baseline, fresh: Baseline, skip: Collection[str]) -> list[Row]:
    """Compare fresh values with the baseline.

    Args:
        baseline: holds the tasks and methods of `fresh`, at least.
        fresh: values to check.
        skip: what is left out, by the names that `incomparable` gives.
    """
    rows: list[Row] = []
    count = sum(
        len(fresh_method.scores) for of_task in fresh.tasks.values() for fresh_method in of_task.methods.values()
    )
    level = FALSE_ALARMS / max(count, 1)
    for task, of_task in fresh.tasks.items():
        base_task = baseline.tasks[task]
        rows += _of_data(task, base_task.data, of_task.data)
        if "peaks" not in skip:
            rows += _of_peaks(task, base_task, of_task)
        for method, fresh_method in of_task.methods.items():
            base = base_task.methods[method]
            rows += _equal(task, method, "specification", _flat(base.spec), _flat(fresh_method.spec))
            rows += _equal(task, method, "parameters", base.parameters, fresh_method.parameters)
            rows += [
                _of_score(task, method, name, base_task, fresh_method, level)
                for name in base.scores
                if name in fresh_method.scores
            ]
            if "bytes" not in skip:
                sizes = base.step.bytes, fresh_method.step.bytes
                rows.append(
                    _not_more("memory", task, method, "memory of a step, MB", sizes, margin=STEP_BYTES, unit=1e6)
                )
            if "time" not in skip and method != REFERENCE:
                times = base.step.time, fresh_method.step.time
                rows.append(_not_more("speed", task, method, f"step time, {REFERENCE} is 1", times, margin=STEP_TIME))
    return rows


def incomparable(baseline: Baseline, fresh: Baseline) -> dict[str, str]:
    """Return what cannot be compared between two environments, of `peaks`, `time` and `bytes`, and why."""
    current, recorded = fresh.environment, baseline.environment
    pairs = {
        "device": (recorded.device, current.device),
        "processor": (baseline.processor, fresh.processor),
        "threads": (recorded.threads, current.threads),
        "jobs": (recorded.jobs, current.jobs),
        "torch": tuple(environment.versions.get("torch") for environment in (recorded, current)),
    }
    matters = {"peaks": tuple(pairs), "time": ("device", "processor"), "bytes": ("device",)}
    reasons = {}
    for quantity, names in matters.items():
        differing = [f"{name} {pairs[name][0]} and {pairs[name][1]}" for name in names if len(set(pairs[name])) > 1]
        if differing:
            reasons[quantity] = "; ".join(differing)
    return reasons


def _of_data(task: str, base: ReaderOutput, fresh: ReaderOutput) -> list[Row]:
    """Return whether the samples are the same."""
    means = [
        _within(
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


def _of_score(
    task: str, method: str, name: str, base_task: TaskBaseline, fresh_method: MethodBaseline, level: float
) -> Row:
    values, fresh = base_task.methods[method].scores[name], fresh_method.scores[name]
    deviation, freedom = spread(
        values, [entry.scores[name] for entry in base_task.methods.values() if name in entry.scores]
    )
    margin = float(stats.t.isf(level / 2, freedom)) * deviation * math.sqrt(1 / len(values) + 1 / len(fresh))
    return _within("scores", task, method, name, (statistics.fmean(values), statistics.fmean(fresh)), margin=margin)


def spread(values: Sequence[float], groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the standard deviation within groups and its degrees of freedom: of all, or of `values` if they differ.

    Args:
        values: of one method, a value a seed.
        groups: those of all methods of the task, itself among them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of groups without any spread
        alike = len(groups) < 2 or not stats.levene(*groups).pvalue < _LEVENE
    used = groups if alike else [values]
    freedom = sum(len(group) - 1 for group in used)
    return math.sqrt(sum(statistics.variance(group) * (len(group) - 1) for group in used) / freedom), freedom


def _of_peaks(task: str, base_task: TaskBaseline, fresh: TaskBaseline) -> list[Row]:
    """Return the peaks of all runs of a task, each in those of the baseline's runs of its method."""
    ratios: dict[str, list[float]] = {}
    for method, fresh_method in fresh.methods.items():
        for name, values in fresh_method.memory.items():
            usual = statistics.median(base_task.methods[method].memory[name])
            ratios.setdefault(name, []).extend(value / usual for value in values)
    return [
        _not_more("memory", task, "", f"{name}, median", (1.0, statistics.median(of_all)), margin=PEAK)
        for name, of_all in ratios.items()
        if len(of_all) >= _FEWEST
    ]


def _not_more(
    kind: Kind, task: str, method: str, quantity: str, values: tuple[float, float], *, margin: float, unit: float = 1
) -> Row:
    """Compare a value that may be larger than the baseline's by the fraction `margin`, and smaller by any amount.

    Args:
        kind: as in `Row`, as are the next three.
        task: name of the task.
        method: name of the method.
        quantity: what is compared.
        values: the baseline's and the fresh one.
        margin: fraction of the baseline's.
        unit: that both are shown in.
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


def _within(kind: Kind, task: str, method: str, quantity: str, values: tuple[float, float], *, margin: float) -> Row:
    """Compare a value, the baseline's and the fresh one, that may differ by `margin` either way."""
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
    """Return a row for each value that differs; one for all of them where none does."""
    names = [name for name in {**base, **fresh} if base.get(name) != fresh.get(name)]
    if not names:
        return [Row("exact", task, method, quantity, f"{len(base)} values", "equal", "", "none", 0.0)]
    return [exact(task, method, f"{quantity}: {name}", base.get(name), fresh.get(name)) for name in names]


def exact(task: str, method: str, quantity: str, base: object, fresh: object) -> Row:
    """Return a row for a value that should be another one."""
    deviation = ""
    if all(isinstance(value, int | float) for value in (base, fresh)):
        with suppress(OverflowError):  # a specification's whole numbers have any size
            deviation = f"{fresh - base:+,.6g}"  # type: ignore[operator]
    return Row("exact", task, method, quantity, _text(base), _text(fresh), deviation, "none", math.inf)


def _text(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"
    return str(value)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables as one, with dots in the names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{name}.{inner}": item for inner, item in _flat(value).items()}
        else:
            flat[name] = value
    return flat
