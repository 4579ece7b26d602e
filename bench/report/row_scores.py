"""The scores of a row of a table by seed and by sample, and what is estimated from them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from bench.records import sample_scores
from bench.records.schema import Record
from bench.records.store import FOLDER
from bench.report import estimates
from bench.report.estimates import Estimate
from bench.report.grouping import Row

_log = logging.getLogger(__name__)

_ROUNDING = 1e-3  # largest error, in points, of a mean of scores that are stored as float32


@dataclass(frozen=True)
class SampleScores:
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


def difference_of(a: RowScores, b: RowScores, seeds: Sequence[int]) -> Estimate:
    """Return the estimate of the difference of two rows."""
    of_a, of_b = a.per_sample(seeds), b.per_sample(seeds)
    if of_a and of_b and np.array_equal(of_a.groups, of_b.groups):
        return estimates.crossed_estimate(of_a.sums - of_b.sums, of_a.sizes)
    return Estimate(tuple(a.by_seed[seed] - b.by_seed[seed] for seed in seeds))


def joined_samples(rows: Sequence[SampleScores | None]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scores (M, S, N) of M rows and the groups of N samples; None if a row has no or different samples."""
    present = [row for row in rows if row is not None]
    if len(present) < len(rows) or not all(np.array_equal(item.groups, present[0].groups) for item in present):
        return None
    return np.stack([item.scores for item in present]), present[0].groups


def primary_score(record: Record, split: str = "") -> float | None:
    """Return a record's primary score on a test split, or on all of them together; None if it has no finite one."""
    if not split or record.scores is None or record.status == "failed":
        return record.test_score
    score = (record.scores.splits or {}).get(split, {}).get(record.scores.metric, math.nan)
    return score if math.isfinite(score) else None


class RowScores:
    """The primary scores of a row by seed, and its per-sample scores, if stored.

    Args:
        row: The row.
        results: The results folder, of records that do not know theirs.
        with_samples: Whether to read per-sample scores.
        split: The test split that the scores are of; "" for all of them together.
    """

    def __init__(self, row: Row, results: Path | None = None, with_samples: bool = True, split: str = "") -> None:
        self.row = row
        self.by_seed = {r.spec.seed: score for r in row.records if (score := primary_score(r, split)) is not None}
        self._split = split
        self._results = results
        self._with_samples = with_samples

    def of_split(self, split: str) -> RowScores:
        """Return the scores of the same row on one test split, by sample only if those of all splits are."""
        return RowScores(self.row, self._results, bool(self._samples), split)

    def seeds_with(self, *rows: RowScores) -> list[int]:
        """Return the seeds that this and all other rows have."""
        common = set(self.by_seed)
        for row in rows:
            common &= set(row.by_seed)
        return sorted(common)

    def per_sample(self, seeds: Sequence[int]) -> SampleScores | None:
        """Return the per-sample scores of these seeds; None if one has none, or their samples differ."""
        if not seeds or not all(seed in self._samples for seed in seeds):
            return None
        scores, groups = zip(*(self._samples[seed] for seed in seeds), strict=True)
        if not all(np.array_equal(of_seed, groups[0]) for of_seed in groups[1:]):
            return None
        sums, sizes = zip(*(self._group_sums[seed] for seed in seeds), strict=True)
        return SampleScores(np.stack(scores), groups[0], np.stack(sums), sizes[0])

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
                saved = sample_scores.load(results, stem, record.scores.metric, self._split)
            except BenchError as error:
                _log.warning("left out: %s", error)
                return {}
            if saved is None:
                return {}
            mean, score = float(saved[0].mean(dtype=float)), primary_score(record, self._split)
            if score is None or not abs(mean - score) <= _ROUNDING:
                _log.warning(
                    "left out: the mean of the per-sample scores in %s.npz is %.4f, but the record has %.4f",
                    *(results / FOLDER / stem, mean, math.nan if score is None else score),
                )
                return {}
            result[record.spec.seed] = saved
        return result


def estimate_of(row: RowScores, seeds: Sequence[int]) -> Estimate:
    """Return the estimate of a row's mean score over these seeds."""
    if samples := row.per_sample(seeds):
        return estimates.crossed_estimate(samples.sums, samples.sizes)
    return Estimate(tuple(row.by_seed[seed] for seed in seeds))
