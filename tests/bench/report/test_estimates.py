"""The one rule of verdicts: against scipy's distributions, and against its own promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from bench.report import estimates
from bench.report.estimates import Estimate, Pair

SCORES = st.lists(st.floats(0, 100).map(lambda score: round(score, 3)), min_size=3, max_size=12)


@given(SCORES)
def test_without_samples_it_is_students_t(values):
    estimate = Estimate(tuple(values))
    low, high = estimate.interval()
    if len(set(values)) == 1:
        assert (low, high) == pytest.approx((values[0], values[0]))
        assert estimate.p_value() == (1 if values[0] == 0 else pytest.approx(0, abs=1e-9))
        return
    test = scipy.stats.ttest_1samp(values, 0)
    assert (low, high) == pytest.approx(tuple(test.confidence_interval(0.95)), rel=1e-6, abs=1e-6)
    assert estimate.p_value() == pytest.approx(test.pvalue, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("values", [(), (1.0,), (1.0, 9.0)])
def test_with_fewer_than_three_seeds_there_is_neither_interval_nor_p(values):
    estimate = Estimate(values, 1.0, 99.0)
    assert (estimate.interval(), estimate.p_value()) == (None, None)


@pytest.mark.parametrize(("seeds", "groups", "share"), [(3, 60, 0.5), (5, 300, 0.1), (10, 40, 0.9)])
def test_p_is_the_share_of_sums_of_two_ts_that_are_as_large(seeds, groups, share):
    """To four standard errors of a share of a million draws."""
    rng = np.random.default_rng(1)
    by_seed = rng.standard_normal(seeds)
    by_seed = (by_seed - by_seed.mean()) / by_seed.std(ddof=1) * math.sqrt(seeds * share) + 2
    estimate = Estimate(tuple(by_seed), 1 - share, groups - 1)
    draws = math.sqrt(share) * rng.standard_t(seeds - 1, 1_000_000)
    draws += math.sqrt(1 - share) * rng.standard_t(groups - 1, 1_000_000)
    p = (np.abs(draws) >= 2).mean()
    assert estimate.p_value() == pytest.approx(p, abs=4 * math.sqrt(p / 1_000_000))


@given(
    st.integers(2, 12),
    st.floats(0, 1).filter(lambda share: share == 0 or share > 1e-3),
    st.integers(1, 5000),
    st.floats(0, 30),
)
@example(2, 0.0, 4, 24.0)  # a small p-value of few groups, which comes from far out in the tail
def test_p_falls_as_the_mean_grows_and_is_that_of_the_samples_if_seeds_do_not_differ(freedom, share, of_samples, size):
    spread = np.linspace(-1, 1, freedom + 1)
    spread = spread / spread.std(ddof=1) * math.sqrt((freedom + 1) * (1 - share))
    first, second = (Estimate(tuple(mean + spread), share, of_samples) for mean in (size, size + 1))
    assert second.p_value() <= first.p_value() + 1e-9
    equal = Estimate((size,) * (freedom + 1), 1.0, of_samples)
    assert equal.p_value() == pytest.approx(2 * scipy.stats.t.sf(size, of_samples), rel=1e-4, abs=1e-11)


@given(st.integers(2, 12), st.integers(1, 5000), st.floats(0, 50))
def test_if_seeds_do_not_differ_the_interval_is_that_of_the_samples(freedom, of_samples, mean):
    """With two groups of samples too, whose distribution has far longer tails than that of the seeds."""
    low, high = Estimate((mean,) * (freedom + 1), 1.0, of_samples).interval()
    half = scipy.stats.t.ppf(0.975, of_samples)
    assert (low, high) == pytest.approx((mean - half, mean + half), rel=1e-3, abs=1e-3)


@given(st.integers(2, 8), st.integers(2, 8), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 10.0]))
def test_every_table_of_seeds_and_groups_has_an_interval_if_there_are_three_seeds(seeds, groups, draw, of_groups):
    rng = np.random.default_rng(draw)
    sums_SG = of_groups * rng.standard_normal(groups) + rng.standard_normal((seeds, groups))
    estimate = estimates.crossed_estimate(sums_SG, np.ones(groups, dtype=int))
    if seeds < estimates.FEWEST_SEEDS:
        assert (estimate.interval(), estimate.p_value()) == (None, None)
        return
    low, high = estimate.interval()
    half = scipy.stats.sem(estimate.by_seed) * scipy.stats.norm.ppf(0.975)
    assert low <= estimate.mean - half < estimate.mean + half <= high, "never narrower than if all were known"
    assert 0 <= estimate.p_value() <= 1


def test_the_variance_of_samples_is_what_seeds_do_not_show():
    """Of three seeds that see the same samples, the mean's variance has that of the samples, and of groups of them."""
    rng = np.random.default_rng(2)
    of_groups = rng.normal(0, 10, 80)
    scores_SN = of_groups.repeat(5) + rng.normal(0, 1, (3, 1)) + rng.normal(0, 2, (3, 400))
    grouped = estimate_of(scores_SN, np.arange(80).repeat(5))
    assert grouped.sample_variance == pytest.approx(of_groups.var() / 80, rel=0.1)
    assert grouped.sample_freedom == 79
    single = estimate_of(scores_SN, np.arange(400))
    assert single.sample_variance == pytest.approx(of_groups.var() / 400, rel=0.1)
    assert grouped.by_seed == pytest.approx(single.by_seed)
    assert grouped.by_seed == pytest.approx(tuple(scores_SN.mean(1)))
    shuffled = rng.permutation(400)
    again = estimate_of(scores_SN[:, shuffled], np.arange(80).repeat(5)[shuffled])
    assert again.sample_variance == pytest.approx(grouped.sample_variance)


def test_groups_of_any_size_weigh_as_many_samples_as_they_have():
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 9, 60)
    groups = np.arange(60).repeat(sizes)
    scores_SN = 50 + rng.normal(0, 10, 60)[groups] + rng.normal(0, 1, (4, len(groups)))
    estimate = estimate_of(scores_SN, groups)
    assert estimate.mean == pytest.approx(scores_SN.mean())
    drawn = rng.integers(0, 60, (4000, 60))
    means = [
        scores_SN.mean(0)[np.concatenate([np.flatnonzero(groups == g) for g in draw])].mean() for draw in drawn[:800]
    ]
    assert estimate.sample_variance == pytest.approx(np.var(means), rel=0.2)


def test_the_mean_of_tasks_has_the_error_of_independent_samples():
    a, b = Estimate((1.0, 2.0, 3.0), 4.0, 99.0), Estimate((3.0, 2.0, 4.0), 4.0, 99.0)
    mean = estimates.mean_of([a, b])
    assert mean.by_seed == (2.0, 2.0, 3.5)
    assert (mean.sample_variance, mean.sample_freedom) == (2.0, pytest.approx(198.0))


def test_errors_of_tasks_that_may_have_the_same_samples_do_not_cancel():
    a, b = Estimate((1.0, 2.0, 3.0), 4.0, 99.0), Estimate((3.0, 2.0, 4.0), 1.0, 50.0)
    mean = estimates.mean_of([a, b], independent=False)
    assert mean.by_seed == (2.0, 2.0, 3.5)
    assert (mean.sample_variance, mean.sample_freedom) == (2.25, 50.0)


def test_the_best_are_those_that_no_other_is_clearly_better_than():
    """With three methods there are three pairs, with two only one."""
    clear, unclear = Pair(0.001, 0, 2), Pair(0.04, 0, 1)
    assert estimates.best(3, [clear, unclear, Pair(0.9, 1, 2)]) == {0}, "0.04 counts once, when 2 has been left out"
    assert estimates.best(3, [Pair(0.02, 0, 2), unclear, Pair(0.9, 1, 2)]) == {0, 1, 2}, "0.02 counts three times"
    assert estimates.best(1, []) == {0}
    assert estimates.best(0, []) == set()


def test_a_method_that_cannot_be_compared_is_not_left_out():
    assert estimates.best(3, [Pair(1e-6, 0, 1)]) == {0, 2}


def estimate_of(scores_SN, groups_N):
    sums, sizes = zip(*(estimates.group_sums(row, groups_N) for row in scores_SN), strict=True)
    return estimates.crossed_estimate(np.stack(sums), sizes[0])
