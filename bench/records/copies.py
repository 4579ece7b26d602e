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
from bench.records.schema import Kept, Record

_log = logging.getLogger(__name__)


def one_a_run(found: Mapping[str, Record]) -> list[Record]:
    """The record of every run that counts: the one in the file named after the run, else the one that ended last.

    Each says in `Record.kept` where it lies, and what else there is of its run. Of two records that were made alike and
    still have different contents a warning names the files.

    Args:
        found: records by the name of their file without its suffix.
    """
    by_run: dict[str, list[str]] = {}
    for stem, record in found.items():
        by_run.setdefault(record.id, []).append(stem)
    return [_chosen([(stem, found[stem]) for stem in stems]) for stems in by_run.values()]


def _chosen(files: Sequence[tuple[str, Record]]) -> Record:
    """The record that counts, of those of one run."""
    stem, record = max(files, key=lambda each: (each[0] == each[1].stem, each[1].finished, each[0]))
    others = {_content(other): (name, other) for name, other in files if other is not record}
    if others:
        others.pop(_content(record), None)
    earlier = [name for name, other in others.values() if _set_aside(name, record) or made_otherwise(record, other)]
    unequal = [name for name, _ in others.values() if name not in earlier]
    for name in unequal:
        _log.warning(
            "%s.json and %s.json hold different records of the same run (%s): %s.json counts",
            *(stem, name, record.label, stem),
        )
    return record.lying(Kept(stem, tuple(earlier), tuple(unequal)))


def made_otherwise(one: Record, other: Record) -> bool:
    """Whether two records of the same run are of other code, encoders or data, as far as both say it."""
    if other.provenance and provenance.differences(one.provenance, other.provenance):
        return True
    if provenance.scoring(one.provenance) != provenance.scoring(other.provenance):
        return True
    return other_data(one, other)


def other_data(one: Record, other: Record) -> bool:
    """Whether two records of the same task and recipe are of other samples, as far as both say it."""
    if one.data is None or other.data is None:
        return False
    both_tell = one.data.splits is not None and other.data.splits is not None
    return (
        one.data.fingerprint != other.data.fingerprint
        or one.data.counts != other.data.counts
        or (both_tell and one.data.splits != other.data.splits)
    )


def _set_aside(name: str, record: Record) -> bool:
    """Whether `bench.records.store.write` gave this name to the earlier record of a run."""
    stem, _, number = name.rpartition("~")
    return stem == record.stem and number.isdecimal()


def _content(record: Record) -> bytes:
    return msgspec.json.encode(record)  # numbers that are none are equal here, as they are not by `==`
