"""Notes below a task's table: conditions, machines, differences that limit comparisons, and failed runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

from bench import registry
from bench.config.describe import assignments
from bench.errors import BenchError
from bench.records.provenance import scoring
from bench.records.schema import Record
from bench.report.formatting import runs
from bench.report.grouping import Row, Table
from bench.report.origins import origins


def notes(table: Table) -> list[str]:
    """Return the notes on a table, as lines of plain text."""
    records = table.records
    lines = [f"All rows: {assignments(table.condition)}"]
    deviations = dict.fromkeys(text for record in records for text in record.spec.deviations)
    lines += [f"Deviation from the published protocol: {text}" for text in deviations]
    environments = [record.environment for record in records if record.environment]
    machines = sorted(
        {
            (f"{environment.processes} x " if (environment.processes or 1) > 1 else "")
            + f"{environment.device} ({environment.threads} threads"
            + (f", {environment.jobs} runs at a time)" if (environment.jobs or 1) > 1 else ")")
            for environment in environments
        }
    )
    if machines:
        warning = ": memory and speed are not comparable between these" if len(machines) > 1 else ""
        lines.append(f"Measured on: {'; '.join(machines)}{warning}")
    if kinds := sorted({record.memory.kind for record in records if record.memory}):
        lines.append(f"Memory: {', '.join(kinds)}")
    lines += skipped_samples(records)
    lines += [f"Scored by an earlier rule of the task: {rule}" for rule in _earlier_rule(table)]
    lines += origins(table)
    if gaps := [f"{record.label}: {', '.join(names)}" for record in records if (names := _not_finite(record))]:
        lines.append(f"Left out because they are not finite: {'; '.join(gaps)}")
    if table.failed:
        reasons = "; ".join(f"{record.label}: {record.failure}" for record in table.failed)
        lines.append(f"{len(table.failed)} failed: {reasons}")
    return lines


def _not_finite(record: Record) -> list[str]:
    """Return the keys of a record's measurements that are not finite."""
    scores, parts = record.scores, ("parameters", "memory", "throughput", "times")
    measured = {part: vars(getattr(record, part)) for part in parts if getattr(record, part)}
    values = {f"{part}.{name}": value for part, values in measured.items() for name, value in values.items()}
    if scores:
        values |= {f"scores.test.{name}": value for name, value in scores.test.items()}
        values |= {f"scores.floors.{name}": value for name, value in scores.floors.items()}
        for split, split_scores in (scores.splits or {}).items():
            values |= {f"scores.splits.{split}.{name}": value for name, value in split_scores.items()}
    return [name for name, value in values.items() if isinstance(value, float) and not math.isfinite(value)]


def skipped_samples(records: Iterable[Record]) -> list[str]:
    """Return one line with the numbers of skipped samples and of the runs; none if no sample was skipped."""
    skipped = Counter(record.data.skipped for record in records if record.data)
    if not any(skipped):
        return []
    counts = ", ".join(f"{count} in {runs(number)}" for count, number in sorted(skipped.items()))
    return [f"Samples skipped because they could not be read: {counts}"]


def _earlier_rule(table: Table) -> Iterator[str]:
    """Yield a line with the scoring rule of a table's runs and today's rule, if they differ."""
    try:
        rules: tuple[str, ...] = getattr(registry.load("tasks", table.task), "scoring_rules", ())
    except BenchError:  # the task no longer exists
        return
    rule = max((scoring(record.provenance) for record in table.records), default=len(rules))
    if rule < len(rules):
        yield f"{rules[rule - 1]}. The current rule is {rules[-1]}, so new runs are not compared with these."


def row_notes(table: Table) -> list[str]:
    """Return one line per row with its settings, and the files of tuned settings that they are from."""
    return [f"{row.label}: {assignments(row.settings)}{_tuned(row)}" for row in table.rows]


def _tuned(row: Row) -> str:
    files = dict.fromkeys(str(record.tuned.get("file")) for record in row.records if record.tuned)
    return f" (settings of {', '.join(files)})" if files else ""
