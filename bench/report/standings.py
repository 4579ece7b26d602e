"""Standings for all forms of the leaderboard, computed once: means, intervals, gains, verdicts and ranks."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from bench.config.reference import REFERENCE
from bench.records.schema import Record
from bench.report import estimates, stats
from bench.report.estimates import FEWEST_SEEDS, Estimate, Pair
from bench.report.families import mean_estimate, weights
from bench.report.grouping import Row, Section, Table, sections
from bench.report.row_scores import RowScores, difference_of, estimate_of, joined_samples
from bench.report.split_scores import splits_with_gains

_MOST_REFERENCES = 24  # rows of a table whose gains over each are computed: every pair takes some milliseconds

K = TypeVar("K", bound=Hashable)

Verdict = Literal["better", "worse", "undecided", "too few seeds", "too few worlds"]


@dataclass(frozen=True)
class Interval:
    """A 95% interval, in the unit of its quantity."""

    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """The gain of a method over the reference on one task, from paired differences over the seeds that both have.

    Attributes:
        points: Mean difference of the primary score, in points.
        percent: The same in percent of the reference's mean over these seeds; None if that is 0.
        seeds: Number of seeds that both have.
        interval: Interval of `points` over seeds and test samples (`bench.report.estimates`); None with too few seeds.
        p: Two-sided p-value of the hypothesis that there is no difference; None with too few seeds.
        p_holm: `p` after Holm's correction over the table's methods.
        verdict: "better" or "worse" if `p_holm` is below 0.05, "too few seeds" without it.
        deviation: Sample standard deviation of the differences over seeds; None for fewer than two seeds.
        with_samples: Whether the scores of single samples were there; if not, interval and p are over seeds only.
    """

    points: float
    percent: float | None
    seeds: int
    interval: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: Verdict = "too few seeds"
    deviation: float | None = None
    with_samples: bool = False


@dataclass(frozen=True)
class Standing:
    """One row of a task's table with its statistics.

    Attributes:
        row: Label, settings and records.
        mean: Mean of the primary test score over seeds, in percent.
        deviation: Sample standard deviation over seeds; None for one seed.
        interval: Interval of the mean over seeds and test samples; None with too few seeds.
        gain: Gain over the reference; None for the reference itself, if the table has none, or if they share no seed.
        place: 1 for every method that cannot be told from the best; for the others, 1 plus the number of methods with
            a place and a higher mean. None with too few seeds.
        tied: Whether this is one of several methods with place 1.
        with_samples: Whether `interval` is over test samples too.
    """

    row: Row
    mean: float
    deviation: float | None
    interval: Interval | None
    gain: Gain | None
    place: int | None
    tied: bool
    with_samples: bool = True


Gains = dict[str, dict[str, Gain]]
"""Gains by reference and label."""


@dataclass(frozen=True)
class TaskStandings:
    """The standings of one table.

    Attributes:
        table: The table.
        standings: Its rows, the best mean first.
        gains: The gains over each row, if they were computed.
        scores: The scores of its rows by seed and sample.
        split_gains: The gains over the reference on each test split of several, by split and label, if they were
            computed. They are judged together.
    """

    table: Table
    standings: list[Standing]
    gains: Gains = field(default_factory=dict)
    scores: Sequence[RowScores] = field(default=(), repr=False, compare=False)
    split_gains: Mapping[str, Mapping[str, Gain]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rank:
    """The rank of a method by mean score, averaged over the tasks of a section, and its bootstrap interval."""

    label: str
    mean: float
    interval: Interval | None


@dataclass(frozen=True)
class MeanScore:
    """The score of a method in the mean over the tasks of a section, and its interval, from seeds that all have."""

    mean: float
    interval: Interval | None


@dataclass(frozen=True)
class SectionStandings:
    """The standings of one section.

    In means over all tasks, families of tasks weigh alike (`bench.report.families`). Means are those of the methods
    that every task has, and empty for a single task.

    Attributes:
        section: The section.
        tasks: The standings on each of its tasks.
        ranks: The ranks over all tasks, the best first.
        mean_gains: The gains over the reference in the mean over all tasks, by label, from the seeds that every task
            has.
        mean_scores: The scores in the mean over all tasks, by label.
        mean_gains_of_each: The mean gains over each row, if they were computed.
    """

    section: Section
    tasks: list[TaskStandings]
    ranks: list[Rank]
    mean_gains: dict[str, Gain] = field(default_factory=dict)
    mean_scores: dict[str, MeanScore] = field(default_factory=dict)
    mean_gains_of_each: Gains = field(default_factory=dict)


def compute_standings(
    records: Iterable[Record],
    results: Path | None = None,
    reference: str = REFERENCE,
    samples: bool = True,
    each_reference: bool = False,
    each_split: bool = False,
) -> list[SectionStandings]:
    """Return the standings of records, by section.

    Args:
        records: Records of any runs.
        results: The results folder, with the per-sample scores, of records that do not know theirs (`Record.file`).
        reference: Label of the row that gains are relative to; tables without this row have no gains.
        samples: Whether to use per-sample scores.
        each_reference: Whether to compute the gains over each row too, of tables with a few rows.
        each_split: Whether to compute the gains on each test split too.
    """
    result = []
    for section in sections(records):
        scores = {table.task: [RowScores(row, results, samples) for row in table.rows] for table in section.tables}
        tasks = [
            TaskStandings(
                table,
                _standings(scores[table.task], reference),
                _gains_over_each(scores[table.task]) if each_reference else {},
                scores[table.task],
                _split_gains(scores[table.task], splits_with_gains(table), reference) if each_split else {},
            )
            for table in section.tables
        ]
        mean = _MeanOfTasks(scores)
        over_each = mean.gains_over_each() if each_reference else {}
        result.append(SectionStandings(section, tasks, mean.ranks(), mean.gains(reference), mean.scores(), over_each))
    return result


def mean_score(records: Iterable[Record]) -> Estimate:
    """Return the estimate of the mean score of runs that differ in the seed only."""
    row = RowScores(Row("", {}, list(records)))
    return estimate_of(row, sorted(row.by_seed))


def mean_difference(a: Iterable[Record], b: Iterable[Record], split: str = "") -> Estimate | None:
    """Return the estimate of the difference of two methods, over the seeds that both have; None if they share none.

    Args:
        a: Runs of the first method on one task, which differ in the seed only.
        b: The same of the method that is subtracted.
        split: The test split whose scores are compared; "" for all of them together.
    """
    first, second = (RowScores(Row("", {}, list(records)), split=split) for records in (a, b))
    seeds = first.seeds_with(second)
    return difference_of(first, second, seeds) if seeds else None


def _standings(rows: Sequence[RowScores], reference: str) -> list[Standing]:
    """Return the standings of one table, the best mean first."""
    ordered = sorted(rows, key=lambda row: statistics.fmean(row.by_seed.values()), reverse=True)
    base = next((row for row in ordered if row.row.label == reference), None)
    gains = _gains(ordered, base) if base else {}
    placed = _placed(ordered)
    best = _best(placed)
    standings = []
    for row in ordered:
        estimate = estimate_of(row, sorted(row.by_seed))
        standings.append(
            Standing(
                row=row.row,
                mean=statistics.fmean(row.by_seed.values()),
                deviation=estimate.deviation,
                interval=_interval(estimate.interval()),
                gain=gains.get(row.row.label),
                place=None if row not in placed else 1 if row in best else placed.index(row) + 1,
                tied=row in best and len(best) > 1,
                with_samples=estimate.with_samples,
            )
        )
    return standings


def _placed(ordered: Sequence[RowScores]) -> list[RowScores]:
    """Return the rows with enough seeds that are also those of the first such row, the best mean first."""
    enough = [row for row in ordered if len(row.by_seed) >= FEWEST_SEEDS]
    return [row for row in enough if len(row.seeds_with(enough[0])) >= FEWEST_SEEDS]


def _best(placed: Sequence[RowScores]) -> list[RowScores]:
    """Return the rows that cannot be told from the best."""
    pairs = []
    for (i, a), (j, b) in combinations(enumerate(placed), 2):
        estimate = difference_of(a, b, a.seeds_with(b))
        if (p := estimate.p_value()) is not None:
            pairs.append(Pair(p, i, j) if estimate.mean > 0 else Pair(p, j, i))
    return [placed[number] for number in estimates.best(len(placed), pairs)]


def _gains(rows: Sequence[RowScores], base: RowScores) -> dict[str, Gain]:
    """Return the gains of rows over `base`, one of them, by label, for rows that share a seed with it."""
    compared = [row for row in rows if row is not base]
    return judged({row.row.label: _gain(row, base, seeds) for row in compared if (seeds := row.seeds_with(base))})


def _gains_over_each(rows: Sequence[RowScores]) -> Gains:
    """Return the gains of rows over each of them; nothing if there are too many."""
    return {base.row.label: _gains(rows, base) for base in rows} if len(rows) <= _MOST_REFERENCES else {}


def _split_gains(rows: Sequence[RowScores], splits: Sequence[str], reference: str) -> dict[str, dict[str, Gain]]:
    """Return the gains over the reference on each test split, by split and label, judged as one table."""
    gains: dict[tuple[str, str], Gain] = {}
    for split in splits:
        on_split = {row.row.label: row.of_split(split) for row in rows}
        if base := on_split.pop(reference, None):
            gains |= {
                (split, label): _gain(row, base, seeds)
                for label, row in on_split.items()
                if (seeds := row.seeds_with(base))
            }
    result: dict[str, dict[str, Gain]] = {}
    for (split, label), gain in judged(gains).items():
        result.setdefault(split, {})[label] = gain
    return result


def _gain(row: RowScores, base: RowScores, seeds: list[int]) -> Gain:
    level = statistics.fmean(base.by_seed[seed] for seed in seeds)
    return gain_of(difference_of(row, base, seeds), level)


def gain_of(estimate: Estimate, level: float) -> Gain:
    """Return a gain over a reference with this mean score, before it is judged (see `judged`)."""
    return Gain(
        points=estimate.mean,
        percent=100 * estimate.mean / level if level else None,
        seeds=len(estimate.by_seed),
        interval=_interval(estimate.interval()),
        p=estimate.p_value(),
        deviation=estimate.deviation,
        with_samples=estimate.with_samples,
    )


def judged(gains: Mapping[K, Gain]) -> dict[K, Gain]:
    """Return the gains of one table, by the name of their row or cell, with Holm's correction and their verdicts."""
    result = dict(gains)
    tested = {label: gain.p for label, gain in gains.items() if gain.p is not None}
    for label, p_holm in zip(tested, stats.holm(list(tested.values())), strict=True):
        points = result[label].points
        verdict: Verdict = "undecided" if p_holm >= stats.ALPHA else "better" if points > 0 else "worse"
        result[label] = replace(result[label], p_holm=p_holm, verdict=verdict)
    return result


def _interval(bounds: Sequence[float] | None) -> Interval | None:
    return Interval(*bounds) if bounds else None


class _MeanOfTasks:
    """The mean over tasks, in which families of tasks weigh alike, of the rows that every task has.

    Args:
        scores: The rows of each task; with a single task there is nothing to average.
    """

    def __init__(self, scores: Mapping[str, Sequence[RowScores]]) -> None:
        by_label = [{row.row.label: row for row in rows} for rows in scores.values()]
        first = by_label[0] if len(by_label) > 1 else {}
        self._rows = {
            label: [rows[label] for rows in by_label] for label in first if all(label in rows for rows in by_label)
        }
        self._tasks = [*scores]
        self._weights = weights(self._tasks)

    def ranks(self) -> list[Rank]:
        """Return the ranks, the best first; none unless there are two rows."""
        if len(self._rows) < 2:
            return []
        tasks = [*zip(*self._rows.values(), strict=True)]
        means = [np.array([statistics.fmean(row.by_seed.values()) for row in rows]) for rows in tasks]
        mean_ranks = np.average([stats.ranks(item) for item in means], axis=0, weights=self._weights).round(9)
        bounds = _rank_bounds(tasks, self._weights)
        intervals = [_interval(item) for item in bounds] if bounds else [None] * len(self._rows)
        result = [Rank(*item) for item in zip(self._rows, mean_ranks.tolist(), intervals, strict=True)]
        return sorted(result, key=lambda rank: rank.mean)

    def scores(self) -> dict[str, MeanScore]:
        """Return the mean scores."""
        result = {}
        for label, rows in self._rows.items():
            if seeds := rows[0].seeds_with(*rows[1:]):
                estimate = self._mean_of([estimate_of(row, seeds) for row in rows])
                result[label] = MeanScore(estimate.mean, _interval(estimate.interval()))
        return result

    def gains(self, reference: str) -> dict[str, Gain]:
        """Return the gains over the reference, from the seeds that every task has."""
        if (bases := self._rows.get(reference)) is None:
            return {}
        gains = {}
        for label, rows in self._rows.items():
            if label != reference and (seeds := rows[0].seeds_with(*rows[1:], *bases)):
                differences = [difference_of(row, base, seeds) for row, base in zip(rows, bases, strict=True)]
                levels = [statistics.fmean(base.by_seed[seed] for seed in seeds) for base in bases]
                level = float(np.average(levels, weights=self._weights))
                gains[label] = gain_of(self._mean_of(differences), level)
        return judged(gains)

    def gains_over_each(self) -> Gains:
        """Return the gains over each row; nothing if there are too many."""
        return {label: self.gains(label) for label in self._rows} if len(self._rows) <= _MOST_REFERENCES else {}

    def _mean_of(self, by_task: Sequence[Estimate]) -> Estimate:
        return mean_estimate(dict(zip(self._tasks, by_task, strict=True)))


def _rank_bounds(tasks: Sequence[Sequence[RowScores]], of_tasks: Sequence[float]) -> list[stats.Bounds] | None:
    """Return bootstrap intervals of ranks over the seeds that all methods of a task have; None with too few seeds."""
    resampled = []
    for rows in tasks:
        seeds = rows[0].seeds_with(*rows[1:])
        if len(seeds) < FEWEST_SEEDS:
            return None
        seed_scores = np.array([[row.by_seed[seed] for seed in seeds] for row in rows])
        per_sample = joined_samples([row.per_sample(seeds) for row in rows])
        resampled.append(stats.resampled_means(*per_sample) if per_sample else stats.resampled_means(seed_scores))
    return stats.mean_rank_interval(resampled, of_tasks)
