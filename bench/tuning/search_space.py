"""The dimensions of a search: the declarations in `Method.search`, applied to a suite's values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bench.config.instantiate import method_of
from bench.config.plan import with_values
from bench.config.spec import Spec
from bench.errors import Mistakes, UsageError, did_you_mean
from bench.methods.search_space import Choice, Range

EDGE = 0.05
"""A value is at the edge of its range if its distance to an end is at most this fraction of the range."""

_Distribution: TypeAlias = FloatDistribution | IntDistribution | CategoricalDistribution


@dataclass(frozen=True)
class Dimension:
    """One setting and its possible values.

    Attributes:
        name: Name of the setting.
        start: The suite's value.
        options: The possible values, starting with the suite's; empty for numbers.
        distribution: Distribution of the number, or of the index of an option.
    """

    name: str
    start: Any
    options: tuple[Any, ...]
    distribution: _Distribution

    def value(self, drawn: Any) -> Any:
        """Return the setting's value for a drawn value; floats have three digits, more than a search can resolve."""
        if self.options:
            return self.options[drawn]
        return float(f"{drawn:.3g}") if isinstance(drawn, float) else drawn

    def quantile(self, fraction: float) -> Any:
        """Return the value of the distribution at a fraction, in [0, 1), of its range."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return int(fraction * len(self.options))
        low, high = distribution.low, distribution.high
        position = low * (high / low) ** fraction if distribution.log else low + (high - low) * fraction
        return position if isinstance(distribution, FloatDistribution) else round(position)

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that a method must accept to accept all: both ends of a range, or every option."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.options
        return self.value(self.distribution.low), self.value(self.distribution.high)

    @property
    def description(self) -> str:
        """The possible values as text, e.g. "lr_adapter from 0.0005 to 0.05 (log)"."""
        if isinstance(self.distribution, CategoricalDistribution):
            return f"{self.name} of {', '.join(map(str, self.options))}"
        low, high = self.ends
        return f"{self.name} from {low:g} to {high:g}{' (log)' if self.distribution.log else ''}"

    def at_edge(self, value: Any) -> bool:
        """Return whether a number is at the edge of its range, so that there may be better ones beyond it."""
        if isinstance(self.distribution, CategoricalDistribution):
            return False
        low, high, position = (math.log(x) if self.distribution.log else x for x in (*self.ends, value))
        return min(position - low, high - position) <= EDGE * (high - low)


def dimensions(spec: Spec) -> list[Dimension]:
    """Return the dimensions that the method of a run declares, around the run's values.

    Raises:
        UsageError: The declaration is invalid; the message lists all mistakes.
    """
    method = method_of(spec)
    mistakes = Mistakes()
    result = []
    if not method.search:
        mistakes.add(f"{spec.method} declares no settings to search")
    for name, declared in method.search.items():
        if name not in spec.method_settings:
            suggestion = did_you_mean(name, spec.method_settings)
            mistakes.add(f"{spec.method} declares a search of {name}, a setting that it does not have: {suggestion}")
            continue
        with mistakes.gathered():
            result.append(_dimension(spec, name, declared))
            for value in result[-1].ends:
                with_values(spec, {name: value})
    if mistakes.problems:
        raise UsageError([f"`bench tune` on {spec.task}: {problem}" for problem in mistakes.problems])
    return result


def _dimension(spec: Spec, name: str, declared: Range | Choice) -> Dimension:
    start = spec.method_settings[name]
    if isinstance(declared, Choice):
        options = (start, *(value for value in declared.values if value != start))
        return Dimension(name, start, options, CategoricalDistribution(range(len(options))))
    if isinstance(start, bool) or not isinstance(start, int | float) or start <= 0:
        raise UsageError(
            f"{spec.method} declares a Range for {name}, which needs a value above 0 in the suite, not {start}: "
            "declare a Choice"
        )
    low, high = declared.low * start, declared.high * start
    if isinstance(start, int):
        whole = IntDistribution(max(1, round(low)), max(1, round(high)), log=declared.log)
        return Dimension(name, start, (), whole)
    return Dimension(name, start, (), FloatDistribution(low, high, log=declared.log))
