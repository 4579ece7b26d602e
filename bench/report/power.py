"""Power analysis: the number of seeds needed to detect a gain, from the variance in records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.report import stats
from bench.report.standings import SectionStandings

SEEDS = (3, 5, 10)
"""Numbers of seeds for which the smallest detectable gain is reported."""


@dataclass(frozen=True)
class Power:
    """The power of comparing one method with the reference on one task.

    Attributes:
        task: Name of the task, with its world if there are several, and the changed settings of its table.
        method: Label of the row.
        seeds: Number of seeds that both have.
        deviation: Sample standard deviation of the differences over these seeds, in points.
        needed: Number of seeds needed to detect the given gain; None for more than a thousand.
        needed_between: The same for both ends of the 95% interval of the deviation.
        smallest: Smallest detectable gain in points, by number of seeds.
    """

    task: str
    method: str
    seeds: int
    deviation: float
    needed: int | None
    needed_between: tuple[int | None, int | None]
    smallest: dict[int, float]


def powers(
    standings: Sequence[SectionStandings], gain: float, power: float = 0.8, comparisons: int | None = None
) -> Iterator[Power]:
    """Yield the power for each method of each table that shares at least two seeds with the reference.

    Args:
        standings: The standings of the records.
        gain: True gain over the reference, in points.
        power: Probability with which the paired t-test has to detect the gain.
        comparisons: Number of methods compared with the reference in one table: the test's level is 0.05 divided by
            it, as in the first step of Holm's correction. None for the number of methods in the table.
    """
    worlds = {section.section.data.get("seed") for section in standings}
    for section in standings:
        world = f"world {section.section.data['seed']}" if len(worlds) > 1 and "seed" in section.section.data else ""
        for task in section.tasks:
            gains = {s.row.label: s.gain for s in task.standings if s.gain and s.gain.deviation is not None}
            alpha = stats.ALPHA / (comparisons or max(len(gains), 1))
            name = " ".join(filter(None, [task.table.task, world, section.section.changed]))
            for label, observed in gains.items():
                deviation = observed.deviation or 0.0
                bounds = stats.deviation_interval(deviation, observed.seeds)
                low, high = (stats.seeds_needed(gain, end, power, alpha) for end in bounds)
                yield Power(
                    task=name,
                    method=label,
                    seeds=observed.seeds,
                    deviation=deviation,
                    needed=stats.seeds_needed(gain, deviation, power, alpha),
                    needed_between=(low, high),
                    smallest={seeds: stats.smallest_gain(deviation, seeds, power, alpha) for seeds in SEEDS},
                )
