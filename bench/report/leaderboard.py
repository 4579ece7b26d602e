"""The leaderboard: all records of a results folder as Markdown, a table a task and one over all tasks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.records import FOLDER, Record, read_all, write_text
from bench.report.groups import REFERENCE, Row, Section, Table, sections
from bench.report.multi_task import multi_task_tables
from bench.report.words import NONE, assignments, average, data_title, escape, markdown, score

_LEGEND = f"""Scores are those of all test samples at the epoch that is best on validation, as mean ± sample standard
deviation over seeds. A gain is in points over the mean of {REFERENCE}, and in percent of it. Parameters are those
trained, of which some methods mask a part: the rest is in use at the end. Their percentage is the method's in those of
the streams. Memory is the peak in MB, speed in samples per second; merged is how many times as fast scoring is once the
method is folded into the encoders as far as it goes. A floor is what needs not both modalities: a constant answer, or
an oracle of one of them."""

_MEASURES = (  # heading, part of the record, its key, unit, format
    ("adapter", "parameters", "adapter", 1, ",.0f"),
    ("in use", "parameters", "effective", 1, ",.0f"),
    ("head", "parameters", "head", 1, ",.0f"),
    ("% of streams", "parameters", "percent", 1, ".2f"),
    ("train MB", "memory", "train_peak", 1e6, ",.0f"),
    ("score MB", "memory", "score_peak", 1e6, ",.0f"),
    ("train /s", "throughput", "train", 1, ",.1f"),
    ("score /s", "throughput", "score", 1, ",.1f"),
)


def write_leaderboard(results: Path) -> Path:
    """Writes `leaderboard.md` from all the records of a results folder, whole or not at all.

    Raises:
        BenchError: there are no records, or the file cannot be written.
    """
    records = read_all(results)
    if not records:
        raise BenchError(f"there are no records in {results / FOLDER}: `bench run` makes them")
    path = results / "leaderboard.md"
    try:
        write_text(path, leaderboard(records))
    except OSError as error:
        raise BenchError(f"the leaderboard cannot be written: {error}") from error
    return path


def leaderboard(records: Sequence[Record]) -> str:
    """The records as Markdown. Tables never mix suites, data sources, recipes or settings."""
    failed = sum(record.status != "ok" for record in records)
    counts = f"{len(records)} runs, {failed or 'none'} of them failed. Written by `bench leaderboard`."
    parts = ["# Leaderboard", counts, _LEGEND]
    for section in sections(records):
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    title = f"suite {escape(section.suite)}, {escape(data_title(section.data))}"
    changed = f", with {escape(section.changed)}" if section.changed else ""
    parts = [f"## {title[0].upper()}{title[1:]}{changed}"]
    for table in section.tables:
        parts.append(f"### {escape(table.task)}: {title}{changed}")
        if table.rows:
            parts.append(_task_table(table))
            if len(table.splits) > 2:
                parts.append(_splits_table(table))
        parts.append("\n".join(f"- {escape(line)}" for line in _notes(table)))
    for heading, lines in multi_task_tables(section):
        parts += [f"### {escape(heading)}: {title}{changed}", lines]
    if len(section.tables) > 1:
        parts += [f"### All tasks: {title}{changed}", _overall_table(section)]
    return parts


def _task_table(table: Table) -> str:
    primary, *others = table.metrics
    gains = table.gains()
    header = ["method", primary, "seeds", "gain", "gain %", *(measure[0] for measure in _MEASURES), "merged", *others]
    ranked = sorted(table.rows, key=lambda row: statistics.fmean(row.primary), reverse=True)
    lines = [_line(row, others, gains.get(row.label)) for row in ranked]
    for name, value in sorted(table.floors.items(), key=lambda floor: -floor[1]):
        lines.append([f"floor: {name}", score([value]), *[""] * (len(header) - 2)])
    return markdown(header, lines)


_SPLIT_METRICS = 3  # so many of a task's metrics are shown for each split


def _splits_table(table: Table) -> str:
    """Methods by splits, each under its own name."""
    columns = [(split, metric) for metric in table.metrics[:_SPLIT_METRICS] for split in table.splits]
    lines = [
        [row.label, *(score(row.of_split(split, metric), with_deviation=True) for split, metric in columns)]
        for row in table.rows
    ]
    return markdown(["method", *(f"{metric} {split}" for split, metric in columns)], lines)


def _line(row: Row, others: Sequence[str], gain: tuple[float, float] | None) -> list[str]:
    return [
        row.label,
        score(row.primary, with_deviation=True),
        str(len(row.records)),
        *_gain(gain),
        *(
            average([value / unit for value in row.measures(part, name)], pattern)
            for _, part, name, unit, pattern in _MEASURES
        ),
        _merged(row),
        *(score(row.secondary(metric), with_deviation=True) for metric in others),
    ]


def _merged(row: Row) -> str:
    speeds = [record.throughput for record in row.records if record.throughput]
    ratios = [
        speed.score_merged / speed.score_unmerged for speed in speeds if speed.score_merged and speed.score_unmerged
    ]
    return f"{average(ratios, '.2f')}x" if ratios else NONE


def _gain(gain: tuple[float, float] | None) -> list[str]:
    return [NONE, NONE] if gain is None else [f"{gain[0]:+.2f}", f"{gain[1]:+.1f}"]


def _overall_table(section: Section) -> str:
    """Methods by tasks; with means for methods that were measured on every task only, since others do not compare."""
    tables = section.tables
    rows = [{row.label: row for row in table.rows} for table in tables]
    gains = [table.gains() for table in tables]
    lines: list[tuple[float, list[str]]] = []
    for label in dict.fromkeys(label for of_task in rows for label in of_task):
        scores = [of_task[label].primary if label in of_task else [] for of_task in rows]
        means = [statistics.fmean(values) for values in scores if values]
        complete = len(means) == len(tables)
        gain = None
        if complete and all(label in of_task for of_task in gains):
            points, percents = zip(*(of_task[label] for of_task in gains), strict=True)
            gain = statistics.fmean(points), statistics.fmean(percents)
        cells = [score(values, with_deviation=True) for values in scores]
        mean = [statistics.fmean(means)] if complete else []
        lines.append((mean[0] if mean else -math.inf, [label, *cells, score(mean), *_gain(gain)]))
    lines.sort(key=lambda line: line[0], reverse=True)
    columns = [" ".join([table.task, *table.metrics[:1]]) for table in tables]
    return markdown(["method", *columns, "mean", "mean gain", "mean gain %"], [cells for _, cells in lines])


def _notes(table: Table) -> list[str]:
    """What the table was measured with and on, what does not compare, and what failed."""
    notes = [f"{row.label}: {assignments(row.settings)}" for row in table.rows]
    notes.append(f"All rows: {assignments(table.condition)}")
    records = table.records
    environments = [record.environment for record in records if record.environment]
    machines = sorted({f"{environment.device} ({environment.threads} threads)" for environment in environments})
    if machines:
        warning = ": memory and speed do not compare between these" if len(machines) > 1 else ""
        notes.append(f"Measured on: {'; '.join(machines)}{warning}")
    fingerprints = {record.data.fingerprint for record in records if record.data}
    if len(fingerprints) > 1:
        notes.append(
            f"The data was not the same in all runs: {len(fingerprints)} fingerprints. Scores may not compare."
        )
    if table.failed:
        reasons = "; ".join(f"{record.label}: {record.reason}" for record in table.failed)
        notes.append(f"{len(table.failed)} failed: {reasons}")
    return notes
