"""What the records say, worked out once for every form of the leaderboard: means, intervals, gains, verdicts, ranks."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from bench.config.reference import REFERENCE
from bench.errors import BenchError, UsageError
from bench.records import sample_scores
from bench.records.schema import Record
from bench.records.store import FOLDER
from bench.registry import did_you_mean
from bench.report import stats
from bench.report.grouping import Row, Section, Table, sections

_log = logging.getLogger(__name__)

_ROUNDING = 1e-3  # points that a mean of scores kept as float32 may be off

Verdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A 95% interval, in the unit of what it is of."""

    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """What a method gains over the reference on one task, over the seeds that both have: differences are paired.

    Attributes:
        points: mean difference of the primary score, in points.
        percent: the same, in percent of the reference's mean over these seeds; None where that is 0.
        seeds: how many seeds both have.
        interval: of `points`, over seeds (paired t); None with fewer than two seeds.
        over_samples: of `points`, over seeds and test samples (paired bootstrap); None where scores of single samples
            were not kept.
        p: two-sided p-value of the paired t-test over seeds; None with fewer than two seeds.
        p_holm: `p` after Holm's correction over the table's methods.
        verdict: "better" or "worse" where `p_holm` is below 0.05 and `over_samples`, if there, leaves out 0.
        deviation: sample standard deviation of the differences over seeds; None with fewer than two seeds.
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
    """One row of a task's table with what the statistics say of it.

    Attributes:
        row: label, settings and records.
        mean: of the primary test score over seeds, in percent.
        deviation: sample standard deviation over seeds; None with one seed.
        interval: of the mean, over seeds (t); None with one seed.
        gain: over the reference; None for the reference itself, and where the table has none or shares no seed with it.
        place: 1 for the best mean and every method that cannot be told apart from it; for others 1 more than the number
            of methods with a higher mean.
        tied: more than one method has place 1, and this is one of them.
    """

    row: Row
    mean: float
    deviation: float | None
    interval: Interval | None
    gain: Gain | None
    place: int
    tied: bool


@dataclass(frozen=True)
class TaskBoard:
    """One table with its rows judged, the best mean first."""

    table: Table
    standings: list[Standing]


@dataclass(frozen=True)
class Rank:
    """A method's rank by mean score, averaged over the tasks of a section, and its bootstrap interval."""

    label: str
    mean: float
    interval: Interval | None


@dataclass(frozen=True)
class SectionBoard:
    """One section: its tasks, and ranks over all of them of the methods that every task has (none with one task)."""

    section: Section
    tasks: list[TaskBoard]
    ranks: list[Rank]


def boards(records: Iterable[Record], results: Path | None = None, reference: str = REFERENCE) -> list[SectionBoard]:
    """Return the records judged, as the leaderboard tells them.

    Args:
        records: of whatever runs.
        results: their results folder, where the scores of single samples lie; None to go without these.
        reference: label of the row that gains are over; tables without it have none.
    """
    result = []
    for section in sections(records):
        scores = {table.task: [_RowScores(row, results) for row in table.rows] for table in section.tables}
        tasks = [TaskBoard(table, _standings(scores[table.task], reference)) for table in section.tables]
        result.append(SectionBoard(section, tasks, _ranks(list(scores.values()))))
    return result


def check_reference(boards: Sequence[SectionBoard], reference: str) -> None:
    """Check that some table has the reference, unless it is the default one.

    Raises:
        UsageError: no row has this label.
    """
    labels = {standing.row.label for board in boards for task in board.tasks for standing in task.standings}
    if reference not in (REFERENCE, *labels):
        raise UsageError(f"--reference {reference}: no finished runs have this name: {did_you_mean(reference, labels)}")


@dataclass(frozen=True)
class _SampleScores:
    """Scores of single samples, (seeds, samples), and the number of each sample's group, (samples,)."""

    scores: np.ndarray
    groups: np.ndarray


def _joined(rows: Sequence[_SampleScores | None]) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores (M, S, N) of M rows, and the groups of the N samples; None where one has none, or other samples."""
    present = [row for row in rows if row is not None]
    if len(present) < len(rows) or not all(np.array_equal(item.groups, present[0].groups) for item in present):
        return None
    return np.stack([item.scores for item in present]), present[0].groups


class _RowScores:
    """The primary scores of a row by seed, and those of single samples where they were kept."""

    def __init__(self, row: Row, results: Path | None) -> None:
        self.row = row
        self.by_seed = {r.spec.seed: score for r in row.records if (score := r.test_score) is not None}
        self._results = results

    def seeds_with(self, *rows: _RowScores) -> list[int]:
        """Return the seeds that all have."""
        common = set(self.by_seed)
        for row in rows:
            common &= set(row.by_seed)
        return sorted(common)

    def of_samples(self, seeds: Sequence[int]) -> _SampleScores | None:
        """Scores of every test sample with these seeds; None where one has none, or other samples."""
        result = [self._samples[seed] for seed in seeds if seed in self._samples]
        if not result or len(result) < len(seeds):
            return None
        groups = result[0][1]
        if not all(np.array_equal(item[1], groups) for item in result):
            return None
        return _SampleScores(np.stack([scores for scores, _ in result]), groups)

    @cached_property
    def _samples(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Scores of every test sample and their groups, by seed; of no run where one has none."""
        result = {}
        for record in self.row.records:
            if self._results is None or record.scores is None:
                return {}
            stem = record.file.stem or record.stem
            try:
                saved = sample_scores.load(self._results, stem, record.scores.metric)
            except BenchError as error:
                _log.warning("left out: %s", error)
                return {}
            if saved is None:
                return {}
            mean = float(saved[0].mean(dtype=float))
            if record.test_score is None or not abs(mean - record.test_score) <= _ROUNDING:
                _log.warning(
                    "left out: %s.npz holds scores of samples whose mean is %.4f, and the record says %.4f",
                    *(self._results / FOLDER / stem, mean, record.test_score or math.nan),
                )
                return {}
            result[record.spec.seed] = saved
        return result


def _standings(rows: Sequence[_RowScores], reference: str) -> list[Standing]:
    """Return the rows of one table, the best first."""
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
    """Return the gains of rows over another, by label, with Holm's correction, for rows that share a seed with it."""
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
    """Return the interval of the difference over seeds and samples."""
    pair = _joined([row.of_samples(seeds), base.of_samples(seeds)])
    if pair is None:
        return None
    (row_SN, base_SN), groups_N = pair
    gains_RM = stats.resampled_means((row_SN - base_SN)[None], groups_N)
    return _interval(stats.percentile_interval(gains_RM[:, 0]))


def _verdict(gain: Gain) -> Verdict:
    """Return whether the gain stands: both over seeds and, where samples were kept, over samples as well."""
    if gain.p_holm is None or gain.p_holm >= stats.ALPHA:
        return "undecided"
    if gain.over_samples and gain.over_samples.low <= 0 <= gain.over_samples.high:
        return "undecided"
    return "better" if gain.points > 0 else "worse"


def _interval(bounds: Sequence[float] | None) -> Interval | None:
    return Interval(*bounds) if bounds else None


def _ranks(tasks: Sequence[Sequence[_RowScores]]) -> list[Rank]:
    """Return ranks over several tasks of the methods that all of them have, the best first."""
    by_label = [{row.row.label: row for row in rows} for rows in tasks]
    labels = [label for label in by_label[0] if all(label in rows for rows in by_label)] if len(tasks) > 1 else []
    if len(labels) < 2:
        return []
    chosen = [[rows[label] for label in labels] for rows in by_label]
    means = [np.array([statistics.fmean(row.by_seed.values()) for row in rows]) for rows in chosen]
    mean_ranks = np.mean([stats.ranks(item) for item in means], axis=0)
    bounds = _rank_bounds(chosen)
    intervals = [_interval(item) for item in bounds] if bounds else [None] * len(labels)
    result = [Rank(*item) for item in zip(labels, mean_ranks.tolist(), intervals, strict=True)]
    return sorted(result, key=lambda rank: rank.mean)


def _rank_bounds(tasks: Sequence[Sequence[_RowScores]]) -> list[stats.Bounds] | None:
    """Return bootstrap intervals of ranks, over the seeds that all methods of a task have; None with fewer than two."""
    resampled = []
    for rows in tasks:
        seeds = rows[0].seeds_with(*rows[1:])
        if len(seeds) < 2:
            return None
        of_seeds = np.array([[row.by_seed[seed] for seed in seeds] for row in rows])
        of_samples = _joined([row.of_samples(seeds) for row in rows])
        resampled.append(stats.resampled_means(*of_samples) if of_samples else stats.resampled_means(of_seeds))
    return stats.mean_rank_interval(resampled)
