"""The statistics against scipy's and statsmodels' own, which take long to import, and against what they promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from bench.report import stats


@pytest.mark.parametrize("p_values", [[], [0.2], [0.01, 0.04, 0.03], [0.5, 0.5, 0.9, 0.0], [0.02, 0.02, 0.02, 0.001]])
def test_holm_is_statsmodels_holm(p_values):
    expected = multipletests(p_values, method="holm")[1].tolist() if p_values else []
    assert stats.holm(p_values) == pytest.approx(expected)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_ranks_are_scipys(scores):
    values = np.array(scores, dtype=float)
    assert stats.ranks(values).tolist() == scipy.stats.rankdata(-values).tolist()


def test_the_bootstrap_of_seeds_has_the_error_of_the_mean():
    scores = np.random.default_rng(1).normal(70, 3, (4, 30))
    resampled = stats.resampled_means(scores)
    assert resampled.shape == (stats.RESAMPLES, 4)
    assert resampled.mean(0) == pytest.approx(scores.mean(1), abs=0.1)
    assert resampled.std(0) == pytest.approx(scores.std(1) / np.sqrt(30), rel=0.1)
    assert (stats.resampled_means(scores) == resampled).all()


def test_the_bootstrap_of_seeds_and_samples_adds_their_errors():
    rng = np.random.default_rng(2)
    scores = 50 + rng.normal(0, 2, (1, 20, 1)) + rng.normal(0, 20, (1, 1, 400)) + rng.normal(0, 5, (1, 20, 400))
    expected = np.sqrt(scores.mean(2).var() / 20 + scores.mean(1).var() / 400)
    assert stats.resampled_means(scores).std() == pytest.approx(expected, rel=0.1)


def test_samples_of_one_group_are_drawn_together():
    of_groups = np.random.default_rng(12).normal(50, 10, 80)
    scores = of_groups.repeat(5)[None, None]  # five equal samples a group tell as much as one
    groups = np.arange(80).repeat(5)
    assert stats.resampled_means(scores, groups).std() == pytest.approx(of_groups.std() / np.sqrt(80), rel=0.1)
    assert stats.resampled_means(scores).std() == pytest.approx(of_groups.std() / np.sqrt(400), rel=0.1)
    shuffled = np.random.default_rng(13).permutation(400)
    again = stats.resampled_means(scores[..., shuffled], groups[shuffled])
    assert again == pytest.approx(stats.resampled_means(scores, groups), rel=1e-5)


def test_methods_stay_paired_in_the_bootstrap():
    of_one = np.random.default_rng(3).normal(50, 10, (5, 100))
    resampled = stats.resampled_means(np.stack([of_one, of_one + 2]))
    assert resampled[:, 1] - resampled[:, 0] == pytest.approx(np.full(stats.RESAMPLES, 2.0), abs=1e-3)


def test_rank_intervals():
    sure, unsure = np.array([[3.0, 1.0]] * 10), np.array([[1.0, 2.0], [2.0, 1.0]] * 5)
    assert stats.mean_rank_interval([sure, sure]) == [(1.0, 1.0), (2.0, 2.0)]
    assert stats.mean_rank_interval([sure, unsure]) == [(1.0, 1.5), (1.5, 2.0)]


@pytest.mark.parametrize(
    ("gain", "seeds", "alpha"),
    [
        (1.5, 5, 0.05),
        (7.0, 3, 0.05 / 9),
        (4.0, 3, 0.05),
        (20.0, 2, 0.05),
        (30.0, 2, 0.05 / 9),
        (0.0, 4, 0.05),
        (0.3, 80, 0.05),
    ],
)
def test_power_is_what_simulation_finds(gain, seeds, alpha):
    """To four standard errors of a share of 100,000 experiments."""
    differences = np.random.default_rng(4).normal(gain, 1, (100_000, seeds))
    t = differences.mean(1) / (differences.std(1, ddof=1) / np.sqrt(seeds))
    share = (np.abs(t) >= scipy.stats.t.ppf(1 - alpha / 2, seeds - 1)).mean()
    assert stats.power(gain, 1, seeds, alpha) == pytest.approx(share, abs=4 * np.sqrt(0.25 / 100_000))
    assert stats.power(-gain, 1, seeds, alpha) == stats.power(gain, 1, seeds, alpha)


gains = st.floats(0, 50)
few_seeds = st.integers(2, 40)
levels = st.sampled_from([0.05, 0.05 / 3, 0.05 / 9, 0.05 / 40])


@given(gains, few_seeds, levels)
def test_power_is_that_of_the_noncentral_t_where_scipy_has_it(gain, seeds, alpha):
    noncentral = scipy.stats.nct(seeds - 1, gain * np.sqrt(seeds))
    critical = scipy.stats.t.ppf(1 - alpha / 2, seeds - 1)
    expected = noncentral.sf(critical) + noncentral.cdf(-critical)
    if np.isfinite(expected):
        assert stats.power(gain, 1, seeds, alpha) == pytest.approx(expected, abs=1e-6)


@given(gains, gains, few_seeds, levels)
def test_power_rises_with_the_gain_and_the_seeds(gain, more, seeds, alpha):
    """It is 1 nowhere else than beyond all chance; 1e-8 is what the integral may be off."""
    power = stats.power(gain, 1, seeds, alpha)
    assert alpha - 1e-8 <= power <= stats.power(gain + more, 1, seeds, alpha) + 1e-8 <= 1 + 2e-8
    assert power <= stats.power(gain, 1, seeds + 1, alpha) + 1e-8


def test_power_needs_no_deviation():
    assert stats.power(1.0, 0.0, 2) == 1
    assert stats.power(0.0, 0.0, 2) == 0, "differences that are all 0 have the p-value 1"


def test_seeds_needed_are_the_fewest():
    for gain, alpha in itertools.product((0.5, 1.0, 2.0, 8.0, 40.0), (0.05, 0.05 / 9)):
        seeds = stats.seeds_needed(gain, 1.0, alpha=alpha)
        assert stats.power(gain, 1.0, seeds, alpha) >= 0.8
        assert seeds == 2 or stats.power(gain, 1.0, seeds - 1, alpha) < 0.8
    assert stats.seeds_needed(7.0, 1.0, alpha=0.05 / 9) == 4, "three find it with 0.56"
    assert stats.seeds_needed(0.01, 1.0) is None
    assert stats.seeds_needed(1.0, 0.0) == 2


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("comparisons", [1, 9, 30])
def test_the_smallest_gain_has_the_power_that_was_asked_for(seeds, comparisons):
    alpha = 0.05 / comparisons
    gain = stats.smallest_gain(3.0, seeds, 0.8, alpha)
    assert stats.power(gain, 3.0, seeds, alpha) == pytest.approx(0.8, abs=1e-6)


def test_a_deviation_lies_in_its_interval_as_often_as_said():
    deviations = np.random.default_rng(11).normal(0, 2, (2000, 5)).std(1, ddof=1)
    low, high = stats.deviation_interval(1.0, 5)
    assert ((deviations * low < 2) & (deviations * high > 2)).mean() == pytest.approx(0.95, abs=0.015)
