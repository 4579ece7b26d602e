"""Whether two suites order the same methods alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.report.estimates import FEWEST_SEEDS, Estimate
from bench.report.finding.audit import kendall, sign_of
from bench.report.finding.measured import Runs
from bench.report.standings import Interval, mean_difference
from bench.report.stats import ALPHA, holm

FEWEST_METHODS = 3
"""Of fewer there is next to nothing to order."""


@dataclass(frozen=True)
class Agreement:
    """How far two suites order methods alike, by the differences of pairs of methods on tasks that both suites have.

    Attributes:
        labels: The methods.
        pairs: Number of pairs of methods, each on each task.
        alike: Number of those whose mean differences have the same sign in both suites.
        clear: Number of those whose difference is clear in both suites.
        clear_alike: Number of those that are clear in both suites, and have the same sign.
        tau: Kendall's tau-b of the signs of all mean differences: 1 if all are alike, -1 if none is.
        interval: The lowest and the highest tau that the clear pairs leave open, if there are no ties. It contains
            the tau of the true means with a probability of at least 0.95. Noise does not pull it to 0, as it does a
            bootstrap's: that answers "no" where nothing is known.
    """

    labels: tuple[str, ...]
    pairs: int
    alike: int
    clear: int
    clear_alike: int
    tau: float
    interval: Interval


def agreement(a: Runs, b: Runs, tasks: Sequence[str], labels: Sequence[str]) -> Agreement | None:
    """Return how far two suites order methods alike; None unless both have enough seeds of enough methods.

    Methods are compared with one another on the same task only. A difference is clear if its p-value is below 0.05
    after Holm's correction over all pairs of both suites.

    Args:
        a: Records of one suite.
        b: Records of the other suite.
        tasks: The tasks.
        labels: Labels of the methods; those are left out that have too few seeds.
    """
    enough = tuple(
        label
        for label in labels
        if all(len(runs.get((task, label), ())) >= FEWEST_SEEDS for runs in (a, b) for task in tasks)
    )
    if len(enough) < FEWEST_METHODS:
        return None
    pairs = [(task, *pair) for task in tasks for pair in combinations(enough, 2)]
    estimates = [_estimate(runs, *pair) for runs in (a, b) for pair in pairs]
    if any(estimate is None for estimate in estimates):
        return None
    known = [estimate for estimate in estimates if estimate is not None]
    of_means = _paired([sign_of(estimate.mean) for estimate in known])
    corrected = holm([_p_value(estimate) for estimate in known])
    clear = _paired([sign_of(e.mean) if p < ALPHA else 0 for e, p in zip(known, corrected, strict=True)])
    in_both = [of_a * of_b for of_a, of_b in clear if of_a and of_b]
    unknown = len(pairs) - len(in_both)
    low, high = ((sum(in_both) + change) / len(pairs) for change in (-unknown, unknown))
    return Agreement(
        enough,
        len(pairs),
        sum(of_a * of_b > 0 for of_a, of_b in of_means),
        len(in_both),
        sum(product > 0 for product in in_both),
        kendall(of_means),
        Interval(low, high),
    )


def _estimate(runs: Runs, task: str, first: str, second: str) -> Estimate | None:
    """Return the estimate of the difference of two methods on a task; None with too few common seeds."""
    a, b = runs[task, first], runs[task, second]
    shared = sorted(a.keys() & b.keys())
    return mean_difference([a[s] for s in shared], [b[s] for s in shared]) if len(shared) >= FEWEST_SEEDS else None


def _p_value(estimate: Estimate) -> float:
    p = estimate.p_value()
    return 1.0 if p is None else p


def _paired(signs: Sequence[int]) -> list[tuple[int, int]]:
    """Return the signs of each pair of methods in both suites, from those of the one suite and then of the other."""
    half = len(signs) // 2
    return list(zip(signs[:half], signs[half:], strict=True))
