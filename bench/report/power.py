"""How many seeds a gain needs, from the variance that records show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.report import stats
from bench.report.standings import SectionBoard

SEEDS = (3, 5, 10)
"""Numbers of seeds of which the smallest gain is told."""


@dataclass(frozen=True)
class Power:
    """What the differences of one method and the reference on one task say of the seeds that a comparison needs.

    Attributes:
        task: name of the task, with what its table changes.
        method: label of the row.
        seeds: that both have.
        deviation: sample standard deviation of the differences over these seeds, in points.
        needed: seeds with which the gain that was asked for is found; None for more than a thousand.
        needed_between: the same for both ends of the 95% interval of the deviation.
        smallest: by number of seeds, the smallest gain that is found, in points.
    """

    task: str
    method: str
    seeds: int
    deviation: float
    needed: int | None
    needed_between: tuple[int | None, int | None]
    smallest: dict[int, float]


def powers(
    boards: Sequence[SectionBoard], gain: float, power: float = 0.8, comparisons: int | None = None
) -> Iterator[Power]:
    """Yield what every method of every table needs that shares two seeds or more with the reference of the boards.

    Args:
        boards: of the records.
        gain: true gain over the reference, in points.
        power: how probably it is to be found by the paired t-test.
        comparisons: methods that are compared with the reference in one table: the test's level is 0.05 divided by it,
            the first step of Holm's correction; None for as many as the table has.
    """
    for board in boards:
        for task in board.tasks:
            gains = {s.row.label: s.gain for s in task.standings if s.gain and s.gain.deviation is not None}
            alpha = stats.ALPHA / (comparisons or max(len(gains), 1))
            name = " ".join(filter(None, [task.table.task, board.section.changed]))
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
