"""Equal budgets: the rank of each method, or what it has instead, for one number of trained adapter parameters."""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from bench import registry
from bench.config.describe import assignments
from bench.config.instantiate import method_of
from bench.config.plan import RunRequest, make_plan
from bench.config.spec import Spec
from bench.errors import BenchError, Mistakes, UsageError, shortened
from bench.methods.base import Method
from bench.streams.load import outline_stream
from bench.streams.lockstep import MultiStream

TOLERANCE = 0.05
_MAX_SIZE = 2**16  # of a setting
_MAX_PARAMETERS = 1e12
_UNITS = {"": 1, "k": 1e3, "m": 1e6}

Count = Callable[[dict[str, Any]], int | None]
"""Trained parameters of a method with these settings; None where it cannot have them."""


@dataclass(frozen=True)
class BudgetFit:
    """What a budget came to for one method on one task.

    Attributes:
        task: name of the task.
        method: name of the method.
        target: trained adapter parameters to reach.
        parameters: trained adapter parameters that the method has.
        chosen: the settings that were turned for it, and their values.
    """

    task: str
    method: str
    target: int
    parameters: int
    chosen: dict[str, Any]

    @property
    def deviation(self) -> float:
        """How far the found number is from the target, as a share of it."""
        return self.parameters / self.target - 1

    @property
    def summary(self) -> str:
        """All of it in a line."""
        chosen = f" with {assignments(self.chosen)}" if self.chosen else ""
        result = f"{self.method} has {self.parameters:,} ({100 * self.deviation:+.1f}%)"
        return f"budget {self.target:,} on {self.task}: {result}{chosen}"


def plan_within(request: RunRequest) -> tuple[list[Spec], list[BudgetFit]]:
    """Return the runs that `make_plan` returns, with each method's size set to the budget.

    Args:
        request: the runs, with a budget.

    Returns:
        The runs, and what each method came to on each task.

    Raises:
        UsageError: the budget is invalid, or methods cannot come within 5% of it: all of them are named.
    """
    budget = request.budget or ""
    amount = _amount(budget)
    reference = "" if amount else budget
    if reference and reference not in request.methods:
        plan = make_plan(replace(request, methods=[*request.methods, reference]))
        requested = [spec for spec in plan if spec.method != reference]
    else:
        requested = plan = make_plan(request)
    fixed = {text.partition("=")[0].strip() for text in request.overrides}
    _refuse_fixed_sizes(requested, reference, fixed)
    mistakes = Mistakes()
    fits: dict[tuple[str, str], BudgetFit] = {}
    outlines = _Outlines()
    for task in dict.fromkeys(spec.task for spec in plan):
        specs = {spec.method: spec for spec in plan if spec.task == task}
        target: int | None
        if amount:
            target = amount(outlines.size(next(iter(specs.values()))))
        else:
            target = outlines.count(specs[reference])(specs[reference].settings)
        if not target:
            raise UsageError(f"--budget {budget}: on {task} that is no trained parameter")
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
    """Turn a method's size settings until it trains as nearly `target` parameters as it can.

    The main setting first. Where it is too coarse, it stays at the last value below the target, and the next, finer one
    fills up what is left.

    Args:
        spec: of a run of the method.
        target: how many parameters it is to train.
        count: how many it trains, by its settings.
        fixed: keys of settings, as in `--set`, that stay as they are.

    Raises:
        UsageError: the method cannot come within 5% of the target.
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
        _turn(partial(with_setting, setting, start), target)
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
            f"{spec.method} cannot be put on the streams of {spec.task} with these settings: without --budget its run "
            "says why"
        )
    parameters, chosen = nearest()
    if abs(parameters / target - 1) > TOLERANCE:
        settings = f" with {assignments(chosen)}" if chosen else ""
        nearest_is = f"the nearest is {parameters:,}{settings}"
        reason = nearest_is if size_settings else f"it trains {parameters:,}, and no setting of it changes that"
        raise UsageError(
            f"{spec.method} cannot come within 5% of {target:,} trained parameters on {spec.task}: {reason}"
        )
    return BudgetFit(spec.task, spec.method, target, parameters, chosen)


def _turn(trained: Callable[[int], int | None], target: int) -> None:
    """Try values of a setting: powers of two until they pass the target, then between the two."""
    last: tuple[int, int] | None = None
    value = 1
    while value <= _MAX_SIZE:
        parameters = trained(value)
        if parameters is not None:
            if last and (last[1] - target) * (parameters - target) <= 0:
                _bisect(trained, target, last, value)
                return
            if last and abs(parameters - target) > abs(last[1] - target):
                return  # away from the target: there is nothing beyond
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
            return  # only some values go, as divisors do, and powers of two were tried
        if (at_low - target) * (parameters - target) <= 0:
            high = middle
        else:
            low, at_low = middle, parameters


def _build(spec: Spec, values: dict[str, Any]) -> Method:
    return method_of(replace(spec, settings=values))


class _Outlines:
    """Counts on streams that have no weights; tasks of the same streams share what was counted."""

    def __init__(self) -> None:
        self._made: dict[str, MultiStream] = {}
        self._counted: dict[tuple[str, str, str], int | None] = {}

    def size(self, spec: Spec) -> int:
        """Return parameters of a run's streams."""
        return sum(p.numel() for p in self._outline(spec).parameters())

    def count(self, spec: Spec) -> Count:
        """Return how many parameters the method of a run trains on its streams, by its settings."""

        def count(values: dict[str, Any]) -> int | None:
            key = json.dumps(spec.streams), spec.method, json.dumps(values)
            if key not in self._counted:
                self._counted[key] = _count(self._outline(spec), spec, json.loads(key[-1]))
            return self._counted[key]

        return count

    def _outline(self, spec: Spec) -> MultiStream:
        key = json.dumps(spec.streams)
        if key not in self._made:
            self._made[key] = MultiStream({name: outline_stream(**source) for name, source in spec.streams.items()})
        return self._made[key]


def _count(outline: MultiStream, spec: Spec, values: dict[str, Any]) -> int | None:
    """Return parameters that a method trains on streams like these; None where it cannot be put on them."""
    for model in _blanks(outline):
        try:
            method = _build(spec, values)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sizes that are only tried
                method.attach(model)
        except (BenchError, RuntimeError, NotImplementedError):
            continue
        return sum(model.get_parameter(name).numel() for name in method.adapter_names(model))
    return None


def _blanks(outline: MultiStream) -> Iterator[MultiStream]:
    """Models to attach to: without weights, which is fast; then with some, since a few methods look at them."""
    yield copy.deepcopy(outline)
    model = copy.deepcopy(outline).to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.02)
    yield model


def _amount(budget: str) -> Callable[[int], int] | None:
    """Return how many parameters are asked for, by the size of the streams; None where the budget names a method.

    Raises:
        UsageError: it is neither.
    """
    if match := re.fullmatch(r"(\d+(?:[_,]\d{3})*(?:\.\d+)?)(%|[kmKM]?)", budget):
        value, unit = float(re.sub("[_,]", "", match[1])), match[2].lower()
        if value > _MAX_PARAMETERS:
            raise UsageError(f"--budget {shortened(budget)} is more than any stream has parameters")
        return lambda size: round(size * value / 100 if unit == "%" else value * _UNITS[unit])
    try:
        registry.load("methods", budget)
    except UsageError as error:
        raise UsageError(f"--budget takes a share as 2%, a number as 400k or 1.5M, or a method: {error}") from error
    return None


def _refuse_fixed_sizes(plan: Sequence[Spec], reference: str, fixed: Collection[str]) -> None:
    """A size cannot be given and chosen."""
    mistakes = Mistakes()
    for spec in plan:
        if spec.method != reference:
            for setting in _build(spec, spec.settings).size_settings[:1]:
                if f"{spec.method}.{setting}" in fixed:
                    mistakes.add(f"--set {spec.method}.{setting}: --budget chooses it; give one or the other")
    mistakes.raise_if_any()
