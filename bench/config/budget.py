"""Equal budgets: sizes of methods, e.g. their ranks, that come closest to a number of trainable adapter parameters."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.config.attachable import blanks, misfit, outlined
from bench.config.describe import assignments
from bench.config.instantiate import method_of, sources_of
from bench.config.plan import RunRequest, make_plan
from bench.config.preflight import check_encoders
from bench.config.quantities import parameters
from bench.config.spec import Spec
from bench.errors import BenchError, Mistakes, UsageError
from bench.methods.base import Method
from bench.streams.lockstep import MultiStream

TOLERANCE = 0.05
_MAX_SIZE = 2**16  # largest value tried for a size setting

Count = Callable[[dict[str, Any]], int | None]
"""Return the trainable parameters of a method with the given settings; None if it cannot be attached with them."""


@dataclass(frozen=True)
class BudgetFit:
    """The size of one method on one task, fitted to a budget.

    Attributes:
        task: Name of the task.
        method: Name of the method.
        target: Number of trainable adapter parameters that the budget asks for.
        parameters: Number of trainable adapter parameters that the method has.
        chosen: The settings that were changed, and their values.
    """

    task: str
    method: str
    target: int
    parameters: int
    chosen: dict[str, Any]

    @property
    def deviation(self) -> float:
        """The relative deviation of `parameters` from the target: 0.01 for 1% too many."""
        return self.parameters / self.target - 1

    @property
    def summary(self) -> str:
        """The fit in one line."""
        chosen = f" with {assignments(self.chosen)}" if self.chosen else ""
        result = f"{self.method} has {self.parameters:,} ({100 * self.deviation:+.1f}%)"
        return f"budget {self.target:,} on {self.task}: {result}{chosen}"


def plan_within(request: RunRequest) -> tuple[list[Spec], list[BudgetFit]]:
    """Return the runs of `make_plan` with the size of each method fitted to the budget.

    Args:
        request: The runs, with a budget.

    Returns:
        The runs, and the fitted size of each method on each task.

    Raises:
        UsageError: The budget is invalid, or methods cannot be attached to the streams or come within 5% of it; the
            message names all of them.
    """
    budget, option = request.budget or "", request.places.get("budget", "--budget")
    mistakes = Mistakes()
    with mistakes.gathered():
        amount = parameters(budget, option)
    if mistakes.problems:
        with mistakes.gathered():
            make_plan(request)
        mistakes.raise_if_any()
    reference = "" if amount else budget
    if reference and reference not in request.methods:
        plan = make_plan(replace(request, methods=[*request.methods, reference]))
        requested = [spec for spec in plan if spec.method != reference]
    else:
        requested = plan = make_plan(request)
    fixed = {text.partition("=")[0].strip() for text in request.overrides}
    # A table in the main setting says how sizes relate: the budget scales it.
    fixed -= {f"{spec.method}.{name}" for spec in requested for name in _main_table(spec)}
    _refuse_fixed_sizes(requested, reference, fixed, request.places)
    fits: dict[tuple[str, str], BudgetFit] = {}
    outlines = _Outlines()
    try:
        for spec in {(spec.task, spec.method): spec for spec in plan}.values():
            if problem := misfit(spec, outlines.outline(spec)):
                mistakes.add(problem)
    except UsageError:
        check_encoders(plan, weights=False)  # it names all encoders that cannot be used, and what to do
        raise
    mistakes.raise_if_any()
    for task in dict.fromkeys(spec.task for spec in plan):
        specs = {spec.method: spec for spec in plan if spec.task == task}
        target: int | None
        if amount:
            target = amount(outlines.size(next(iter(specs.values()))))
        else:
            target = outlines.count(specs[reference])(specs[reference].settings)
        if not target:
            raise UsageError(f"{option} {budget}: on {task} that is 0 trainable parameters")
        for spec in {spec.method: spec for spec in requested if spec.task == task}.values():
            with mistakes.gathered():
                if spec.method == reference:
                    fits[task, reference] = BudgetFit(task, reference, target, target, {})
                else:
                    fits[task, spec.method] = fit(spec, target, outlines.count(spec), fixed)
    mistakes.raise_if_any()
    fitted = [replace(s, settings={**s.settings, **fits[s.task, s.method].chosen}) for s in requested]
    return fitted, list(fits.values())


def fit(spec: Spec, target: int, count: Count, fixed: Collection[str] = ()) -> BudgetFit:
    """Find the size settings of a method whose number of trainable parameters comes closest to `target`.

    The main setting is varied first. If its steps are too coarse, it stays at the last value below the target, and the
    next, finer setting makes up the difference.

    Args:
        spec: Specification of a run of the method.
        target: Number of trainable parameters to reach.
        count: Returns the number of trainable parameters for given settings.
        fixed: Keys of settings, as in `--set`, that must not be changed.

    Raises:
        UsageError: The method cannot come within 5% of the target.
    """
    size_settings = [
        setting for setting in _build(spec, spec.settings).size_settings if f"{spec.method}.{setting}" not in fixed
    ]
    tried: dict[str, tuple[int, dict[str, Any]]] = {}

    def trained(chosen: dict[str, Any]) -> int | None:
        parameters = count({**spec.settings, **chosen})
        if parameters is not None:
            tried[json.dumps(chosen, sort_keys=True)] = parameters, chosen
        return parameters

    def with_setting(setting: str, start: dict[str, Any], value: int) -> int | None:
        return trained({**start, **_build(spec, {**spec.settings, **start}).with_size(setting, value)})

    def nearest() -> tuple[int, dict[str, Any]]:
        return min(tried.values(), key=lambda trial: abs(trial[0] - target))

    start: dict[str, Any] = {}
    trained(start)
    for setting in size_settings:
        _search(partial(with_setting, setting, start), target)
        if not tried:
            continue
        if abs(nearest()[0] / target - 1) <= TOLERANCE:
            break
        smaller = [trial for trial in tried.values() if trial[0] <= target]
        start = (
            max(smaller, key=lambda trial: trial[0])[1]
            if smaller
            else min(tried.values(), key=lambda trial: trial[0])[1]
        )
    if not tried:
        raise UsageError(
            f"{spec.method} cannot be attached to the streams of {spec.task} with these settings: a run without "
            "--budget shows why"
        )
    parameters, chosen = nearest()
    if abs(parameters / target - 1) > TOLERANCE:
        settings = f" with {assignments(chosen)}" if chosen else ""
        closest = f"the closest is {parameters:,}{settings}"
        reason = closest if size_settings else f"it trains {parameters:,}, and none of its settings changes that"
        raise UsageError(
            f"{spec.method} cannot come within 5% of {target:,} trainable parameters on {spec.task}: {reason}"
        )
    return BudgetFit(spec.task, spec.method, target, parameters, chosen)


def _search(trained: Callable[[int], int | None], target: int) -> None:
    """Try values of a setting: powers of two until they pass the target, then values between the last two.

    Args:
        trained: Returns the number of trainable parameters for a value; None if the method does not accept it.
        target: Number of trainable parameters to reach.
    """
    last: tuple[int, int] | None = None
    value = 1
    while value <= _MAX_SIZE:
        parameters = trained(value)
        if parameters is not None:
            if last and (last[1] - target) * (parameters - target) <= 0:
                _bisect(trained, target, last, value)
                return
            if last and abs(parameters - target) > abs(last[1] - target):
                return  # further from the target, as any larger value would be
            if last and parameters == last[1] and value > 2**12:
                return
            last = value, parameters
        value *= 2


def _bisect(trained: Callable[[int], int | None], target: int, last: tuple[int, int], high: int) -> None:
    low, at_low = last
    while high - low > 1:
        middle = (low + high) // 2
        parameters = trained(middle)
        if parameters is None:
            return  # only some values are accepted, such as divisors, and powers of two have been tried
        if (at_low - target) * (parameters - target) <= 0:
            high = middle
        else:
            low, at_low = middle, parameters


def _build(spec: Spec, values: dict[str, Any]) -> Method:
    return method_of(replace(spec, settings=values))


class _Outlines:
    """Parameter counts, taken on streams without weights and cached for tasks with equal streams."""

    def __init__(self) -> None:
        self._outlines: dict[str, MultiStream] = {}
        self._counts: dict[tuple[str, str, str], int | None] = {}

    def size(self, spec: Spec) -> int:
        """Return the number of parameters of a run's streams."""
        return sum(p.numel() for p in self.outline(spec).parameters())

    def count(self, spec: Spec) -> Count:
        """Return a function that counts the trainable parameters of a run's method for given settings."""

        def count(values: dict[str, Any]) -> int | None:
            key = json.dumps(sources_of(spec)), spec.method, json.dumps(values)
            if key not in self._counts:
                self._counts[key] = _count(self.outline(spec), spec, json.loads(key[-1]))
            return self._counts[key]

        return count

    def outline(self, spec: Spec) -> MultiStream:
        """Return a run's streams without weights, which must not be changed.

        Raises:
            UsageError: No run can use one of the encoders.
        """
        key = json.dumps(sources_of(spec))
        if key not in self._outlines:
            self._outlines[key] = outlined(spec)
        return self._outlines[key]


def _count(outline: MultiStream, spec: Spec, values: dict[str, Any]) -> int | None:
    """Return the number of parameters that a method trains on such streams; None if it cannot be attached to them."""
    for model in blanks(outline):
        try:
            method = _build(spec, values)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about sizes that are only tried
                method.attach(model)
        except (BenchError, RuntimeError, NotImplementedError):
            continue
        return sum(model.get_parameter(name).numel() for name in method.adapter_names(model))
    return None


def _main_table(spec: Spec) -> tuple[str, ...]:
    """Return the name of the main size setting if its value is a table."""
    main = _build(spec, spec.settings).size_settings[:1]
    return tuple(setting for setting in main if isinstance(spec.settings.get(setting), dict))


def _refuse_fixed_sizes(
    plan: Sequence[Spec], reference: str, fixed: Collection[str], places: Mapping[str, str]
) -> None:
    """Raise UsageError if --set fixes a size that the budget has to choose."""
    mistakes = Mistakes()
    for spec in plan:
        if spec.method != reference:
            for setting in _build(spec, spec.settings).size_settings[:1]:
                if (key := f"{spec.method}.{setting}") in fixed:
                    place, option = places.get(key, f"--set {key}"), places.get("budget", "--budget")
                    mistakes.add(f"{place}: {option} chooses its value; give only one of them")
    mistakes.raise_if_any()
