"""Means and gains over worlds: generated and composed data is one draw of many, and another would have other scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from bench.config.describe import data_title
from bench.report import estimates
from bench.report.estimates import FEWEST_SEEDS, FEWEST_WORLDS, Estimate, WorldsEstimate
from bench.report.families import mean_estimate, weights
from bench.report.grouping import Section, across_worlds
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
    of_tables = {id(task.table): task for item in sections for task in item.tasks}
    grouped: dict[str, list[tuple[Section, dict[int, TaskStandings]]]] = {}
    for places in across_worlds(item.section for item in sections):
        by_world = {section.data["seed"]: of_tables[id(table)] for section, table in places}
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


class _Method:
    """A method on one or several tasks: its rows, by world and task, in the worlds that have it on every task.

    Args:
        label: The label of its rows.
        tasks: The standings of each task, by world.
    """

    def __init__(self, label: str, tasks: Sequence[Mapping[int, TaskStandings]]) -> None:
        self.label = label
        self.rows: dict[int, dict[str, RowScores]] = {}
        for world in sorted(set.intersection(*(set(by_world) for by_world in tasks))):
            rows = {
                by_world[world].table.task: row
                for by_world in tasks
                for row in by_world[world].scores
                if row.row.label == label
            }
            if len(rows) == len(tasks):
                self.rows[world] = rows

    def seeds(self, worlds: Iterable[int]) -> set[int]:
        """Return the seeds that it has in all these worlds, on every task."""
        return set.intersection(*(set(row.by_seed) for world in worlds for row in self.rows[world].values()))

    def level(self, worlds: Iterable[int], seeds: Iterable[int]) -> float:
        """Return the mean score over these worlds and seeds, and over tasks."""
        of_world = (
            np.average(
                [fmean(row.by_seed[seed] for seed in seeds) for row in self.rows[world].values()],
                weights=weights([*self.rows[world]]),
            )
            for world in worlds
        )
        return float(np.mean([*of_world]))

    def row(self, gain: Gain | None) -> WorldRow | None:
        """Return its row in a table; None without two worlds that share a seed."""
        seeds = sorted(self.seeds(self.rows)) if len(self.rows) > 1 else []
        if not seeds:
            return None
        estimate = self._estimate(self.rows, lambda world, task: estimate_of(self.rows[world][task], seeds))
        return WorldRow(self.label, estimate.worlds, estimate.seeds, estimate.mean, _interval(estimate), gain)

    def gain(self, base: _Method) -> Gain | None:
        """Return its gain over another method, before it is judged; None without two worlds that share a seed."""
        worlds = sorted(self.rows.keys() & base.rows.keys())
        seeds = sorted(self.seeds(worlds) & base.seeds(worlds)) if len(worlds) > 1 else []
        if not seeds:
            return None
        estimate = self._estimate(
            worlds, lambda world, task: difference_of(self.rows[world][task], base.rows[world][task], seeds)
        )
        level = base.level(worlds, seeds)
        return Gain(
            points=estimate.mean,
            percent=100 * estimate.mean / level if level else None,
            seeds=estimate.seeds,
            interval=_interval(estimate),
            p=estimate.p_value(),
            verdict="too few worlds" if estimate.worlds < FEWEST_WORLDS else "too few seeds",
            deviation=estimate.crossed.deviation,
            with_samples=True,
        )

    def _estimate(self, worlds: Iterable[int], of_task: Callable[[int, str], Estimate]) -> WorldsEstimate:
        """Return the estimate over worlds, of the mean over tasks, from that of each world and task."""
        return estimates.over_worlds(
            [mean_estimate({task: of_task(world, task) for task in self.rows[world]}) for world in worlds]
        )


def _table(tasks: Sequence[Mapping[int, TaskStandings]], reference: str) -> WorldTable:
    """Return the table of one task, or of the mean over several, each by world."""
    first = next(iter(tasks[0].values())).table
    labels = dict.fromkeys(row.row.label for task in tasks[0].values() for row in task.scores)
    methods = [_Method(label, tasks) for label in labels]
    base = _Method(reference, tasks)
    compared = {method.label: method.gain(base) for method in methods if method.label != reference}
    gains = judged({label: gain for label, gain in compared.items() if gain})
    rows = [row for method in methods if (row := method.row(gains.get(method.label)))]
    name, metric = (ALL_TASKS, "") if len(tasks) > 1 else (first.task, first.metrics[0] if first.metrics else "")

    def order(row: WorldRow) -> tuple[float, float]:
        points = 0.0 if row.label == reference else row.gain.points if row.gain else -math.inf
        return -points, -row.mean

    return WorldTable(name, metric, sorted(rows, key=order))


def _interval(estimate: WorldsEstimate) -> Interval | None:
    bounds = estimate.interval()
    return Interval(*bounds) if bounds else None
