"""Two suites order methods alike, or not."""

from __future__ import annotations

import made_standings
import mocks
import pytest

from bench.report.finding.agreement import agreement

LABELS = ("lora", "dora", "cola", "adalora")
TASKS = ("ave", "avs")


def runs(scores, seeds=3, noise=0.0):
    """Records of four methods with these scores on both tasks; each seed turns them by some noise."""
    return {
        (task, label): {
            seed: mocks.record(made_standings.spec(label, task, seed), score + noise * (seed + place) % 5)
            for seed in range(seeds)
        }
        for task in TASKS
        for place, (label, score) in enumerate(zip(LABELS, scores, strict=True))
    }


def test_orders_are_compared_on_each_task():
    ascending = runs((50.0, 55.0, 60.0, 65.0))
    same = agreement(ascending, runs((10.0, 11.0, 12.0, 13.0)), TASKS, LABELS)
    assert (same.tau, same.alike, same.pairs, same.labels) == (1.0, 12, 12, LABELS)
    assert (same.interval.low, same.interval.high) == (1.0, 1.0)
    opposite = agreement(ascending, runs((13.0, 12.0, 11.0, 10.0)), TASKS, LABELS)
    assert (opposite.tau, opposite.alike) == (-1.0, 0)
    swapped = agreement(ascending, runs((10.0, 11.0, 13.0, 12.0)), TASKS, LABELS)
    assert swapped.tau == pytest.approx(4 / 6) and swapped.alike == 10
    tied = agreement(ascending, runs((10.0, 11.0, 12.0, 12.0)), TASKS, LABELS)
    assert tied.tau == pytest.approx(5 / (6 * 5) ** 0.5), "tau-b"
    level = agreement(ascending, runs((10.0, 10.0, 10.0, 10.0)), TASKS, LABELS)
    assert level.tau == 0


def test_noise_of_either_suite_widens_the_interval():
    clear, noisy = runs((50.0, 55.0, 60.0, 65.0), 5), runs((50.0, 50.5, 51.0, 51.5), 5, noise=2.0)
    for a, b in ((clear, noisy), (noisy, clear)):
        result = agreement(a, b, TASKS, LABELS)
        assert result.interval.low < result.interval.high and -1 <= result.interval.low <= result.tau
    both = agreement(noisy, noisy, TASKS, LABELS)
    assert both.tau == 1 and both.interval.low < 1, "each suite draws its own seeds"


def test_methods_with_too_few_seeds_are_left_out():
    usual = runs((50.0, 55.0, 60.0, 65.0))
    fewer = {key: dict(by_seed) for key, by_seed in usual.items()}
    del fewer["avs", "cola"][2]
    assert agreement(usual, fewer, TASKS, LABELS).labels == ("lora", "dora", "adalora")
    del fewer["ave", "lora"]
    assert agreement(usual, fewer, TASKS, LABELS) is None, "two methods have one order or the other"
    assert agreement({}, usual, TASKS, LABELS) is None
