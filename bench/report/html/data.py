"""The data of leaderboard.html in JSON types, from which its scripts draw figures and choose references."""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from bench.config.reference import REFERENCE
from bench.records.schema import Record
from bench.records.store import FOLDER
from bench.report.families import families_note, weights
from bench.report.grouping import Row
from bench.report.html.links import method_links
from bench.report.html.tables import mean_of
from bench.report.overview import Overall, has_overview, overall
from bench.report.row_scores import primary_score
from bench.report.standings import Gain, Gains, Interval, SectionStandings, Standing, TaskStandings

_COSTS = {  # by key: part of the record, its key, unit
    "parameters": ("parameters", "adapter", 1),
    "memory": ("memory", "train_peak", 1e6),
    "speed": ("throughput", "train", 1),
    "seconds": ("times", "train", 1),
}


def plain(
    standings: Sequence[SectionStandings], reference: str = REFERENCE, results: Path | None = None
) -> dict[str, Any]:
    """Return the data of the figures, in JSON types.

    Args:
        standings: The standings of the records.
        reference: Label of the row that gains are relative to.
        results: The results folder that the page is in, for its links; None for a page without links to files.

    Returns:
        `reference`: label of the row that gains are relative to. `tasks`: name, primary metric, condition, rows and
        gains of each task, by the id of its article, and likewise of all tasks of a section together; of a task with
        several test splits also the scores and gains on each. `facts`:
        settings, environments and data, each once; rows refer to them by number. `methods`: links of each method.
        `records`: the folder of the records, if they have links.
    """
    facts = _Facts()
    tasks: dict[str, Any] = {}
    for number, section in enumerate(standings):
        if has_overview(section):
            tasks[overall_name(number)] = _overall(section, number, reference)
        for name, task in named(section, number):
            if task.standings:
                tasks[name] = _task(task, section.section.data, facts, reference, results)
    methods = sorted({row["method"] for task in tasks.values() for row in task["rows"]})
    return {
        "reference": reference,
        "tasks": tasks,
        "facts": facts.values,
        "methods": {method: method_links(method, results) for method in methods},
        "records": FOLDER if results else None,
    }


def named(standings: SectionStandings, number: int) -> Iterator[tuple[str, TaskStandings]]:
    """Return the tasks of a section with the ids of their articles."""
    return ((f"section-{number}-task-{place}", task) for place, task in enumerate(standings.tasks))


def overall_name(number: int) -> str:
    """Return the id of the article of all tasks of a section."""
    return f"section-{number}-all"


class _Facts:
    """Values shared by many rows, each stored once."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def number(self, value: Any) -> int:
        """Return the number of a value, which may be a dataclass."""
        key = msgspec.json.encode(value)
        return self._numbers.setdefault(key, len(self._numbers))

    def numbers(self, values: Sequence[Any]) -> list[int]:
        """Return the numbers of the values that are not None, each once."""
        return list(dict.fromkeys(self.number(value) for value in values if value is not None))

    @property
    def values(self) -> list[Any]:
        return [msgspec.json.decode(key) for key in self._numbers]


def _overall(standings: SectionStandings, number: int, reference: str) -> dict[str, Any]:
    """Return the data of all tasks of a section together, whose rows have the means over tasks."""
    rows = overall(standings, reference)
    tasks = [task.table.task for task in standings.tasks]
    share = weights(tasks)
    gains = standings.mean_gains_of_each or {reference: standings.mean_gains}
    return {
        "task": "All tasks",
        "metric": "mean score",
        "of": [name for name, _ in named(standings, number)],
        "weights": [_short(weight) for weight in share],
        "note": families_note(tasks),
        "rows": [_overall_row(row, share) for row in rows],
        "gains": _gains(gains, [row.label for row in rows]),
    }


def _overall_row(row: Overall, share: Sequence[float]) -> dict[str, Any]:
    present = [standing for standing in row.by_task if standing]
    costs = {}
    for name, (part, key, unit) in _COSTS.items():
        values = [mean_of(standing.row, part, key, unit) for standing in row.by_task if standing]
        known = [value for value in values if value is not None]
        complete = len(known) == len(row.by_task)
        costs[name] = _short(math.fsum(map(operator.mul, share, known))) if complete else None
    return {
        "label": row.label,
        "method": present[0].row.records[0].spec.method,
        "mean": _short(row.score.mean) if row.score else None,
        "interval": _ends_of(row.score.interval) if row.score else None,
        **costs,
        "curve": [],
    }


def _task(
    task: TaskStandings, data: Mapping[str, Any], facts: _Facts, reference: str, results: Path | None
) -> dict[str, Any]:
    metric = task.table.metrics[0]
    labels = [standing.row.label for standing in task.standings]
    shown = {standing.row.label: standing.gain for standing in task.standings if standing.gain}
    return {
        "task": task.table.task,
        "metric": metric,
        "condition": facts.number({**task.table.condition, "data": data}),
        "rows": [_row(standing, metric, facts, results) for standing in task.standings],
        "gains": _gains(task.gains or {reference: shown}, labels),
        **({"splits": _splits(task, reference)} if task.split_gains else {}),
    }


def _splits(task: TaskStandings, reference: str) -> list[dict[str, Any]]:
    """Return the scores by seed and the gains on each test split, in the form of a task's."""
    rows = [standing.row for standing in task.standings]
    return [
        {
            "name": split,
            "rows": [
                {
                    "label": row.label,
                    "runs": [
                        [record.spec.seed, record.id, _short(primary_score(record, split))] for record in row.records
                    ],
                }
                for row in rows
            ],
            "gains": _gains({reference: dict(gains)}, [row.label for row in rows]),
        }
        for split, gains in task.split_gains.items()
    ]


def _gains(gains: Gains, labels: Sequence[str]) -> dict[str, list[Any]]:
    """Return the gains over each reference, in the order of the rows; tables of one row have none."""
    return {
        reference: [_gain(of_labels.get(label)) for label in labels]
        for reference, of_labels in gains.items()
        if of_labels
    }


def _gain(gain: Gain | None) -> list[Any] | None:
    """Return points, percent, seeds, both ends of the interval, p after Holm, verdict, and if samples were known."""
    if gain is None:
        return None
    low, high = _ends_of(gain.interval) or (None, None)
    p = None if gain.p_holm is None else float(f"{gain.p_holm:.3g}")
    return [
        *(_short(gain.points), _short(gain.percent), gain.seeds, low, high),
        *(p, gain.verdict, int(gain.with_samples)),
    ]


def _ends_of(interval: Interval | None) -> list[float | None] | None:
    return [_short(interval.low), _short(interval.high)] if interval else None


def _row(standing: Standing, metric: str, facts: _Facts, results: Path | None) -> dict[str, Any]:
    """Return the data of one row: values for the figures, and its runs."""
    row = standing.row
    records = row.records
    return {
        "label": row.label,
        "method": records[0].spec.method,
        "mean": _short(standing.mean),
        "interval": _ends_of(standing.interval),
        **{name: _short(mean_of(row, *cost)) for name, cost in _COSTS.items()},
        "in_use": _short(mean_of(row, "parameters", "active")),
        "curve": _curve(row, metric),
        "runs": [_run(record, results) for record in records],
        "settings": facts.number(row.settings),
        "environments": facts.numbers([record.environment for record in records]),
        "data": facts.numbers([record.data for record in records]),
        "tuned": facts.numbers([record.tuned for record in records]),
    }


def _run(record: Record, results: Path | None) -> list[Any]:
    """Return seed, id, primary score, and the record's name, unless it is that of the run; None without a link."""
    run = [record.spec.seed, record.id, _short(record.test_score)]
    if results is None or (record.file.stem == record.stem and record.file.results == results):
        return run
    return [*run, record.file.stem if record.file.results == results else None]


def _curve(row: Row, metric: str) -> list[list[float | None]]:
    """Return the validation curve: per epoch its number, mean, lowest and highest finite score over seeds, and time.

    The time is the mean time from the start of training to the end of the epoch, in seconds. For records without it,
    the total time is divided by steps; it is None if there is no time at all.
    """
    curves = [
        [epoch.scores.get(metric, math.nan) for epoch in record.scores.validation]
        for record in row.records
        if record.scores
    ]
    by_epoch = ([*filter(math.isfinite, values)] for values in zip_longest(*curves, fillvalue=math.nan))
    times = [_ends(record) for record in row.records]
    seconds = [statistics.fmean(v for v in values if v is not None) for values in zip_longest(*times)]
    seconds_by_epoch = dict(enumerate(map(_short, seconds), start=1))
    return [
        [epoch, _short(statistics.fmean(values)), _short(min(values)), _short(max(values)), seconds_by_epoch.get(epoch)]
        for epoch, values in enumerate(by_epoch, start=1)
        if values
    ]


def _ends(record: Record) -> list[float]:
    if not record.scores or not record.times:
        return []
    curve = record.scores.validation
    return record.times.epochs or [record.times.train * epoch.step / curve[-1].step for epoch in curve]


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 4)
