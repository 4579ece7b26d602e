"""Statistics of tables: Holm's correction, ranks with a bootstrap over seeds and samples, and the power of a test.

`bench.report.estimates` judges single differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

# `scipy.stats` takes a second or two to import.
from scipy.special import chdtr, gammaincinv, roots_legendre, stdtrit

LEVEL = 0.95
"""Confidence level of all intervals."""
ALPHA = 1 - LEVEL
RESAMPLES = 2000
_MOST_SEEDS = 1000
_TAIL = 6.0  # standard deviations; a normal variable is further from its mean with probability 2e-9
_NODES = 512  # of the integral up to `_TAIL` on both sides, enough for 1e-9 in the hardest case (1,000 seeds)

Bounds = tuple[float, float]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values of one table after Holm's step-down correction (Scandinavian Journal of Statistics, 1979)."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min((len(p_values) - position) * p_values[index], 1.0))
        corrected[index] = largest
    return corrected


def resampled_means(scores: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Return bootstrap means of (M, S) scores over seeds, or of (M, S, N) scores over seeds and samples.

    Seeds and samples are resampled independently, and identically for all M methods, so that these stay paired. (With
    both, the interval is conservative: Owen, "The pigeonhole bootstrap", 2007.) The draws are always the same.

    Args:
        scores: Scores by method and seed, or by method, seed and sample.
        groups: (N,) integers: samples of one group are drawn together, since they are not independent.

    Returns:
        (`RESAMPLES`, M) means.
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
        # The sum over seeds comes last: no table of all resamples and groups is made, which took most of the time.
        resampled.append(((counts_RG @ sums_SG.T) * seeds_RS).sum(1) / total_R)
    return np.stack(resampled, 1)


def percentile_interval(resampled: np.ndarray) -> Bounds:
    """Return the percentile interval of (R,) resampled values."""
    low, high = np.quantile(resampled, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


@lru_cache(maxsize=8)
def _counts(items: int, seed: int) -> np.ndarray:
    """Return the number of times that each item is drawn in each resample: (`RESAMPLES`, items), float32."""
    drawn = np.random.default_rng(seed).integers(0, items, (RESAMPLES, items))
    flat = drawn + items * np.arange(RESAMPLES)[:, None]
    return np.bincount(flat.ravel(), minlength=RESAMPLES * items).reshape(RESAMPLES, items).astype(np.float32)


def ranks(scores: np.ndarray) -> np.ndarray:
    """Return ranks of (..., M) scores, 1 for the highest; equal scores share the mean of their ranks."""
    higher = scores[..., None, :] > scores[..., :, None]
    equal = scores[..., None, :] == scores[..., :, None]
    return higher.sum(-1) + (equal.sum(-1) + 1) / 2


def mean_rank_interval(resampled: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> list[Bounds]:
    """Return for each of M methods the interval of its rank, averaged over tasks.

    Args:
        resampled: For each task, the (`RESAMPLES`, M) means of all methods from `resampled_means`.
        weights: The weight of each task; None for equal ones.
    """
    mean_RM = np.average([ranks(each_RM) for each_RM in resampled], axis=0, weights=weights)
    return [percentile_interval(method_ranks) for method_ranks in mean_RM.T]


def power(gain: float, deviation: float, seeds: int, alpha: float = ALPHA) -> float:
    """Return the probability that the paired t-test detects a gain, with an error of about 1e-8 for any gain.

    The test detects it if |Z| >= t sqrt(V / f), where Z, the mean difference divided by its standard error, is normal
    with mean d = gain sqrt(seeds) / deviation, V is chi-squared with f = seeds - 1 degrees of freedom, and t is the
    critical value. So the probability that V is at most f (Z / t)^2 is integrated over Z. (The noncentral t
    distributions of scipy and statsmodels return NaN for large d.)

    Args:
        gain: True mean difference.
        deviation: Standard deviation of the differences over seeds.
        seeds: Number of seeds, at least 2.
        alpha: Level of the two-sided test.
    """
    if deviation == 0:
        return float(gain != 0)
    freedom = seeds - 1
    mean = abs(gain) * math.sqrt(seeds) / deviation
    critical = stdtrit(freedom, 1 - alpha / 2)
    low, high = max(mean - _TAIL, 0.0), mean + _TAIL
    nodes, weights = _legendre()
    size = low + (nodes + 1) / 2 * (high - low)  # |Z|, of either sign
    density = np.exp(-((size - mean) ** 2) / 2) + np.exp(-((size + mean) ** 2) / 2)
    probability = (weights * density * chdtr(freedom, freedom * (size / critical) ** 2)).sum()
    return float(probability * (high - low) / 2 / math.sqrt(2 * math.pi))


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes in [-1, 1] and weights of Gauss-Legendre quadrature: (`_NODES`,) each."""
    nodes, weights = roots_legendre(_NODES)
    return nodes, weights


def seeds_needed(gain: float, deviation: float, target_power: float = 0.8, alpha: float = ALPHA) -> int | None:
    """Return the smallest number of seeds with which the paired t-test reaches a power; None for over a thousand."""
    low, high = 2, _MOST_SEEDS
    if power(gain, deviation, high, alpha) < target_power:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(gain, deviation, middle, alpha) >= target_power else (middle + 1, high)
    return low


def smallest_gain(deviation: float, seeds: int, target_power: float = 0.8, alpha: float = ALPHA) -> float:
    """Return the smallest gain that the paired t-test detects with a power, which must be above `alpha`."""
    return deviation * _smallest_ratio(seeds, target_power, alpha)


@lru_cache(maxsize=256)
def _smallest_ratio(seeds: int, target_power: float, alpha: float) -> float:
    """Return the smallest detectable gain in units of the deviation."""
    from scipy.optimize import brentq

    high = 1.0
    while power(high, 1.0, seeds, alpha) < target_power:
        high *= 2
    return float(brentq(lambda ratio: power(ratio, 1.0, seeds, alpha) - target_power, 0.0, high))


def deviation_interval(deviation: float, values: int) -> Bounds:
    """Return the chi-squared interval of a standard deviation that was estimated from a number of values."""
    freedom = values - 1
    low, high = (math.sqrt(freedom / (2 * gammaincinv(freedom / 2, share))) for share in (1 - ALPHA / 2, ALPHA / 2))
    return low * deviation, high * deviation
