"""Grouping of records into tables and rows.

A table contains one task under one condition: suite, data including its samples, streams, settings of the task, and the
recipe except for fields that may differ between methods. So its rows differ in the method only. A row contains the
seeds of one method with one set of settings. If a results folder has several conditions of a task, or several settings
of a method, the most frequent one has no label, and the labels of the others list their changes. Tuned learning rates
differ between tasks; they are part of a label only if nothing else distinguishes two rows, so that a method has the
same label on all tasks. Likewise it has the same label in all worlds of generated or composed data: that of the world
with the most runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any, TypeVar

import msgspec

from bench.config.describe import assignments, data_title
from bench.config.recipe import PER_METHOD, per_method
from bench.config.spec import without_path
from bench.errors import UsageError, did_you_mean
from bench.records.provenance import scoring
from bench.records.schema import Record, Scores
from bench.report.run_data import DataOfRuns, RunData

RATES = ("lr_adapter", "lr_head")  # not part of a row's label if they were tuned

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """The completed runs of one method with one set of settings, which differ in the seed only."""

    label: str
    settings: dict[str, Any]
    records: list[Record]

    @cached_property
    def primary(self) -> list[float]:
        """The primary test scores of all seeds."""
        return [score for record in self.records if (score := record.test_score) is not None]

    def secondary(self, metric: str) -> list[float]:
        """Return the finite values of another test score, over all seeds that have it."""
        return _finite(scores.test.get(metric) for scores in self._scores)

    def measures(self, part: str, name: str) -> list[float]:
        """Return the finite values of a measurement over all seeds that have it: `measures("memory", "train_peak")`."""
        if (part, name) not in self._measures:
            measured = [getattr(record, part) for record in self.records]
            self._measures[part, name] = _finite(getattr(entry, name) for entry in measured if entry)
        return self._measures[part, name]

    @cached_property
    def _measures(self) -> dict[tuple[str, str], list[float]]:
        """Cache of `measures`, since all forms of the leaderboard need the same values."""
        return {}

    def split_scores(self, split: str, metric: str) -> list[float]:
        """Return the finite values of a score on one split, over all seeds that have it."""
        return _finite((scores.splits or {}).get(split, {}).get(metric) for scores in self._scores)

    @cached_property
    def _scores(self) -> list[Scores]:
        return [record.scores for record in self.records if record.scores]


@dataclass(frozen=True)
class Table:
    """One task under one condition."""

    task: str
    condition: dict[str, Any]
    changed: str
    rows: list[Row]
    failed: list[Record]
    controls: tuple[Row, ...] = ()
    """Control runs of the same task and condition, in which only some streams got their inputs."""
    run_data: RunData | None = None
    """The data of all runs; None if all failed before it was read."""

    @cached_property
    def records(self) -> list[Record]:
        """All completed runs of the rows."""
        return [record for row in self.rows for record in row.records]

    @property
    def runs(self) -> list[Record]:
        """All runs: those of the rows, of controls, and failed ones."""
        return [*self.records, *(record for row in self.controls for record in row.records), *self.failed]

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics of the task, the primary one first."""
        scores = [record.scores for record in self.records if record.scores]
        primary = [entry.metric for entry in scores]
        return list(dict.fromkeys([*primary, *(name for entry in scores for name in entry.test)]))

    @cached_property
    def splits(self) -> list[str]:
        """The splits with scores, by their names in the records."""
        return list(dict.fromkeys(s for r in self.records if r.scores for s in r.scores.splits or {}))

    @cached_property
    def floors(self) -> dict[str, float]:
        """Primary scores of baselines that do not combine the modalities, by name of the baseline."""
        return {
            name: value
            for record in self.records
            if record.scores
            for name, value in record.scores.floors.items()
            if math.isfinite(value)
        }

    @cached_property
    def beneath(self) -> list[tuple[str, float]]:
        """Names and primary scores of floors and controls, which are listed below the methods and not ranked."""
        collected = [(f"floor: {name}", value) for name, value in self.floors.items()]
        for row in self.controls:
            seeds = len(row.records)
            collected.append((f"{row.label}, {seeds} seed{'s' * (seeds > 1)}", fmean(row.primary)))
        return sorted(collected, key=lambda entry: -entry[1])


@dataclass(frozen=True)
class Section:
    """The tables of one suite, dataset and condition, one per task."""

    suite: str
    data: dict[str, Any]
    changed: str
    tables: list[Table]

    @property
    def title(self) -> str:
        """The title: suite, data and changed settings, which all its runs share."""
        changed = f", with {self.changed}" if self.changed else ""
        return f"suite {self.suite}, {data_title(self.data)}{changed}"


def sections(records: Iterable[Record]) -> list[Section]:
    """Return the records grouped by suite, data, condition and task."""
    collected = []
    for data_records in _grouped(records, lambda record: _key([record.spec.suite, without_path(record.spec.data)])):
        spec = data_records[0].spec
        by_task = _grouped(sorted(data_records, key=_task), _task)
        tables = sorted((table for group in by_task for table in _tables(group)), key=_changed)  # "" comes first
        for group in _grouped(tables, _changed):
            collected.append(Section(spec.suite, spec.data, group[0].changed, group))
    return _with_controls(_with_labels_of_worlds(collected))


def row_labels(records: Iterable[Record]) -> set[str]:
    """Return the labels of all rows, without those of controls."""
    return labels_of(sections(records))


def labels_of(grouped: Iterable[Section]) -> set[str]:
    """Return the labels of all rows of sections, without those of controls."""
    return {row.label for section in grouped for table in section.tables for row in table.rows}


def records_of_tasks(records: Iterable[Record], tasks: str | Iterable[str] | None) -> list[Record]:
    """Return the records of one or several tasks; all of them for None.

    Raises:
        UsageError: There are no records of a task.
    """
    listed = list(records)
    if tasks is None:
        return listed
    names = [tasks] if isinstance(tasks, str) else list(tasks)
    existing = {record.spec.task for record in listed}
    for name in names:
        if name not in existing:
            raise UsageError(f"there are no records of the task {name}: {did_you_mean(name, existing)}")
    return [record for record in listed if record.spec.task in names]


def across_worlds(collected: Iterable[Section]) -> list[list[tuple[Section, Table]]]:
    """Return tables that differ in the world of their data only (`data.seed`), each with its section.

    Of several tables of one world, which differ in their samples, the one with the most runs counts.

    Returns:
        A list for each task and condition in several worlds, the table with the most runs first.
    """
    places = [(section, table) for section in collected if "seed" in section.data for table in section.tables]
    result = []
    for group in _grouped(places, lambda place: _place_in_worlds(*place)):
        by_world: dict[int, tuple[Section, Table]] = {}
        for section, table in sorted(group, key=lambda place: -len(place[1].records)):
            by_world.setdefault(section.data["seed"], (section, table))
        if len(by_world) > 1:
            result.append([*by_world.values()])
    return result


def _with_labels_of_worlds(collected: list[Section]) -> list[Section]:
    """Return the sections with rows that are named as in the world with the most runs, so that a name says the same."""
    named: dict[int, Table] = {}
    for (_, largest), *smaller in across_worlds(collected):
        named |= {id(table): replace(table, rows=_labelled(table.rows, largest.rows)) for _, table in smaller}
    return [replace(item, tables=[named.get(id(table), table) for table in item.tables]) for item in collected]


def _with_controls(collected: list[Section]) -> list[Section]:
    """Return the sections with control runs moved into the tables of the runs that they belong to."""
    whole = [section for section in collected if not section.data.get("streams")]
    places = {_place_of_controls(section, table) for section in whole for table in section.tables if table.rows}
    controls: dict[bytes, list[Row]] = {}
    failed: dict[bytes, list[Record]] = {}
    only_controls = []
    for section in collected:
        if not (only := section.data.get("streams")):
            continue
        remaining = []
        for table in section.tables:
            if (place := _place_of_controls(section, table)) not in places:
                remaining.append(table)
                continue
            streams = f"{' and '.join(only)} only"
            rows = [replace(row, label=f"control: {row.label}, {streams}") for row in table.rows]
            controls.setdefault(place, []).extend(rows)
            failed.setdefault(place, []).extend(table.failed)
        if remaining:
            only_controls.append(replace(section, tables=remaining))

    def joined(section: Section, table: Table) -> Table:
        place = _place_of_controls(section, table)
        return replace(table, controls=tuple(controls.get(place, ())), failed=[*table.failed, *failed.get(place, ())])

    moved = [replace(section, tables=[joined(section, table) for table in section.tables]) for section in whole]
    return moved + only_controls


def _place_of_controls(section: Section, table: Table) -> bytes:
    """Return a key that a table shares with the table of its control runs."""
    return _key([section.suite, _without(section.data, "streams"), table.task, table.condition])


def _place_in_worlds(section: Section, table: Table) -> bytes:
    """Return a key that a table shares with those of other worlds, which have other samples."""
    condition = {name: value for name, value in table.condition.items() if not name.startswith("data.")}
    return _key([section.suite, _without(section.data, "seed"), table.task, condition])


def _without(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in without_path(data).items() if name != key}


def _tables(records: list[Record]) -> list[Table]:
    """Return the tables of one task on one dataset, one per condition and samples of the runs."""
    data_of_runs = DataOfRuns(records, lambda record: _key(_condition(record)))

    def choice(record: Record) -> dict[str, Any]:
        run_data = data_of_runs.data_of(record)
        return {**_condition(record), **(run_data.source if run_data else {})}

    def samples(record: Record) -> dict[str, str]:
        run_data = data_of_runs.data_of(record)
        return run_data.samples if run_data else {}

    return [
        Table(
            task=_task(group[0]),
            condition={**condition, **splits},
            changed=assignments({**changes, **changed_splits}),
            rows=_rows([record for record in group if record.test_score is not None]),
            failed=[record for record in group if record.test_score is None],
            run_data=data_of_runs.data_of(group[0]),
        )
        for alike, condition, changes in _by_choice(records, choice)
        for group, splits, changed_splits in _by_choice(alike, samples)
    ]


def _rows(records: list[Record]) -> list[Row]:
    """Return the rows of one table."""
    by_method = _grouped(records, lambda record: record.spec.method)
    rows = [
        Row("", settings, alike) for group in by_method for alike, settings, _ in _by_choice(group, method_settings)
    ]
    return _labelled(rows)


def _labelled(rows: Sequence[Row], named: Sequence[Row] = ()) -> list[Row]:
    """Return rows with their labels, by which they differ.

    Args:
        rows: The rows of one table.
        named: Rows of another table whose labels have the same meaning; none for a table by itself.
    """
    result = []
    for group in _grouped(rows, _method):
        method = _method(group[0])
        alike = [row for row in named if _method(row) == method]
        usual = max(alike or group, key=lambda row: len(row.records)).settings
        changes = [_changes(row.settings, usual) for row in group]
        labels = {_key(row.settings): row.label for row in alike}
        whole = [_label(method, item) for item in changes]
        short = [
            labels.get(_key(row.settings)) or _label(method, _without_tuned(item, row.records))
            for row, item in zip(group, changes, strict=True)
        ]
        for row, name, long in zip(group, short, whole, strict=True):
            result.append(replace(row, label=name if short.count(name) == 1 else long))
    return result


def _method(row: Row) -> str:
    return row.records[0].spec.method


def _label(method: str, changes: Mapping[str, Any]) -> str:
    return f"{method} ({assignments(changes)})" if changes else method


def _without_tuned(changes: Mapping[str, Any], group: list[Record]) -> dict[str, Any]:
    """Return the changes of a row, without its learning rates if they were tuned."""
    tuned = all(record.tuned for record in group)
    return {name: value for name, value in changes.items() if not (tuned and name in RATES)}


def _by_choice(
    records: list[Record], choice: Callable[[Record], dict[str, Any]]
) -> list[tuple[list[Record], dict[str, Any], dict[str, Any]]]:
    """Group records by `choice`.

    Returns:
        For each group its records, their choice, and the differences from the most frequent choice, which is the first
        one among equally frequent ones.
    """
    groups = _grouped(records, lambda record: _key(choice(record)))
    choices = [choice(group[0]) for group in groups]
    usual = choices[max(range(len(groups)), key=lambda index: (len(groups[index]), -index))] if groups else {}
    return [(group, chosen, _changes(chosen, usual)) for group, chosen in zip(groups, choices, strict=True)]


def method_settings(record: Record) -> dict[str, Any]:
    """Return the settings of the run's method, including fields of the recipe in `PER_METHOD`."""
    return {**record.spec.settings, **per_method(record.spec.recipe)}


def _condition(record: Record) -> dict[str, Any]:
    """Return the condition of a run as a flat table with the keys of --set.

    It is the specification without suite, task, data, method and seed, plus the scoring rule of the task, if that is
    not the first.
    """
    spec = record.spec
    rule = scoring(record.provenance)
    return {
        **({f"{spec.task}.scoring_rule": rule} if rule > 1 else {}),
        **{f"streams.{name}.{key}": value for name, table in spec.streams.items() for key, value in table.items()},
        **{f"{spec.task}.{key}": value for key, value in spec.task_settings.items()},
        **{f"train.{key}": value for key, value in spec.recipe.items() if key not in PER_METHOD},
    }


def _finite(values: Iterable[float | None]) -> list[float]:
    """Return the finite values; `bench.report.notes` lists the missing ones."""
    return [value for value in values if value is not None and math.isfinite(value)]


def _changes(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that differ from the usual ones."""
    return {key: values.get(key, "unset") for key in {**values, **usual} if values.get(key) != usual.get(key)}


def _task(record: Record) -> str:
    return record.spec.task


def _changed(table: Table) -> str:
    return table.changed


def _key(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Return the items grouped by key, with groups and items in their original order."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
