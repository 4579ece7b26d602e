"""Selection of one record per run, where a results folder has several files with records of the same run.

Files are copied by hand and by programs that synchronize folders ("ID (1).json", "ID-LAPTOP.json"), and a repeated run
leaves its earlier record beside the new one. A record itself names its run; the name of its file does not matter.
Copies with equal contents are one record. A run never counts twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bench.records import provenance
from bench.records.record_file import RecordFile
from bench.records.schema import Record

_log = logging.getLogger(__name__)


def one_per_run(records: Mapping[str, Record], results: Path) -> list[Record]:
    """Return one record per run: the one in the file named after the run, else the one that ended last.

    `Record.file` names its file and the other records of the run. If code, encoders and data of two records agree but
    their contents differ, a warning names both files.

    Args:
        records: Records by the stem of their file.
        results: The results folder of all of them.
    """
    by_run: dict[str, list[str]] = {}
    for stem, record in records.items():
        by_run.setdefault(record.id, []).append(stem)
    return [_chosen([(stem, records[stem]) for stem in stems], results) for stems in by_run.values()]


def _chosen(files: Sequence[tuple[str, Record]], results: Path) -> Record:
    """Return the record that counts among those of one run."""
    stem, record = max(files, key=lambda file: (file[0] == file[1].stem, file[1].finished, file[0]))
    duplicates = {_content(b): (name, b) for name, b in files if b is not record}
    if duplicates:
        duplicates.pop(_content(record), None)
    earlier = [name for name, b in duplicates.values() if _is_set_aside(name, record) or origin_differs(record, b)]
    unequal = [name for name, _ in duplicates.values() if name not in earlier]
    for name in unequal:
        _log.warning(
            "%s.json and %s.json are different records of the same run (%s): %s.json counts",
            *(stem, name, record.label, stem),
        )
    return record.with_file(RecordFile(stem, tuple(earlier), tuple(unequal), results))


def origin_differs(a: Record, b: Record) -> bool:
    """Return whether code, encoders or data of two records of the same run differ, as far as both record them."""
    if b.provenance and provenance.differences(a.provenance, b.provenance):
        return True
    if provenance.scoring(a.provenance) != provenance.scoring(b.provenance):
        return True
    return data_differs(a, b)


def data_differs(a: Record, b: Record) -> bool:
    """Return whether the samples of two records of the same task and recipe differ, as far as both record them."""
    if a.data is None or b.data is None:
        return False
    have_splits = a.data.splits is not None and b.data.splits is not None
    return (
        a.data.fingerprint != b.data.fingerprint
        or a.data.counts != b.data.counts
        or (have_splits and a.data.splits != b.data.splits)
    )


def _is_set_aside(name: str, record: Record) -> bool:
    """Return whether `bench.records.store.write` gave this name to the earlier record of a run."""
    stem, _, number = name.rpartition("~")
    return stem == record.stem and number.isdecimal()


def _content(record: Record) -> bytes:
    return msgspec.json.encode(record)  # unlike with `==`, NaN is equal to NaN
