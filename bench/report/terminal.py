"""The tables at the end of a command: one line per run, and means over worlds, if there are several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import fill

from bench.config.reference import REFERENCE
from bench.records.schema import Record
from bench.report.formatting import NONE, number, score
from bench.report.grouping import Section, Table, across_worlds, sections
from bench.report.leaderboard import WORLDS_HEADER, worlds_lines
from bench.report.notes import skipped_samples
from bench.report.over_worlds import NOTE, over_worlds
from bench.report.standings import compute_standings
from bench.report.suite_settings import SuiteSettings
from bench.report.text_table import text_table
from bench.text import escape

_HEADER = ["task", "method", "seed", "status", "metric", "score", "adapter", "head", "%", "train /s", "MB", "s"]

_MEMORY = {
    "cuda allocator": "of what PyTorch has allocated on the GPU",
    "resident size": "of the process, with Python, libraries and samples",
}


def memory_note(records: Iterable[Record]) -> str:
    """Return what the column `MB` is in a line; "" if nothing was measured."""
    kinds = dict.fromkeys(record.memory.kind for record in records if record.memory)
    peaks = " or ".join(_MEMORY.get(kind, f"of the {escape.line(kind)}") for kind in kinds)
    return f"MB: the peak in training, {peaks}; `bench profile` measures a step by itself" if peaks else ""


def run_table(records: Sequence[Record], results: Path | None = None, reference: str = REFERENCE) -> str:
    """Return a table of runs for a terminal, with the floors of each task, and notes below it.

    The notes are settings that differ from the suite's, numbers of skipped samples, and reasons of failures. Runs in
    several worlds have a second table, with means and gains over worlds as the leaderboard has them.

    `adapter` and `head` are trainable parameters, with those in use at the end in parentheses if a method masks some;
    `%` is `adapter` in percent of the streams' parameters; `train /s` is training samples per second, `MB` the peak
    memory in training, and `s` the seconds of the whole run.

    Args:
        records: The runs.
        results: The results folder, of records that do not know theirs.
        reference: Label of the row that gains over worlds are relative to.
    """
    settings, grouped = SuiteSettings(), sections(records)
    parts = [_section(section, settings) for section in grouped]
    if across_worlds(grouped):
        parts += _over_worlds(records, results, reference)
    return "\n\n".join(parts)


def _over_worlds(records: Sequence[Record], results: Path | None, reference: str) -> Iterator[str]:
    """Yield the title and the table of each suite, dataset and condition in several worlds, and how to read them."""
    items = over_worlds(compute_standings(records, results, reference), reference)
    for item in items:
        yield escape.line(f"over worlds: {item.title}")
        yield text_table(WORLDS_HEADER, worlds_lines(item), "llr")
        if sentence := item.left_out():
            yield fill(escape.line(sentence), 120)
    if items:
        yield fill(NOTE, 120)


def _section(section: Section, settings: SuiteSettings) -> str:
    lines = [line for table in section.tables for line in _task_lines(table)]
    failed = [f"{record.label} failed: {record.failure}" for table in section.tables for record in table.failed]
    skipped = [f"{table.task}: {line}" for table in section.tables for line in skipped_samples(table.records)]
    changed = [f"{table.task}: {line}" for table in section.tables if (line := settings.changes(table))]
    notes = ["\n".join(map(escape.line, lines)) for lines in (changed, skipped, failed)]
    parts = [escape.line(section.title), text_table(_HEADER, lines, "llrllr"), *notes]
    return "\n\n".join(filter(None, parts))


def _task_lines(table: Table) -> list[list[str]]:
    lines = [_run_line(table.task, row.label, record) for row in table.rows for record in row.records]
    lines += [_run_line(table.task, record.spec.method, record) for record in table.failed]
    for name, value in table.beneath:
        lines.append([table.task, name, "", "", table.metrics[0], score([value]), *[""] * 6])
    return lines


def _run_line(task: str, method: str, record: Record) -> list[str]:
    """Return the cells of one run, with dashes for what a failed run did not reach."""
    line = [task, method, str(record.spec.seed), record.outcome]
    line += [record.scores.metric if record.scores else NONE]
    line.append(number(record.test_score, ".2f"))
    if parameters := record.parameters:
        masked = parameters.active not in (None, parameters.adapter)
        in_use = f" ({parameters.active:,})" if masked else ""
        line += [f"{parameters.adapter:,}{in_use}", f"{parameters.head:,}", number(parameters.percent, ".2f")]
    else:
        line += [NONE] * 3
    line.append(number(record.throughput.train, ",.1f") if record.throughput else NONE)
    line.append(f"{record.memory.train_peak / 1e6:,.0f}" if record.memory else NONE)
    line.append(number(record.times.total, ",.1f") if record.times else NONE)
    return line
