"""The one rule by which differences are judged: a mean over seeds and test samples, its interval, and its p-value.

Scores of a method differ between seeds, and between test samples; another experiment would have others of both. The
scores y of one method, or the differences of two, by seed s and group of samples g, are taken to be

    y[s, g] = mean + seed[s] + sample[g] + rest[s, g]

as in studies of several readers and several cases: Obuchowski and Rockette, Communications in Statistics, 1995; Hillis,
Statistics in Medicine, 2007. With S seeds and G groups, and mean squares MS_seed, MS_sample and MS_rest, the variance
of the grand mean is estimated as the sum of two parts:

    of seeds    v1 = MS_seed / (S G)                           with f1 = S - 1 degrees of freedom
    of samples  v2 = max(MS_sample - MS_rest, 0) / (S G)       with f2 = G - 1

Without scores of samples v2 is 0, and what follows is Student's t.

The p-value is Behrens's and Fisher's: the probability that sqrt(v1) T1 + sqrt(v2) T2 is as large as the mean, where T1
and T2 have Student's t distributions with f1 and f2 degrees of freedom. Satterthwaite's approximation, which is usual,
is not used for it: if three seeds happen to differ little, it takes the sum for well known, and in one of five tables
of ten equal methods it finds a difference.

The 95% interval is halfway between Behrens's and Fisher's, which at three seeds covers 95% to 98%, and Satterthwaite's,
which covers 92% to 96%. `simulations/verdicts.py` measures both, and docs/explain/verdicts.md has its table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, ndtr, stdtr, stdtrit

from bench.report.stats import ALPHA, Bounds

FEWEST_SEEDS = 3
"""With fewer seeds there is no interval, no p-value and no place."""

FEWEST_WORLDS = 3
"""With fewer worlds there is no interval and no p-value over worlds."""


@dataclass(frozen=True)
class Estimate:
    """A mean score, or a mean difference of scores.

    Attributes:
        by_seed: The mean over all samples, for each seed.
        sample_variance: Variance of the mean that is due to the samples (v2); 0 if there are no scores of samples.
        sample_freedom: Its degrees of freedom (f2).
        with_samples: Whether it comes from the scores of single samples.
    """

    by_seed: tuple[float, ...]
    sample_variance: float = 0.0
    sample_freedom: float = math.inf
    with_samples: bool = False

    @property
    def mean(self) -> float:
        """The mean over all seeds."""
        return float(np.mean(self.by_seed))

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation over seeds; None for fewer than two."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else None

    @property
    def seed_variance(self) -> float:
        """Variance of the mean that is due to the seeds (v1)."""
        return float(np.var(self.by_seed, ddof=1)) / len(self.by_seed)

    @property
    def is_enough(self) -> bool:
        """Whether there are enough seeds for an interval and a p-value."""
        return len(self.by_seed) >= FEWEST_SEEDS

    def interval(self) -> Bounds | None:
        """Return the 95% interval of the mean; None with too few seeds."""
        if not self.is_enough:
            return None
        half = self._scale * (self._satterthwaite() + self._behrens_fisher()) / 2
        return self.mean - half, self.mean + half

    def p_value(self) -> float | None:
        """Return the two-sided p-value of the hypothesis that the true mean is 0; None with too few seeds."""
        if not self.is_enough:
            return None
        if self._scale == 0:
            return float(self.mean == 0)
        return self._beyond(abs(self.mean) / self._scale)

    @property
    def _scale(self) -> float:
        return math.sqrt(self.seed_variance + self.sample_variance)

    @property
    def _share(self) -> float:
        """The share of the seeds in the variance."""
        total = self.seed_variance + self.sample_variance
        return self.seed_variance / total if total else 1.0

    def _beyond(self, size: float) -> float:
        """Return the probability that the mean is further from the true mean than so many of its standard errors."""
        freedom = len(self.by_seed) - 1
        return _beyond(size, self._share, freedom, self.sample_freedom)

    def _behrens_fisher(self) -> float:
        """Return the critical value of `_beyond`, in standard errors."""
        return _behrens_fisher(self._share, len(self.by_seed) - 1, self.sample_freedom)

    def _satterthwaite(self) -> float:
        """Return Satterthwaite's critical value, in standard errors."""
        share = self._share
        inverse = share**2 / (len(self.by_seed) - 1) + (1 - share) ** 2 / self.sample_freedom
        return float(stdtrit(1 / inverse, 1 - ALPHA / 2))


def _beyond(size: float, share: float, freedom: float, sample_freedom: float) -> float:
    """Return the probability that a sum of two t variables is further from 0 than `size`, in standard errors of it.

    Args:
        size: The distance.
        share: The share of the first variable in the variance of the sum.
        freedom: The degrees of freedom of the first variable.
        sample_freedom: Those of the second one.
    """
    if share == 1:
        return 2 * float(stdtr(freedom, -size))
    scales_1, weights_1 = _inverse_scales(freedom)
    scales_2, weights_2 = _inverse_scales(sample_freedom)
    variance = share * scales_1[:, None] + (1 - share) * scales_2
    return float(weights_1 @ (2 * ndtr(-size / np.sqrt(variance))) @ weights_2)


@lru_cache(maxsize=4096)  # a difference has the same one in both directions
def _behrens_fisher(share: float, freedom: float, sample_freedom: float) -> float:
    """Return the size for which `_beyond` is 0.05."""
    from scipy.optimize import brentq

    of_seeds, of_samples = (float(stdtrit(f, 1 - ALPHA / 2)) for f in (freedom, sample_freedom))
    if share == 1:
        return of_seeds
    # Of the two variables, either may have fewer degrees of freedom and longer tails. The sum's are at most sqrt(2)
    # times as long, as those of two Cauchy variables are.
    largest = 2 * max(of_seeds, of_samples)
    return float(brentq(lambda size: _beyond(size, share, freedom, sample_freedom) - ALPHA, 1, largest, xtol=1e-6))


@lru_cache(maxsize=512)
def _inverse_scales(freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Return values of f / V, where V is chi-squared with f degrees of freedom, and their probabilities.

    Student's t is normal with this variance. The values are equally spaced in the logarithm, where the trapezoidal rule
    converges fast.
    """
    if math.isinf(freedom):
        return np.ones(1), np.ones(1)
    spread = math.sqrt(2 / freedom)  # of log V, roughly
    # Of V below e**-d f there is a probability of about e**(-d f / 2), from which small p-values come.
    lowest = math.log(freedom) - max(12 * spread, 60 / freedom)
    logs = np.linspace(lowest, math.log(freedom + 60 + 12 * freedom * spread), 160)
    half = freedom / 2
    density = np.exp(half * logs - np.exp(logs) / 2 - half * math.log(2) - gammaln(half))
    return freedom / np.exp(logs), density / density.sum()


def group_sums(scores_N: np.ndarray, groups_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum (G,) of the scores of each group, and its number of samples (G,)."""
    _, groups_N = np.unique(groups_N, return_inverse=True)
    return np.bincount(groups_N, weights=scores_N), np.bincount(groups_N)


def crossed_estimate(sums_SG: np.ndarray, sizes_G: np.ndarray) -> Estimate:
    """Return the estimate from the scores of single samples.

    Groups differ in size, and the mean weighs samples alike; so the deviations of a group's samples from the mean are
    summed, as for a ratio of two totals.

    Args:
        sums_SG: Sums of scores, or of differences of scores, by seed and group of samples. Samples of one group, such
            as the expressions of one picture, are not independent.
        sizes_G: Number of samples of each group.
    """
    samples, (seeds, groups) = int(sizes_G.sum()), sums_SG.shape
    by_seed_S = sums_SG.sum(1) / samples
    by_seed = tuple(by_seed_S.tolist())
    if seeds < 2 or groups < 2:
        return Estimate(by_seed, with_samples=True)
    table_SG = (sums_SG - by_seed_S.mean() * sizes_G) * (groups / samples)
    by_group_G = table_SG.mean(0)
    rest_SG = table_SG - table_SG.mean(1, keepdims=True) - by_group_G + table_SG.mean()
    of_groups = seeds * float(by_group_G.var(ddof=1))
    of_rest = float((rest_SG**2).sum()) / ((seeds - 1) * (groups - 1))
    return Estimate(by_seed, max(of_groups - of_rest, 0.0) / (seeds * groups), float(groups - 1), True)


def mean_of(estimates: Sequence[Estimate], *, independent: bool = True) -> Estimate:
    """Return the estimate of the mean over several tasks with the same seeds.

    Args:
        estimates: The estimates of the tasks.
        independent: Whether the tasks have independent samples. If not, they may have the same ones, so that errors do
            not cancel: the standard error is the mean of the tasks'.
    """
    tasks = len(estimates)
    by_seed = np.mean([estimate.by_seed for estimate in estimates], axis=0)
    with_samples = all(estimate.with_samples for estimate in estimates)
    if not independent:
        error = sum(math.sqrt(estimate.sample_variance) for estimate in estimates) / tasks
        freedom = min(estimate.sample_freedom for estimate in estimates)
        return Estimate(tuple(by_seed.tolist()), error**2, freedom, with_samples)
    variances = [estimate.sample_variance / tasks**2 for estimate in estimates]
    squares = [v**2 / e.sample_freedom for v, e in zip(variances, estimates, strict=True)]
    freedom = sum(variances) ** 2 / sum(squares) if sum(squares) else math.inf
    return Estimate(tuple(by_seed.tolist()), sum(variances), freedom, with_samples)


@dataclass(frozen=True)
class WorldsEstimate:
    """A mean score, or a mean difference of scores, over worlds: draws of the data, each with samples of its own.

    The means by world and seed are two crossed factors too: worlds take the place of seeds, and seeds that of samples,
    which they have in common. The variance between worlds has that of samples in it. With three seeds it sometimes
    happens that the seeds' own variance is not seen beside the rest; so the interval is never narrower, and the p-value
    never smaller, than if these worlds were the only ones, and all that varies were seeds and samples.

    Attributes:
        crossed: The estimate from worlds and seeds; its `by_seed` has the means of the worlds.
        fixed: The estimate for these worlds alone.
    """

    crossed: Estimate
    fixed: Estimate

    @property
    def mean(self) -> float:
        """The mean over all worlds and seeds."""
        return self.crossed.mean

    @property
    def worlds(self) -> int:
        """Number of worlds."""
        return len(self.crossed.by_seed)

    @property
    def seeds(self) -> int:
        """Number of seeds, which all worlds have."""
        return len(self.fixed.by_seed)

    @property
    def is_enough(self) -> bool:
        """Whether there are enough worlds and seeds for an interval and a p-value."""
        return self.worlds >= FEWEST_WORLDS and self.fixed.is_enough

    def interval(self) -> Bounds | None:
        """Return the 95% interval of the mean; None with too few worlds or seeds."""
        if not self.is_enough:
            return None
        crossed, fixed = self.crossed.interval(), self.fixed.interval()
        assert crossed and fixed, "there are enough seeds for both, since worlds take the place of seeds"
        return min(crossed[0], fixed[0]), max(crossed[1], fixed[1])

    def p_value(self) -> float | None:
        """Return the two-sided p-value of the hypothesis that the true mean is 0; None with too few worlds or seeds."""
        if not self.is_enough:
            return None
        crossed, fixed = self.crossed.p_value(), self.fixed.p_value()
        assert crossed is not None and fixed is not None, "see `interval`"
        return max(crossed, fixed)


def over_worlds(by_world: Sequence[Estimate]) -> WorldsEstimate:
    """Return the estimate over worlds from that of each world, with the same seeds in all of them."""
    means_WS = np.array([estimate.by_seed for estimate in by_world])
    return WorldsEstimate(crossed_estimate(means_WS, np.ones(means_WS.shape[1])), mean_of(by_world))


class Pair(NamedTuple):
    """The comparison of two methods by the seeds that both have.

    Attributes:
        p: The two-sided p-value of their difference.
        better: Number of the method with the higher mean.
        worse: Number of the other one.
    """

    p: float
    better: int
    worse: int


def best(methods: int, pairs: Iterable[Pair]) -> set[int]:
    """Return which methods cannot be told from the best.

    All are compared with all, and the one that is most clearly behind another one is left out, until none is: in each
    step the smallest p-value of the remaining pairs is multiplied by their number. So a method that is as good as the
    best is left out of a table with a probability of at most 0.05, even if it is one of several. These are multiple
    comparisons with the best (Hsu, "Multiple Comparisons", 1996) in the steps of the model confidence set (Hansen,
    Lunde and Nason, Econometrica, 2011), which contains all best methods rather than one of them.

    Args:
        methods: Number of methods; they are numbered from 0.
        pairs: All pairs that can be compared.
    """
    remaining = set(range(methods))
    for pair in sorted(pairs):
        if not remaining.issuperset((pair.better, pair.worse)):
            continue
        if pair.p * len(remaining) * (len(remaining) - 1) / 2 >= ALPHA:
            break
        remaining.remove(pair.worse)
    return remaining
