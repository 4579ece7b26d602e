"""Whether two suites order the same methods alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.report.estimates import FEWEST_SEEDS
from bench.report.finding.measured import Runs, primary
from bench.report.standings import Interval
from bench.report.stats import RESAMPLES, percentile_interval, resampled_means

FEWEST_METHODS = 3
"""Of fewer there is next to nothing to order."""


@dataclass(frozen=True)
class Agreement:
    """How far two suites order methods alike, by their mean scores on tasks that both have.

    Attributes:
        labels: The methods.
        pairs: Number of pairs of methods, each on each task.
        alike: Number of those that both suites order alike.
        tau: Kendall's tau-b over these pairs: 1 if all are ordered alike, -1 if none is.
        interval: Its 95% percentile interval over other seeds, by a bootstrap in which each suite draws its own.
    """

    labels: tuple[str, ...]
    pairs: int
    alike: int
    tau: float
    interval: Interval


def agreement(a: Runs, b: Runs, tasks: Sequence[str], labels: Sequence[str]) -> Agreement | None:
    """Return how far two suites order methods alike; None unless both have enough seeds of enough methods.

    Methods are compared with one another on the same task only, by the mean over the seeds that all of them have.

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
    signs = []
    for suite, runs in enumerate((a, b)):
        by_task = []
        for task in tasks:
            seeds = sorted(set.intersection(*(set(runs[task, label]) for label in enough)))
            if len(seeds) < FEWEST_SEEDS:
                return None
            scores_MS = np.array([[primary(runs[task, label][seed]) for seed in seeds] for label in enough])
            by_task.append(_signs(np.vstack([scores_MS.mean(1), resampled_means(scores_MS)])))
        # The draws are always the same; of the second suite they come in another order, so that both are independent.
        draws = np.random.default_rng(1).permutation(RESAMPLES) if suite else np.arange(RESAMPLES)
        signs.append(np.hstack(by_task)[np.concatenate([[0], draws + 1])])
    taus = _tau_b(*signs)
    alike = int((signs[0][0] * signs[1][0] > 0).sum())
    return Agreement(enough, signs[0].shape[1], alike, float(taus[0]), Interval(*percentile_interval(taus[1:])))


def _signs(means_RM: np.ndarray) -> np.ndarray:
    """Return which method of each of P pairs is better, 1, -1 or 0: (R, P)."""
    pairs = combinations(range(means_RM.shape[1]), 2)
    return np.stack([np.sign(means_RM[:, i] - means_RM[:, j]) for i, j in pairs], axis=1)


def _tau_b(a_RP: np.ndarray, b_RP: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b (R,) of orders of P pairs; 0 where one has ties only."""
    untied = np.sqrt(np.count_nonzero(a_RP, axis=1) * np.count_nonzero(b_RP, axis=1))
    return (a_RP * b_RP).sum(1) / np.where(untied, untied, 1.0)
