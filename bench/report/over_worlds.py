"""Means and gains over worlds: generated and composed data is one draw of many, and another would have other scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

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
        worlds: The worlds that count, by the seeds of their data.
        seeds: Number of seeds that all of them have.
        mean: Mean score over worlds, and over these seeds.
        interval: Interval of the mean over worlds, seeds and samples; None with too few worlds or seeds.
        gain: Gain over the reference in the worlds, and over the seeds, that both have; None for the reference, and
            without two such worlds.
        left_out: Worlds that share too few seeds with the rest, so that they do not count in the mean or in the gain.
    """

    label: str
    worlds: tuple[int, ...]
    seeds: int
    mean: float
    interval: Interval | None
    gain: Gain | None
    left_out: tuple[int, ...] = ()


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
        worlds: The worlds that count for a method, by the seeds of their data.
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

    def left_out(self, *labels: str) -> str:
        """Return a sentence on the worlds that do not count for methods with these labels, or for any; "" for none."""
        by_world: dict[int, dict[str, None]] = {}
        for row in (row for table in self.tables for row in table.rows if not labels or row.label in labels):
            for world in row.left_out:
                by_world.setdefault(world, {})[row.label] = None
        named = [f"{world} ({', '.join(by_world[world])})" for world in sorted(by_world)]
        return f"Worlds left out because they share too few seeds with the rest: {'; '.join(named)}." if named else ""


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
        worlds = {world for table in tables for row in table.rows for world in row.worlds}
        if tables := [table for table in tables if table.rows]:
            result.append(OverWorlds(group[0][0], tuple(sorted(worlds)), tables))
    return result


def difference_over_worlds(a: Iterable[Record], b: Iterable[Record]) -> WorldsEstimate | None:
    """Return the estimate of the difference of two methods over worlds, in the mean over their tasks.

    Args:
        a: Runs of the first method, which differ in task, world and seed only.
        b: The same of the method that is subtracted, on the same tasks.

    Returns:
        The estimate from the worlds and seeds that both have, without worlds that share too few seeds with the rest;
        None without two worlds that share a seed.
    """
    return _Method.from_records(a).mean_difference(_Method.from_records(b))


class _Common(NamedTuple):
    """Worlds that count, and the seeds that all of them have; and the worlds that are left out."""

    worlds: tuple[int, ...]
    seeds: tuple[int, ...]
    left_out: tuple[int, ...]

    @classmethod
    def of(cls, seeds_by_world: Mapping[int, Collection[int]]) -> _Common:
        """Return the worlds that have the seeds that most worlds have.

        Those are as many seeds as an interval needs; fewer, if fewer worlds than it needs have so many. So a world that
        has few of them, or others, does not take the seeds of all worlds away. There are none without two worlds that
        share a seed.
        """
        counts = Counter(seed for seeds in seeds_by_world.values() for seed in seeds)
        usual = sorted(counts, key=lambda seed: (-counts[seed], seed))[:FEWEST_SEEDS]
        for fewest_worlds in (FEWEST_WORLDS, 2):
            for number in range(len(usual), 0, -1):
                counted = [world for world, seeds in seeds_by_world.items() if {*usual[:number]}.issubset(seeds)]
                if len(counted) >= fewest_worlds:
                    common = set.intersection(*({*seeds_by_world[world]} for world in counted))
                    left_out = seeds_by_world.keys() - counted
                    return cls(tuple(sorted(counted)), tuple(sorted(common)), tuple(sorted(left_out)))
        return cls((), (), ())


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
        worlds, seeds, _ = self.common()
        return self._estimate(worlds, lambda world, task: estimate_of(self._rows[world][task], seeds))

    def mean_difference(self, base: _Method) -> WorldsEstimate | None:
        """Return the estimate of its difference from another method; None without two worlds that share a seed."""
        worlds, seeds, _ = self.common(base)
        return self._estimate(
            worlds, lambda world, task: difference_of(self._rows[world][task], base._rows[world][task], seeds)
        )

    def gain(self, base: _Method) -> Gain | None:
        """Return its gain over another method, before it is judged; None without two worlds that share a seed."""
        if (estimate := self.mean_difference(base)) is None:
            return None
        worlds, seeds, _ = self.common(base)
        level = base._level(worlds, seeds)
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

    def common(self, *methods: _Method) -> _Common:
        """Return the worlds that count, and their seeds, of those that this and other methods have on every task."""
        compared = (self, *methods)
        worlds = [world for world in self._rows if all(world in method._rows for method in methods)]
        rows = {world: [row for method in compared for row in method._rows[world].values()] for world in worlds}
        return _Common.of({world: first.seeds_with(*rest) for world, (first, *rest) in rows.items()})

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
        self, worlds: Collection[int], task_estimate: Callable[[int, str], Estimate]
    ) -> WorldsEstimate | None:
        """Return the estimate over worlds, of the mean over tasks, from that of each world and task; None for none."""
        if not worlds:
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
    rows = []
    for label, method in methods.items():
        if mean := method.mean():
            common, gain = method.common(), gains.get(label)
            left_out = {*common.left_out, *(method.common(base).left_out if gain else ())}
            rows.append(
                WorldRow(label, common.worlds, mean.seeds, mean.mean, interval_of(mean), gain, tuple(sorted(left_out)))
            )
    name, metric = (ALL_TASKS, "") if len(tasks) > 1 else (first.task, first.metrics[0] if first.metrics else "")

    def order(row: WorldRow) -> tuple[float, float]:
        points = 0.0 if row.label == reference else row.gain.points if row.gain else -math.inf
        return -points, -row.mean

    return WorldTable(name, metric, sorted(rows, key=order))


def interval_of(estimate: WorldsEstimate) -> Interval | None:
    """Return the interval of an estimate; None with too few worlds or seeds."""
    bounds = estimate.interval()
    return Interval(*bounds) if bounds else None
