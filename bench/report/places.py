"""The place of each record in a leaderboard: its section and row."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records.schema import Record
from bench.report.grouping import sections


def places(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return the title of each record's section and the label of its row, or the method's name if the run failed.

    A table of the leaderboard is one task of a section: records of one task with equal titles and labels form a row.
    """
    by_record: dict[int, tuple[str, str]] = {}
    for section in sections(records):
        for table in section.tables:
            for row in (*table.rows, *table.controls):
                by_record |= {id(record): (section.title, row.label) for record in row.records}
            by_record |= {id(record): (section.title, record.spec.method) for record in table.failed}
    return [by_record[id(record)] for record in records]
