"""Several files in a results folder that hold records of one run: which of them counts, and what the others are.

Files are copied, by hand and by programs that keep folders alike ("ID (1).json", "ID-LAPTOP.json"), and a run that was
done again leaves its earlier record beside the new one. What a record is of, it says itself; its file's name does not
matter. Copies with equal contents are one record. A run never counts twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import msgspec

from bench.records import provenance
from bench.records.schema import Record, RecordFile

_log = logging.getLogger(__name__)


def one_a_run(records: Mapping[str, Record]) -> list[Record]:
    """Return one record per run: the one in the file named after the run, else the one that ended last.

    Each says in `Record.file` where it lies, and what else there is of its run. Of two records that were made alike and
    still have different contents a warning names the files.

    Args:
        records: by the name of their file without its suffix.
    """
    by_run: dict[str, list[str]] = {}
    for stem, record in records.items():
        by_run.setdefault(record.id, []).append(stem)
    return [_chosen([(stem, records[stem]) for stem in stems]) for stems in by_run.values()]


def _chosen(files: Sequence[tuple[str, Record]]) -> Record:
    """Return the record that counts, of those of one run."""
    stem, record = max(files, key=lambda each: (each[0] == each[1].stem, each[1].finished, each[0]))
    others = {_content(b): (name, b) for name, b in files if b is not record}
    if others:
        others.pop(_content(record), None)
    earlier = [name for name, b in others.values() if _set_aside(name, record) or made_otherwise(record, b)]
    unequal = [name for name, _ in others.values() if name not in earlier]
    for name in unequal:
        _log.warning(
            "%s.json and %s.json hold different records of the same run (%s): %s.json counts",
            *(stem, name, record.label, stem),
        )
    return record.with_file(RecordFile(stem, tuple(earlier), tuple(unequal)))


def made_otherwise(a: Record, b: Record) -> bool:
    """Return whether two records of the same run are of other code, encoders or data, as far as both say it."""
    if b.provenance and provenance.differences(a.provenance, b.provenance):
        return True
    if provenance.scoring(a.provenance) != provenance.scoring(b.provenance):
        return True
    return other_data(a, b)


def other_data(a: Record, b: Record) -> bool:
    """Return whether two records of the same task and recipe are of other samples, as far as both say it."""
    if a.data is None or b.data is None:
        return False
    both_tell = a.data.splits is not None and b.data.splits is not None
    return (
        a.data.fingerprint != b.data.fingerprint
        or a.data.counts != b.data.counts
        or (both_tell and a.data.splits != b.data.splits)
    )


def _set_aside(name: str, record: Record) -> bool:
    """Return whether `bench.records.store.write` gave this name to the earlier record of a run."""
    stem, _, number = name.rpartition("~")
    return stem == record.stem and number.isdecimal()


def _content(record: Record) -> bytes:
    return msgspec.json.encode(record)  # numbers that are none are equal here, as they are not by `==`
