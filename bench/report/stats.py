"""The statistics of comparisons: intervals, paired tests, bootstrap over seeds and samples, and the power of a test.

Methods are compared in pairs: runs of one task with one seed see the same data in the same order and start from the
same head, so the difference of two methods on that seed has less chance in it than either score.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import chdtr, roots_legendre, stdtr, stdtrit  # `scipy.stats` takes a second or two to import

LEVEL = 0.95
"""Of every interval."""
ALPHA = 1 - LEVEL
RESAMPLES = 2000
_MOST_SEEDS = 1000
_FAR = 6.0  # standard deviations: further from its mean lies 2e-9 of a normal variable
_NODES = 512  # of an integral over as far to both sides; 1,000 seeds at level 0.05 take the most for 1e-9

Bounds = tuple[float, float]


def mean_interval(values: Sequence[float]) -> Bounds | None:
    """Return the interval of the mean by Student's t, from (n,) independent values; None from fewer than two."""
    if len(values) < 2:
        return None
    return _test(values)[:2]


def paired_test(differences: Sequence[float]) -> tuple[float, float, float] | None:
    """Return the paired t-test of (n,) differences: the interval of their mean, and the two-sided p-value.

    None from fewer than two. Differences that are all 0 have the p-value 1.
    """
    if len(differences) < 2:
        return None
    return _test(differences)


def _test(values: Sequence[float]) -> tuple[float, float, float]:
    """Low and high end of the mean's interval, and the two-sided p-value that the mean is 0."""
    freedom = len(values) - 1
    mean, error = statistics.fmean(values), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * error
    if error == 0:
        return mean, mean, float(mean == 0)
    return mean - half, mean + half, 2 * float(stdtr(freedom, -abs(mean) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values of one table after Holm's step-down correction (Scandinavian Journal of Statistics, 1979)."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min((len(p_values) - position) * p_values[index], 1.0))
        corrected[index] = largest
    return corrected


def resampled_means(scores: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Bootstrap: means of (M, S) scores over resampled seeds, or of (M, S, N) over resampled seeds and samples.

    Seeds and samples are drawn each by themselves, and the same for all M methods, which stay paired. (Owen, "The
    pigeonhole bootstrap", 2007: with both, the interval is rather too wide than too narrow.) The draws are the same
    each time.

    Args:
        scores: of each method and seed, and of each sample.
        groups: (N,) whole numbers: samples of one group are drawn together, since they are not independent.

    Returns:
        (`RESAMPLES`, M).
    """
    seeds_RS = _counts(scores.shape[1], 0) / scores.shape[1]
    if scores.ndim == 2:
        return seeds_RS @ scores.T
    _, groups_N = np.unique(np.arange(scores.shape[2]) if groups is None else groups, return_inverse=True)
    sizes_G = np.bincount(groups_N).astype(np.float32)
    counts_RG = _counts(len(sizes_G), 1)
    total_R = counts_RG @ sizes_G
    resampled = []
    for each_SN in scores:
        sums_SG = np.stack([np.bincount(groups_N, weights=of_seed) for of_seed in each_SN]).astype(np.float32)
        resampled.append(((seeds_RS @ sums_SG) * counts_RG).sum(1) / total_R)
    return np.stack(resampled, 1)


def percentile_interval(resampled: np.ndarray) -> Bounds:
    """Return the bootstrap's interval from (R,) resampled values."""
    low, high = np.quantile(resampled, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


@lru_cache(maxsize=8)
def _counts(items: int, seed: int) -> np.ndarray:
    """Return how often each item is drawn in each resample: (`RESAMPLES`, items), float32."""
    drawn = np.random.default_rng(seed).integers(0, items, (RESAMPLES, items))
    flat = drawn + items * np.arange(RESAMPLES)[:, None]
    return np.bincount(flat.ravel(), minlength=RESAMPLES * items).reshape(RESAMPLES, items).astype(np.float32)


def ranks(scores: np.ndarray) -> np.ndarray:
    """Return ranks of (..., M) scores, 1 for the highest; equals share the mean of their ranks."""
    higher = scores[..., None, :] > scores[..., :, None]
    equal = scores[..., None, :] == scores[..., :, None]
    return higher.sum(-1) + (equal.sum(-1) + 1) / 2


def mean_rank_interval(resampled: Sequence[np.ndarray]) -> list[Bounds]:
    """For each of M methods the interval of its rank, averaged over tasks.

    Args:
        resampled: of each task, the means of all M methods: (`RESAMPLES`, M), as from `resampled_means`.
    """
    mean_RM = np.mean([ranks(each_RM) for each_RM in resampled], axis=0)
    return [percentile_interval(method_ranks) for method_ranks in mean_RM.T]


def power(gain: float, deviation: float, seeds: int, alpha: float = ALPHA) -> float:
    """Return how probable it is that the paired t-test finds a gain; to some 1e-8, at any gain.

    The test finds it where |Z| >= t sqrt(V / f): Z is the normal mean of the differences over its standard error, with
    the mean d = gain sqrt(seeds) / deviation; V is chi-squared with f = seeds - 1, and t the critical value. So the
    probability that V is at most f (Z / t)^2 is integrated over Z. (The noncentral t distributions of scipy and
    statsmodels give NaN where d is large.)

    Args:
        gain: true mean difference.
        deviation: standard deviation of the differences over seeds.
        seeds: so many of them, at least 2.
        alpha: level of the two-sided test.
    """
    if deviation == 0:
        return float(gain != 0)
    freedom = seeds - 1
    mean = abs(gain) * math.sqrt(seeds) / deviation
    critical = stdtrit(freedom, 1 - alpha / 2)
    low, high = max(mean - _FAR, 0.0), mean + _FAR
    nodes, weights = _legendre()
    size = low + (nodes + 1) / 2 * (high - low)  # |Z|, of either sign
    density = np.exp(-((size - mean) ** 2) / 2) + np.exp(-((size + mean) ** 2) / 2)
    probability = (weights * density * chdtr(freedom, freedom * (size / critical) ** 2)).sum()
    return float(probability * (high - low) / 2 / math.sqrt(2 * math.pi))


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes in [-1, 1] and weights of Gauss-Legendre quadrature: (`_NODES`,) each."""
    nodes, weights = roots_legendre(_NODES)
    return nodes, weights


def seeds_needed(gain: float, deviation: float, target_power: float = 0.8, alpha: float = ALPHA) -> int | None:
    """Return the fewest seeds with which the paired t-test finds a gain so probably; None for more than a thousand."""
    low, high = 2, _MOST_SEEDS
    if power(gain, deviation, high, alpha) < target_power:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(gain, deviation, middle, alpha) >= target_power else (middle + 1, high)
    return low


def smallest_gain(deviation: float, seeds: int, target_power: float = 0.8, alpha: float = ALPHA) -> float:
    """Return the smallest gain that the paired t-test finds with this power; `target_power` is above `alpha`."""
    return deviation * _smallest_ratio(seeds, target_power, alpha)


@lru_cache(maxsize=256)
def _smallest_ratio(seeds: int, target_power: float, alpha: float) -> float:
    """Return the same in units of the deviation."""
    from scipy.optimize import brentq

    high = 1.0
    while power(high, 1.0, seeds, alpha) < target_power:
        high *= 2
    return float(brentq(lambda ratio: power(ratio, 1.0, seeds, alpha) - target_power, 0.0, high))


def deviation_interval(deviation: float, values: int) -> Bounds:
    """Return the interval of a standard deviation that was estimated from so many values (chi-squared)."""
    from scipy.stats import chi2

    freedom = values - 1
    low, high = (math.sqrt(freedom / chi2.ppf(share, freedom)) for share in (1 - ALPHA / 2, ALPHA / 2))
    return low * deviation, high * deviation
