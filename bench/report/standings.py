"""Standings for all forms of the leaderboard, computed once: means, intervals, gains, verdicts and ranks."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from bench.config.reference import REFERENCE
from bench.errors import BenchError
from bench.records import sample_scores
from bench.records.schema import Record
from bench.records.store import FOLDER
from bench.report import estimates, stats
from bench.report.estimates import FEWEST_SEEDS, Estimate, Pair
from bench.report.grouping import Row, Section, Table, sections

_log = logging.getLogger(__name__)

_ROUNDING = 1e-3  # largest error, in points, of a mean of scores that are stored as float32

Verdict = Literal["better", "worse", "undecided", "too few seeds"]


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


@dataclass(frozen=True)
class TaskStandings:
    """The standings of one table, the best mean first."""

    table: Table
    standings: list[Standing]


@dataclass(frozen=True)
class Rank:
    """The rank of a method by mean score, averaged over the tasks of a section, and its bootstrap interval."""

    label: str
    mean: float
    interval: Interval | None


@dataclass(frozen=True)
class SectionStandings:
    """The standings of one section.

    Attributes:
        section: The section.
        tasks: The standings on each of its tasks.
        ranks: The ranks over all tasks of the methods that every task has, the best first.
        mean_gains: The gains over the reference in the mean over all tasks of the same methods, by label, from the
            seeds that every task has; empty for a single task.
    """

    section: Section
    tasks: list[TaskStandings]
    ranks: list[Rank]
    mean_gains: dict[str, Gain] = field(default_factory=dict)


def compute_standings(
    records: Iterable[Record], results: Path | None = None, reference: str = REFERENCE, samples: bool = True
) -> list[SectionStandings]:
    """Return the standings of records, by section.

    Args:
        records: Records of any runs.
        results: The results folder, with the per-sample scores, of records that do not know theirs (`Record.file`).
        reference: Label of the row that gains are relative to; tables without this row have no gains.
        samples: Whether to use per-sample scores.
    """
    result = []
    for section in sections(records):
        scores = {table.task: [_RowScores(row, results, samples) for row in table.rows] for table in section.tables}
        tasks = [TaskStandings(table, _standings(scores[table.task], reference)) for table in section.tables]
        complete = _rows_of_all_tasks(list(scores.values()))
        result.append(SectionStandings(section, tasks, _ranks(complete), _mean_gains(complete, reference)))
    return result


@dataclass(frozen=True)
class _SampleScores:
    """Scores of single samples.

    Attributes:
        scores: The scores, (seeds, samples).
        groups: The group of each sample, (samples,).
        sums: The sums of the groups' scores, (seeds, groups).
        sizes: The number of samples of each group, (groups,).
    """

    scores: np.ndarray
    groups: np.ndarray
    sums: np.ndarray
    sizes: np.ndarray


def mean_score(records: Iterable[Record]) -> Estimate:
    """Return the estimate of the mean score of runs that differ in the seed only."""
    return _estimate(_RowScores(Row("", {}, list(records))))


def mean_difference(a: Iterable[Record], b: Iterable[Record]) -> Estimate | None:
    """Return the estimate of the difference of two methods, over the seeds that both have; None if they share none.

    Args:
        a: Runs of the first method on one task, which differ in the seed only.
        b: The same of the method that is subtracted.
    """
    first, second = (_RowScores(Row("", {}, list(records))) for records in (a, b))
    seeds = first.seeds_with(second)
    return _difference_of(first, second, seeds) if seeds else None


def _difference_of(a: _RowScores, b: _RowScores, seeds: Sequence[int]) -> Estimate:
    """Return the estimate of the difference of two rows."""
    of_a, of_b = a.per_sample(seeds), b.per_sample(seeds)
    if of_a and of_b and np.array_equal(of_a.groups, of_b.groups):
        return estimates.of_samples(of_a.sums - of_b.sums, of_a.sizes)
    return Estimate(tuple(a.by_seed[seed] - b.by_seed[seed] for seed in seeds))


def _joined(rows: Sequence[_SampleScores | None]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scores (M, S, N) of M rows and the groups of N samples; None if a row has no or different samples."""
    present = [row for row in rows if row is not None]
    if len(present) < len(rows) or not all(np.array_equal(item.groups, present[0].groups) for item in present):
        return None
    return np.stack([item.scores for item in present]), present[0].groups


class _RowScores:
    """The primary scores of a row by seed, and its per-sample scores, if stored."""

    def __init__(self, row: Row, results: Path | None = None, with_samples: bool = True) -> None:
        self.row = row
        self.by_seed = {r.spec.seed: score for r in row.records if (score := r.test_score) is not None}
        self._results = results
        self._with_samples = with_samples

    def seeds_with(self, *rows: _RowScores) -> list[int]:
        """Return the seeds that this and all other rows have."""
        common = set(self.by_seed)
        for row in rows:
            common &= set(row.by_seed)
        return sorted(common)

    def per_sample(self, seeds: Sequence[int]) -> _SampleScores | None:
        """Return the per-sample scores of these seeds; None if one has none, or their samples differ."""
        if not seeds or not all(seed in self._samples for seed in seeds):
            return None
        (scores, groups), *further = (self._samples[seed] for seed in seeds)
        if not all(np.array_equal(item_groups, groups) for _, item_groups in further):
            return None
        sums, sizes = zip(*(self._group_sums[seed] for seed in seeds), strict=True)
        return _SampleScores(np.stack([scores, *(item for item, _ in further)]), groups, np.stack(sums), sizes[0])

    @cached_property
    def _group_sums(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """`estimates.group_sums` by seed."""
        return {seed: estimates.group_sums(*saved) for seed, saved in self._samples.items()}

    @cached_property
    def _samples(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """The per-sample scores and groups by seed; empty if any run has none."""
        result = {}
        for record in self.row.records:
            results = record.file.results or self._results
            if not self._with_samples or results is None or record.scores is None:
                return {}
            stem = record.file.stem or record.stem
            try:
                saved = sample_scores.load(results, stem, record.scores.metric)
            except BenchError as error:
                _log.warning("left out: %s", error)
                return {}
            if saved is None:
                return {}
            mean = float(saved[0].mean(dtype=float))
            if record.test_score is None or not abs(mean - record.test_score) <= _ROUNDING:
                _log.warning(
                    "left out: the mean of the per-sample scores in %s.npz is %.4f, but the record has %.4f",
                    *(results / FOLDER / stem, mean, record.test_score or math.nan),
                )
                return {}
            result[record.spec.seed] = saved
        return result


def _standings(rows: Sequence[_RowScores], reference: str) -> list[Standing]:
    """Return the standings of one table, the best mean first."""
    ordered = sorted(rows, key=lambda row: statistics.fmean(row.by_seed.values()), reverse=True)
    base = next((row for row in ordered if row.row.label == reference), None)
    gains = _gains([row for row in ordered if row is not base], base) if base else {}
    placed = _placed(ordered)
    best = _best(placed)
    standings = []
    for row in ordered:
        estimate = _estimate(row)
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


def _estimate(row: _RowScores) -> Estimate:
    """Return the estimate of a row's mean score."""
    seeds = sorted(row.by_seed)
    if samples := row.per_sample(seeds):
        return estimates.of_samples(samples.sums, samples.sizes)
    return Estimate(tuple(row.by_seed[seed] for seed in seeds))


def _placed(ordered: Sequence[_RowScores]) -> list[_RowScores]:
    """Return the rows with enough seeds that are also those of the first such row, the best mean first."""
    enough = [row for row in ordered if len(row.by_seed) >= FEWEST_SEEDS]
    return [row for row in enough if len(row.seeds_with(enough[0])) >= FEWEST_SEEDS]


def _best(placed: Sequence[_RowScores]) -> list[_RowScores]:
    """Return the rows that cannot be told from the best."""
    pairs = []
    for (i, a), (j, b) in combinations(enumerate(placed), 2):
        estimate = _difference_of(a, b, a.seeds_with(b))
        if (p := estimate.p_value()) is not None:
            pairs.append(Pair(p, i, j) if estimate.mean > 0 else Pair(p, j, i))
    return [placed[number] for number in estimates.best(len(placed), pairs)]


def _gains(rows: Sequence[_RowScores], base: _RowScores) -> dict[str, Gain]:
    """Return the gains of rows over `base`, by label, for rows that share a seed with it."""
    result = {row.row.label: _gain(row, base, seeds) for row in rows if (seeds := row.seeds_with(base))}
    return judged(result)


def _gain(row: _RowScores, base: _RowScores, seeds: list[int]) -> Gain:
    level = statistics.fmean(base.by_seed[seed] for seed in seeds)
    return gain_of(_difference_of(row, base, seeds), level)


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


def judged(gains: Mapping[str, Gain]) -> dict[str, Gain]:
    """Return the gains of one table, by the name of their row, with Holm's correction and their verdicts."""
    result = dict(gains)
    tested = {label: gain.p for label, gain in gains.items() if gain.p is not None}
    for label, p_holm in zip(tested, stats.holm(list(tested.values())), strict=True):
        points = result[label].points
        verdict: Verdict = "undecided" if p_holm >= stats.ALPHA else "better" if points > 0 else "worse"
        result[label] = replace(result[label], p_holm=p_holm, verdict=verdict)
    return result


def _interval(bounds: Sequence[float] | None) -> Interval | None:
    return Interval(*bounds) if bounds else None


def _rows_of_all_tasks(tasks: Sequence[Sequence[_RowScores]]) -> list[list[_RowScores]]:
    """Return the rows of each of several tasks whose labels all tasks have, in the same order; empty for one task."""
    by_label = [{row.row.label: row for row in rows} for rows in tasks]
    labels = [label for label in by_label[0] if all(label in rows for rows in by_label)] if len(tasks) > 1 else []
    return [[rows[label] for label in labels] for rows in by_label] if labels else []


def _mean_gains(tasks: Sequence[Sequence[_RowScores]], reference: str) -> dict[str, Gain]:
    """Return the gains over the reference in the mean over tasks, each with the same rows in the same order."""
    by_label = {rows[0].row.label: rows for rows in zip(*tasks, strict=True)}
    if (bases := by_label.pop(reference, None)) is None:
        return {}
    gains = {}
    for label, rows in by_label.items():
        if seeds := rows[0].seeds_with(*rows[1:], *bases):
            differences = [_difference_of(row, base, seeds) for row, base in zip(rows, bases, strict=True)]
            level = statistics.fmean(base.by_seed[seed] for base in bases for seed in seeds)
            gains[label] = gain_of(estimates.mean_of(differences), level)
    return judged(gains)


def _ranks(chosen: Sequence[Sequence[_RowScores]]) -> list[Rank]:
    """Return the ranks over several tasks, each with the same rows in the same order, the best first."""
    labels = [row.row.label for row in chosen[0]] if chosen else []
    if len(labels) < 2:
        return []
    means = [np.array([statistics.fmean(row.by_seed.values()) for row in rows]) for rows in chosen]
    mean_ranks = np.mean([stats.ranks(item) for item in means], axis=0)
    bounds = _rank_bounds(chosen)
    intervals = [_interval(item) for item in bounds] if bounds else [None] * len(labels)
    result = [Rank(*item) for item in zip(labels, mean_ranks.tolist(), intervals, strict=True)]
    return sorted(result, key=lambda rank: rank.mean)


def _rank_bounds(tasks: Sequence[Sequence[_RowScores]]) -> list[stats.Bounds] | None:
    """Return bootstrap intervals of ranks over the seeds that all methods of a task have; None for fewer than two."""
    resampled = []
    for rows in tasks:
        seeds = rows[0].seeds_with(*rows[1:])
        if len(seeds) < FEWEST_SEEDS:
            return None
        seed_scores = np.array([[row.by_seed[seed] for seed in seeds] for row in rows])
        per_sample = _joined([row.per_sample(seeds) for row in rows])
        resampled.append(stats.resampled_means(*per_sample) if per_sample else stats.resampled_means(seed_scores))
    return stats.mean_rank_interval(resampled)
