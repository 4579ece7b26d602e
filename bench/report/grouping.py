"""Which records stand in one table, and which make one row of it.

A table holds one task under one condition: suite, data down to the samples, streams, settings of the task and the
recipe but for what a method may have for itself are equal, so that its rows differ in the method only. A row holds the
seeds of one method with one set of settings. Where a results folder holds several conditions of a task, or several
settings of a method, the most frequent one goes without words and the others say what they change. Learning rates that
were tuned differ from task to task: they are named only where nothing else tells two rows apart, so that a method has
one name on all tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any, TypeVar

import msgspec

from bench.config.describe import assignments, data_title
from bench.config.recipe import PER_METHOD, per_method
from bench.records.provenance import scoring
from bench.records.schema import Record, Scores
from bench.report.held import Held, Seen

RATES = ("lr_adapter", "lr_head")  # what names no row where it was tuned

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """The finished runs of one method with one set of settings; they differ in the seed only."""

    label: str
    settings: dict[str, Any]
    records: list[Record]

    @cached_property
    def primary(self) -> list[float]:
        """The primary test scores of all seeds."""
        return [score for record in self.records if (score := record.test_score) is not None]

    def secondary(self, metric: str) -> list[float]:
        """Another test score of all seeds that have it, as a finite number."""
        return _finite(scores.test.get(metric) for scores in self._scores)

    def measures(self, part: str, name: str) -> list[float]:
        """One measure of all seeds that have it, as a finite number: `measures("memory", "train_peak")`."""
        if (part, name) not in self._measures:
            measured = [getattr(record, part) for record in self.records]
            self._measures[part, name] = _finite(getattr(each, name) for each in measured if each)
        return self._measures[part, name]

    @cached_property
    def _measures(self) -> dict[tuple[str, str], list[float]]:
        """What `measures` was asked for: several forms of the leaderboard ask for the same."""
        return {}

    def of_split(self, split: str, metric: str) -> list[float]:
        """One score on one split, of all seeds that have it, as a finite number."""
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
    """Runs of the same task and condition whose other streams told nothing."""
    held: Held | None = None
    """The data of all runs; None where all failed before it was read."""

    @cached_property
    def records(self) -> list[Record]:
        """All finished runs."""
        return [record for row in self.rows for record in row.records]

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics of the task, the primary one first."""
        scores = [record.scores for record in self.records if record.scores]
        primary = [each.metric for each in scores]
        return list(dict.fromkeys([*primary, *(name for each in scores for name in each.test)]))

    @cached_property
    def splits(self) -> list[str]:
        """The splits that were scored, as the records name them."""
        return list(dict.fromkeys(s for r in self.records if r.scores for s in r.scores.splits or {}))

    @cached_property
    def floors(self) -> dict[str, float]:
        """Primary scores that need not both modalities, by what gets them."""
        return {
            name: value
            for record in self.records
            if record.scores
            for name, value in record.scores.floors.items()
            if math.isfinite(value)
        }

    @cached_property
    def beneath(self) -> list[tuple[str, float]]:
        """Names and primary scores of what stands below the methods and is not ranked: floors and controls."""
        found = [(f"floor: {name}", value) for name, value in self.floors.items()]
        for row in self.controls:
            seeds = len(row.records)
            found.append((f"{row.label}, {seeds} seed{'s' * (seeds > 1)}", fmean(row.primary)))
        return sorted(found, key=lambda each: -each[1])


@dataclass(frozen=True)
class Section:
    """The tables of one suite on one data set that belong together, one a task."""

    suite: str
    data: dict[str, Any]
    changed: str
    tables: list[Table]

    @property
    def title(self) -> str:
        """What all its runs have in common, in words."""
        changed = f", with {self.changed}" if self.changed else ""
        return f"suite {self.suite}, {data_title(self.data)}{changed}"


def sections(records: Iterable[Record]) -> list[Section]:
    """The records by suite, data, condition and task."""
    found = []
    for of_data in _grouped(records, lambda record: _key([record.spec.suite, record.spec.data])):
        spec = of_data[0].spec
        of_tasks = _grouped(sorted(of_data, key=_task), _task)
        tables = sorted((table for of_task in of_tasks for table in _tables(of_task)), key=_changed)  # "" comes first
        for of_change in _grouped(tables, _changed):
            found.append(Section(spec.suite, spec.data, of_change[0].changed, of_change))
    return _with_controls(found)


def _with_controls(found: list[Section]) -> list[Section]:
    """The sections, with controls of one modality moved into the tables of the whole runs that they belong to."""
    whole = [section for section in found if not section.data.get("streams")]
    beside = {_place(section, table) for section in whole for table in section.tables if table.rows}
    controls: dict[bytes, list[Row]] = {}
    failed: dict[bytes, list[Record]] = {}
    alone = []
    for section in found:
        if not (only := section.data.get("streams")):
            continue
        kept = []
        for table in section.tables:
            if (place := _place(section, table)) not in beside:
                kept.append(table)
                continue
            told = f"{' and '.join(only)} only"
            rows = [replace(row, label=f"control: {row.label}, {told}") for row in table.rows]
            controls.setdefault(place, []).extend(rows)
            failed.setdefault(place, []).extend(table.failed)
        if kept:
            alone.append(replace(section, tables=kept))

    def joined(section: Section, table: Table) -> Table:
        place = _place(section, table)
        return replace(table, controls=tuple(controls.get(place, ())), failed=[*table.failed, *failed.get(place, ())])

    moved = [replace(section, tables=[joined(section, table) for table in section.tables]) for section in whole]
    return moved + alone


def _place(section: Section, table: Table) -> bytes:
    """What a table and its controls have in common."""
    data = {name: value for name, value in section.data.items() if name != "streams"}
    return _key([section.suite, data, table.task, table.condition])


def _tables(records: list[Record]) -> list[Table]:
    """The tables of one task on one data set, one for each condition and the samples that the runs saw."""
    seen = Seen(records, lambda record: _key(_condition(record)))

    def choice(record: Record) -> dict[str, Any]:
        held = seen.of(record)
        return {**_condition(record), **(held.source if held else {})}

    def samples(record: Record) -> dict[str, str]:
        held = seen.of(record)
        return held.samples if held else {}

    return [
        Table(
            task=_task(group[0]),
            condition={**condition, **of_splits},
            changed=assignments({**changes, **other_splits}),
            rows=_rows([record for record in group if record.test_score is not None]),
            failed=[record for record in group if record.test_score is None],
            held=seen.of(group[0]),
        )
        for alike, condition, changes in _told_apart(records, choice)
        for group, of_splits, other_splits in _told_apart(alike, samples)
    ]


def _rows(records: list[Record]) -> list[Row]:
    """The rows of one table."""
    rows = []
    for its in _grouped(records, lambda record: record.spec.method):
        method = its[0].spec.method
        told = _told_apart(its, _method_settings)
        whole = [_label(method, changes) for _, _, changes in told]
        short = [_label(method, _without_tuned(changes, group)) for group, _, changes in told]
        for (group, settings, _), name, long in zip(told, short, whole, strict=True):
            rows.append(Row(name if short.count(name) == 1 else long, settings, group))
    return rows


def _label(method: str, changes: Mapping[str, Any]) -> str:
    return f"{method} ({assignments(changes)})" if changes else method


def _without_tuned(changes: Mapping[str, Any], group: list[Record]) -> dict[str, Any]:
    """What a row changes but its learning rates, where they were tuned."""
    tuned = all(record.tuned for record in group)
    return {name: value for name, value in changes.items() if not (tuned and name in RATES)}


def _told_apart(
    records: list[Record], choice: Callable[[Record], dict[str, Any]]
) -> list[tuple[list[Record], dict[str, Any], dict[str, Any]]]:
    """The records by what was chosen for them, with the choice and what it changes of the most frequent one.

    Of several choices as frequent as one another the first counts.
    """
    groups = _grouped(records, lambda record: _key(choice(record)))
    choices = [choice(group[0]) for group in groups]
    usual = choices[max(range(len(groups)), key=lambda index: (len(groups[index]), -index))] if groups else {}
    return [(group, chosen, _changes(chosen, usual)) for group, chosen in zip(groups, choices, strict=True)]


def _method_settings(record: Record) -> dict[str, Any]:
    """The settings of the run's method, and what it has of the recipe for itself."""
    return {**record.spec.settings, **per_method(record.spec.recipe)}


def _condition(record: Record) -> dict[str, Any]:
    """All that a run's specification fixes but suite, task, data, method and seed, flat, with the keys of --set.

    And the scoring rule of its task, where that is not the first.
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
    """Those values that are there and finite: others are gaps, which `bench.report.notes` names."""
    return [value for value in values if value is not None and math.isfinite(value)]


def _changes(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not as usual."""
    return {key: values.get(key, "unset") for key in {**values, **usual} if values.get(key) != usual.get(key)}


def _task(record: Record) -> str:
    return record.spec.task


def _changed(table: Table) -> str:
    return table.changed


def _key(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """The items with equal keys together, all in the order in which they come."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
