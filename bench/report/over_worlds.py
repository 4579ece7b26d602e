"""Means and gains over worlds: generated and composed data is one draw of many, and another would have other scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from bench.config.describe import data_title
from bench.records.schema import Record
from bench.report import estimates
from bench.report.estimates import FEWEST_SEEDS, FEWEST_WORLDS, Estimate, WorldsEstimate
from bench.report.families import mean_estimate, weights
from bench.report.grouping import Row, Section, across_worlds
from bench.report.row_scores import RowScores, difference_of, estimate_of
from bench.report.standings import Gain, Interval, SectionStandings, TaskStandings, judged

ALL_TASKS = "all tasks"


@dataclass(frozen=True)
class WorldRow:
    """A method over several worlds.

    Attributes:
        label: The label of its rows, which is the same in all worlds.
        worlds: Number of worlds.
        seeds: Number of seeds that all of them have.
        mean: Mean score over worlds, and over these seeds.
        interval: Interval of the mean over worlds, seeds and samples; None with too few worlds or seeds.
        gain: Gain over the reference in the worlds, and over the seeds, that both have; None for the reference, and
            without two such worlds.
    """

    label: str
    worlds: int
    seeds: int
    mean: float
    interval: Interval | None
    gain: Gain | None


@dataclass(frozen=True)
class WorldTable:
    """The methods with several worlds on one task, or in the mean over all tasks, the highest gain first.

    Attributes:
        task: Name of the task; `ALL_TASKS` for the mean over them.
        metric: The primary metric; empty for the mean.
        rows: The methods.
    """

    task: str
    metric: str
    rows: list[WorldRow]


@dataclass(frozen=True)
class OverWorlds:
    """Tables of one suite, dataset and condition over several worlds; the mean over tasks comes first.

    Attributes:
        section: The section of the world with the most runs.
        worlds: The worlds, by the seeds of their data.
        tables: The tables.
    """

    section: Section
    worlds: tuple[int, ...]
    tables: list[WorldTable]

    @property
    def title(self) -> str:
        """The title: suite, data with its worlds, and changed settings."""
        changed = f", with {self.section.changed}" if self.section.changed else ""
        return f"suite {self.section.suite}, {data_title(self.section.data, self.worlds)}{changed}"


NOTE = (
    "A world is the data drawn with another seed (data.seed), with its own training and test samples. Intervals and "
    f"verdicts are over other worlds and other seeds; they need {FEWEST_WORLDS} worlds, and {FEWEST_SEEDS} seeds that "
    "all of them have. A gain is over the worlds and seeds that both methods have."
)
"""How to read the tables."""


def over_worlds(standings: Iterable[SectionStandings], reference: str) -> list[OverWorlds]:
    """Return the tables of the methods that have runs in several worlds.

    Args:
        standings: The standings of all sections.
        reference: Label of the row that gains are relative to.
    """
    sections = list(standings)
    standings_by_table = {id(task.table): task for item in sections for task in item.tasks}
    grouped: dict[str, list[tuple[Section, dict[int, TaskStandings]]]] = {}
    for places in across_worlds(item.section for item in sections):
        by_world = {section.data["seed"]: standings_by_table[id(table)] for section, table in places}
        largest, _ = places[0]
        grouped.setdefault(OverWorlds(largest, (0,), []).title, []).append((largest, by_world))
    result = []
    for group in grouped.values():
        tasks = [by_world for _, by_world in group]
        tables = [_table([by_world], reference) for by_world in tasks]
        if len(tasks) > 1:
            tables.insert(0, _table(tasks, reference))
        worlds = {world for by_world in tasks for world in by_world}
        if tables := [table for table in tables if table.rows]:
            result.append(OverWorlds(group[0][0], tuple(sorted(worlds)), tables))
    return result


def difference_over_worlds(a: Iterable[Record], b: Iterable[Record]) -> WorldsEstimate | None:
    """Return the estimate of the difference of two methods over worlds, in the mean over their tasks.

    Args:
        a: Runs of the first method, which differ in task, world and seed only.
        b: The same of the method that is subtracted, on the same tasks.

    Returns:
        The estimate from the worlds and seeds that both have; None without two worlds that share a seed.
    """
    return _Method.from_records(a).mean_difference(_Method.from_records(b))


class _Method:
    """A method on one or several tasks.

    Args:
        rows: Its rows by world and task, in the worlds that have it on every task.
    """

    def __init__(self, rows: Mapping[int, Mapping[str, RowScores]]) -> None:
        self._rows = rows

    @classmethod
    def from_standings(cls, label: str, tasks: Sequence[Mapping[int, TaskStandings]]) -> _Method:
        """Return the method whose rows have this label in the standings of each task, by world."""
        rows: dict[int, dict[str, RowScores]] = {}
        for by_world in tasks:
            for world, task in by_world.items():
                for row in task.scores:
                    if row.row.label == label:
                        rows.setdefault(world, {})[task.table.task] = row
        return cls({world: by_task for world, by_task in sorted(rows.items()) if len(by_task) == len(tasks)})

    @classmethod
    def from_records(cls, records: Iterable[Record]) -> _Method:
        """Return the method of runs that differ in task, world and seed only."""
        grouped: dict[int, dict[str, list[Record]]] = {}
        for record in records:
            grouped.setdefault(record.spec.data["seed"], {}).setdefault(record.spec.task, []).append(record)
        tasks = {task for by_task in grouped.values() for task in by_task}
        return cls(
            {
                world: {task: RowScores(Row("", {}, by_task[task])) for task in sorted(tasks)}
                for world, by_task in sorted(grouped.items())
                if by_task.keys() == tasks
            }
        )

    def mean(self) -> WorldsEstimate | None:
        """Return the estimate of its mean score; None without two worlds that share a seed."""
        seeds = self._seeds(self._rows)
        return self._estimate(self._rows, lambda world, task: estimate_of(self._rows[world][task], seeds), seeds)

    def mean_difference(self, base: _Method) -> WorldsEstimate | None:
        """Return the estimate of its difference from another method; None without two worlds that share a seed."""
        worlds, seeds = self._common(base)
        return self._estimate(
            worlds, lambda world, task: difference_of(self._rows[world][task], base._rows[world][task], seeds), seeds
        )

    def gain(self, base: _Method) -> Gain | None:
        """Return its gain over another method, before it is judged; None without two worlds that share a seed."""
        if (estimate := self.mean_difference(base)) is None:
            return None
        level = base._level(*self._common(base))
        return Gain(
            points=estimate.mean,
            percent=100 * estimate.mean / level if level else None,
            seeds=estimate.seeds,
            interval=interval_of(estimate),
            p=estimate.p_value(),
            verdict="too few worlds" if estimate.worlds < FEWEST_WORLDS else "too few seeds",
            deviation=estimate.crossed.deviation,
            with_samples=True,
        )

    def _common(self, base: _Method) -> tuple[list[int], list[int]]:
        """Return the worlds, and the seeds in all of them, that this and another method have."""
        worlds = sorted(self._rows.keys() & base._rows.keys())
        return worlds, sorted({*self._seeds(worlds)} & {*base._seeds(worlds)})

    def _seeds(self, worlds: Iterable[int]) -> list[int]:
        """Return the seeds that it has in all these worlds, on every task."""
        rows = [row for world in worlds for row in self._rows[world].values()]
        return rows[0].seeds_with(*rows[1:]) if rows else []

    def _level(self, worlds: Iterable[int], seeds: Sequence[int]) -> float:
        """Return the mean score over these worlds and seeds, and over tasks."""
        means = (
            np.average(
                [fmean(row.by_seed[seed] for seed in seeds) for row in self._rows[world].values()],
                weights=weights([*self._rows[world]]),
            )
            for world in worlds
        )
        return float(np.mean([*means]))

    def _estimate(
        self, worlds: Collection[int], task_estimate: Callable[[int, str], Estimate], seeds: Sequence[int]
    ) -> WorldsEstimate | None:
        """Return the estimate over worlds, of the mean over tasks, from that of each world and task."""
        if len(worlds) < 2 or not seeds:
            return None
        return estimates.over_worlds(
            [mean_estimate({task: task_estimate(world, task) for task in self._rows[world]}) for world in worlds]
        )


def _table(tasks: Sequence[Mapping[int, TaskStandings]], reference: str) -> WorldTable:
    """Return the table of one task, or of the mean over several, each by world."""
    first = next(iter(tasks[0].values())).table
    labels = dict.fromkeys(row.row.label for task in tasks[0].values() for row in task.scores)
    methods = {label: _Method.from_standings(label, tasks) for label in labels}
    base = _Method.from_standings(reference, tasks)
    compared = {label: method.gain(base) for label, method in methods.items() if label != reference}
    gains = judged({label: gain for label, gain in compared.items() if gain})
    rows = [
        WorldRow(label, mean.worlds, mean.seeds, mean.mean, interval_of(mean), gains.get(label))
        for label, method in methods.items()
        if (mean := method.mean())
    ]
    name, metric = (ALL_TASKS, "") if len(tasks) > 1 else (first.task, first.metrics[0] if first.metrics else "")

    def order(row: WorldRow) -> tuple[float, float]:
        points = 0.0 if row.label == reference else row.gain.points if row.gain else -math.inf
        return -points, -row.mean

    return WorldTable(name, metric, sorted(rows, key=order))


def interval_of(estimate: WorldsEstimate) -> Interval | None:
    """Return the interval of an estimate; None with too few worlds or seeds."""
    bounds = estimate.interval()
    return Interval(*bounds) if bounds else None
