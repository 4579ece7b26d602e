"""Standings for all forms of the leaderboard, computed once: means, intervals, gains, verdicts and ranks."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from bench.config.reference import REFERENCE
from bench.errors import BenchError
from bench.records import sample_scores
from bench.records.schema import Record
from bench.records.store import FOLDER
from bench.report import stats
from bench.report.grouping import Row, Section, Table, sections

_log = logging.getLogger(__name__)

_ROUNDING = 1e-3  # largest error, in points, of a mean of scores that are stored as float32

Verdict = Literal["better", "worse", "undecided"]


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
        interval: Interval of `points` over seeds (paired t); None for fewer than two seeds.
        over_samples: Interval of `points` over seeds and test samples (paired bootstrap); None without stored
            per-sample scores.
        p: Two-sided p-value of the paired t-test over seeds; None for fewer than two seeds.
        p_holm: `p` after Holm's correction over the table's methods.
        verdict: "better" or "worse" if `p_holm` is below 0.05 and `over_samples`, if any, excludes 0.
        deviation: Sample standard deviation of the differences over seeds; None for fewer than two seeds.
    """

    points: float
    percent: float | None
    seeds: int
    interval: Interval | None = None
    over_samples: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: Verdict = "undecided"
    deviation: float | None = None


@dataclass(frozen=True)
class Standing:
    """One row of a task's table with its statistics.

    Attributes:
        row: Label, settings and records.
        mean: Mean of the primary test score over seeds, in percent.
        deviation: Sample standard deviation over seeds; None for one seed.
        interval: Interval of the mean over seeds (t); None for one seed.
        gain: Gain over the reference; None for the reference itself, if the table has none, or if they share no seed.
        place: 1 for the best mean and every method that is not significantly worse; for the others, 1 plus the number
            of methods with a higher mean.
        tied: Whether this is one of several methods with place 1.
    """

    row: Row
    mean: float
    deviation: float | None
    interval: Interval | None
    gain: Gain | None
    place: int
    tied: bool


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
            seeds that every task has; empty for a single task. They are tested over seeds only.
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
    """Per-sample scores, (seeds, samples), and the group of each sample, (samples,)."""

    scores: np.ndarray
    groups: np.ndarray


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
        result = [self._samples[seed] for seed in seeds if seed in self._samples]
        if not result or len(result) < len(seeds):
            return None
        groups = result[0][1]
        if not all(np.array_equal(item[1], groups) for item in result):
            return None
        return _SampleScores(np.stack([scores for scores, _ in result]), groups)

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
    behind = _gains(ordered[1:], ordered[0]) if ordered else {}
    tied = {row.row.label for row in ordered[1:] if row.row.label not in behind or _open(behind[row.row.label])}
    standings = []
    for index, row in enumerate(ordered):
        values = list(row.by_seed.values())
        first = index == 0 or row.row.label in tied
        standings.append(
            Standing(
                row=row.row,
                mean=statistics.fmean(values),
                deviation=float(np.std(values, ddof=1)) if len(values) > 1 else None,
                interval=_interval(stats.mean_interval(values)),
                gain=gains.get(row.row.label),
                place=1 if first else index + 1,
                tied=first and bool(tied),
            )
        )
    return standings


def _open(gain: Gain) -> bool:
    return gain.verdict == "undecided"


def _gains(rows: Sequence[_RowScores], base: _RowScores) -> dict[str, Gain]:
    """Return the gains of rows over `base`, by label, with Holm's correction, for rows that share a seed with it."""
    result = {row.row.label: _gain(row, base, seeds) for row in rows if (seeds := row.seeds_with(base))}
    tested = {label: gain.p for label, gain in result.items() if gain.p is not None}
    for label, p_holm in zip(tested, stats.holm(list(tested.values())), strict=True):
        gain = replace(result[label], p_holm=p_holm)
        result[label] = replace(gain, verdict=_verdict(gain))
    return result


def _gain(row: _RowScores, base: _RowScores, seeds: list[int]) -> Gain:
    differences = [row.by_seed[seed] - base.by_seed[seed] for seed in seeds]
    level = statistics.fmean(base.by_seed[seed] for seed in seeds)
    points = statistics.fmean(differences)
    test = stats.paired_test(differences)
    bounds = test[:2] if test else None
    return Gain(
        points=points,
        percent=100 * points / level if level else None,
        seeds=len(seeds),
        interval=_interval(bounds),
        over_samples=_over_samples(row, base, seeds),
        p=test[2] if test else None,
        deviation=float(np.std(differences, ddof=1)) if test else None,
    )


def _over_samples(row: _RowScores, base: _RowScores, seeds: list[int]) -> Interval | None:
    """Return the bootstrap interval of the difference over seeds and samples."""
    pair = _joined([row.per_sample(seeds), base.per_sample(seeds)])
    if pair is None:
        return None
    (row_SN, base_SN), groups_N = pair
    gains_RM = stats.resampled_means((row_SN - base_SN)[None], groups_N)
    return _interval(stats.percentile_interval(gains_RM[:, 0]))


def _verdict(gain: Gain) -> Verdict:
    """Return the verdict on a gain, which has to be significant over seeds and, if stored, over samples as well."""
    if gain.p_holm is None or gain.p_holm >= stats.ALPHA:
        return "undecided"
    if gain.over_samples and gain.over_samples.low <= 0 <= gain.over_samples.high:
        return "undecided"
    return "better" if gain.points > 0 else "worse"


def _interval(bounds: Sequence[float] | None) -> Interval | None:
    return Interval(*bounds) if bounds else None


def _rows_of_all_tasks(tasks: Sequence[Sequence[_RowScores]]) -> list[list[_RowScores]]:
    """Return the rows of each of several tasks whose labels all tasks have, in the same order; empty for one task."""
    by_label = [{row.row.label: row for row in rows} for rows in tasks]
    labels = [label for label in by_label[0] if all(label in rows for rows in by_label)] if len(tasks) > 1 else []
    return [[rows[label] for label in labels] for rows in by_label] if labels else []


def _mean_gains(tasks: Sequence[Sequence[_RowScores]], reference: str) -> dict[str, Gain]:
    """Return the gains over the reference in the mean over tasks, each with the same rows in the same order."""
    means = [_mean_over_tasks(rows) for rows in zip(*tasks, strict=True)]
    base = next((row for row in means if row.row.label == reference), None)
    return _gains([row for row in means if row is not base], base) if base else {}


def _mean_over_tasks(rows: Sequence[_RowScores]) -> _RowScores:
    """Return the mean scores of one method's rows over several tasks, by seed, for the seeds that all have."""
    mean = _RowScores(Row(rows[0].row.label, {}, []))
    mean.by_seed = {seed: statistics.fmean(row.by_seed[seed] for row in rows) for seed in rows[0].seeds_with(*rows[1:])}
    return mean


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
        if len(seeds) < 2:
            return None
        seed_scores = np.array([[row.by_seed[seed] for seed in seeds] for row in rows])
        per_sample = _joined([row.per_sample(seeds) for row in rows])
        resampled.append(stats.resampled_means(*per_sample) if per_sample else stats.resampled_means(seed_scores))
    return stats.mean_rank_interval(resampled)
