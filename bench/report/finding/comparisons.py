"""Comparisons of two methods on their common seeds, in tables that are judged together.

Each is judged by the rule of the leaderboard (docs/explain/verdicts.md), with Holm's correction over its table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np

from bench.records.schema import Record
from bench.report.estimates import Estimate
from bench.report.families import mean_estimate, weights
from bench.report.finding.measured import Runs
from bench.report.formatting import NONE
from bench.report.row_scores import primary_score
from bench.report.standings import Gain, gain_of, judged, mean_difference

ALL = "all tasks"


@dataclass(frozen=True)
class Question:
    """A comparison of two methods or variations, by their labels in the experiment file."""

    title: str
    a: str
    b: str

    @property
    def key(self) -> str:
        """Both labels: "cola/lora"."""
        return f"{self.a}/{self.b}"


@dataclass(frozen=True)
class Compared:
    """Two methods on the seeds that both have.

    Attributes:
        name: The comparison's name in its table.
        first: Mean test score of the first method over these seeds.
        second: The same of the second method.
        mean_difference: The first minus the second.
        parameters: Trained parameters of both.
    """

    name: str
    first: float
    second: float
    mean_difference: Estimate
    parameters: str = NONE


@dataclass(frozen=True)
class Table:
    """Comparisons that are judged together.

    Attributes:
        title: What they compare.
        rows: The comparisons, by a short name.
        missing: The names of those without records.
    """

    title: str
    rows: Mapping[str, Compared]
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, title: str, comparisons: Mapping[str, Compared | None]) -> Table:
        """Return the table of comparisons, of which some may have no records."""
        rows = {name: compared for name, compared in comparisons.items() if compared}
        return cls(title, rows, tuple(name for name in comparisons if name not in rows))

    @cached_property
    def gains(self) -> dict[str, Gain]:
        """The gains and their verdicts, after Holm's correction over all rows."""
        return judged({key: gain_of(row.mean_difference, row.second) for key, row in self.rows.items()})


def compare(name: str, a: Mapping[int, Record], b: Mapping[int, Record], split: str = "") -> Compared | None:
    """Return the comparison of two methods on their common seeds; None if there are none.

    Args:
        name: The comparison's name in its table.
        a: Records of the first method, by seed.
        b: Those of the second method.
        split: The test split whose scores are compared; "" for all of them together.
    """
    scores = [{seed: primary_score(record, split) for seed, record in records.items()} for records in (a, b)]
    seeds = sorted(seed for seed in a.keys() & b.keys() if None not in (scores[0][seed], scores[1][seed]))
    if not seeds or (estimate := mean_difference(a.values(), b.values(), split)) is None:
        return None
    first, second = (fmean(of_side[seed] or 0.0 for seed in seeds) for of_side in scores)
    trained = (f"{records[seeds[0]].parameters.adapter:,}" for records in (a, b))  # type: ignore[union-attr]
    return Compared(name, first, second, estimate, " to ".join(trained))


def answers(question: Question, runs: Runs, tasks: Sequence[str]) -> Table:
    """Return one comparison per task, and one of the mean over all tasks on the seeds that every task has.

    In the mean, families of tasks weigh alike, as in the leaderboard.
    """
    compared = {task: compare(task, runs[task, question.a], runs[task, question.b]) for task in tasks}
    return Table.of(question.title, {**compared, ALL: _over_tasks(question, runs, tasks)})


def _over_tasks(question: Question, runs: Runs, tasks: Sequence[str]) -> Compared | None:
    sides = [runs[task, label] for task in tasks for label in (question.a, question.b)]
    seeds = set.intersection(*(set(side) for side in sides))
    shared = [{seed: side[seed] for seed in seeds} for side in sides]
    compared = {task: compare(task, shared[2 * at], shared[2 * at + 1]) for at, task in enumerate(tasks)}
    by_task = {task: item for task, item in compared.items() if item}
    if len(by_task) < len(tasks):
        return None
    scores = [(item.first, item.second) for item in by_task.values()]
    first, second = np.average(scores, axis=0, weights=weights([*by_task])).tolist()
    return Compared(ALL, first, second, mean_estimate({task: item.mean_difference for task, item in by_task.items()}))


def over_splits(question: Question, runs: Runs, splits: Mapping[str, Sequence[str]]) -> Table:
    """Return one comparison for each test split of some tasks, named as in "refcoco, testA".

    Args:
        question: The methods.
        runs: The records.
        splits: Names of the test splits, by task.
    """
    rows = {
        name: compare(name, runs[task, question.a], runs[task, question.b], split)
        for task, names in splits.items()
        for split in names
        for name in (f"{task}, {split}",)
    }
    return Table.of(f"{question.title}, by test split", rows)
