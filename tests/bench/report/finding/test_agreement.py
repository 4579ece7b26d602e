"""Two suites order methods alike, or not."""

from __future__ import annotations

import made_standings
import mocks
import numpy as np
import pytest

from bench.report.finding.agreement import agreement

LABELS = ("lora", "dora", "cola", "adalora")
TASKS = ("ave", "avs")


def runs(scores, seeds=3, noise=0.01, draw=0):
    """Records of four methods with these scores on both tasks; each seed of each method adds some noise."""
    generator = np.random.default_rng(draw)
    return {
        (task, label): {
            seed: mocks.record(made_standings.spec(label, task, seed), score + noise * generator.normal())
            for seed in range(seeds)
        }
        for task in TASKS
        for label, score in zip(LABELS, scores, strict=True)
    }


ASCENDING = (50.0, 55.0, 60.0, 65.0)


@pytest.mark.parametrize(
    ("scores", "tau", "alike"),
    [((10.0, 11.0, 12.0, 13.0), 1, 12), ((13.0, 12.0, 11.0, 10.0), -1, 0), ((10.0, 11.0, 13.0, 12.0), 4 / 6, 10)],
)
def test_orders_that_are_clear_are_compared_on_each_task(scores, tau, alike):
    ordered = agreement(runs(ASCENDING), runs(scores, draw=1), TASKS, LABELS)
    assert (ordered.labels, ordered.pairs, ordered.clear, ordered.alike, ordered.clear_alike) == (
        LABELS,
        12,
        12,
        alike,
        alike,
    )
    assert ordered.tau == pytest.approx(tau)
    assert (ordered.interval.low, ordered.interval.high) == pytest.approx((tau, tau))


def test_ties_count_as_in_tau_b():
    tied = agreement(runs(ASCENDING), runs((10.0, 11.0, 12.0, 12.0), noise=0.0), TASKS, LABELS)
    assert tied.tau == pytest.approx(5 / (6 * 5) ** 0.5)
    assert agreement(runs(ASCENDING), runs((10.0,) * 4, noise=0.0), TASKS, LABELS).tau == 0


def test_what_is_not_clear_in_either_suite_leaves_the_answer_open():
    noisy = runs((50.0, 50.5, 51.0, 51.5), 5, noise=2.0, draw=1)
    for a, b in ((runs(ASCENDING, 5), noisy), (noisy, runs(ASCENDING, 5))):
        ordered = agreement(a, b, TASKS, LABELS)
        assert ordered.clear == 0 and (ordered.interval.low, ordered.interval.high) == (-1, 1)
    one_ahead = agreement(runs(ASCENDING, 5), runs((10.0, 10.0, 10.0, 40.0), 5, noise=1.0, draw=1), TASKS, LABELS)
    assert (one_ahead.clear, one_ahead.clear_alike) == (6, 6)
    assert (one_ahead.interval.low, one_ahead.interval.high) == (0, 1)


@pytest.mark.parametrize("gaps", [0.0, 1.0, 4.0])
def test_the_interval_contains_the_tau_of_the_true_means(gaps):
    """In both suites the same order, with gaps of none, one or more standard deviations of a seed."""
    true = tuple(50 + gaps * place for place in range(4))
    ordered = [agreement(runs(true, 5, 1.0, 2 * n), runs(true, 5, 1.0, 2 * n + 1), TASKS, LABELS) for n in range(40)]
    low, high = [item.interval.low for item in ordered], [item.interval.high for item in ordered]
    assert sum(top >= 0.5 for top in high) >= 38, "of equal methods too: nothing is known of their order"
    if gaps:
        assert sum(top == 1 for top in high) >= 38, "a tau of 1 is rarely left out"
        assert (np.mean(low) > 0.5) == (gaps == 4), "where gaps are large, that is seen"


def test_methods_with_too_few_seeds_are_left_out():
    usual = runs(ASCENDING)
    fewer = {key: dict(by_seed) for key, by_seed in usual.items()}
    del fewer["avs", "cola"][2]
    assert agreement(usual, fewer, TASKS, LABELS).labels == ("lora", "dora", "adalora")
    del fewer["ave", "lora"]
    assert agreement(usual, fewer, TASKS, LABELS) is None, "two methods have one order or the other"
    assert agreement({}, usual, TASKS, LABELS) is None


def test_methods_that_share_too_few_seeds_cannot_be_ordered():
    usual = runs(ASCENDING, 5)
    apart = dict(usual) | {(task, "lora"): {seed + 3: r for seed, r in usual[task, "lora"].items()} for task in TASKS}
    assert agreement(usual, apart, TASKS, LABELS) is None
