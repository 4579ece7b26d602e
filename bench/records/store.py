"""Records in a results folder: one JSON file a run, found by its specification, written whole or not at all."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import logging
import os
from pathlib import Path

import msgspec

from bench.config.spec import Spec
from bench.errors import BenchError, UsageError
from bench.files import MEBIBYTE, name_aside, read_bytes, remove_leftovers, write_text
from bench.records.checks import check, within_limits
from bench.records.copies import made_otherwise, one_a_run
from bench.records.schema import Record, decode, dumps, stem
from bench.text import escape

FOLDER = "records"
CHECKPOINTS = "checkpoints"
_RUN_FOLDERS = (FOLDER, "predictions", "adapters")  # where more of a run lies than its record, by the same name
_WRITTEN = (CHECKPOINTS, "claims", *_RUN_FOLDERS[1:])  # folders that runs write to, besides that of the records
_MAX_BYTES = 8 * MEBIBYTE  # bytes of a file; one with a thousand epochs has a quarter of one

_log = logging.getLogger(__name__)


class TornError(BenchError):
    """A record that is cut short or otherwise no JSON, as after a crash of the machine."""


def write(record: Record, results: Path) -> Path:
    """Write the record below the results folder, whole or not at all, in place of an earlier one of the same run.

    An earlier one that was made with other code, encoders or data stays beside it: see `set_aside`. Measured numbers
    that are too large for `read` are written as those that are not finite.

    Raises:
        OSError: it cannot be written.
    """
    spec = record.spec
    path = _path(results, spec)
    set_aside(results, spec, record)
    write_text(path, dumps(within_limits(record)))
    return path


def set_aside(results: Path, spec: Spec, newer: Record) -> None:
    """Give the earlier record of a run another name where it must not be written over.

    That is where it was made with other code, encoders or data, where it is of a finished run and the newer one of a
    failed one, or of a trial, whose scores are of the validation split, and where this version cannot read it, as one
    of a later version. What lies beside it goes with it, as scores of samples, predictions and the adapter: `NAME.json`
    becomes `NAME~1.json`, or the next number that is free. One that is cut short is written over.

    Args:
        results: the results folder.
        spec: the run.
        newer: what is about to be written in its place.

    Raises:
        OSError: it cannot be renamed.
    """
    path = _path(results, spec)
    if not path.is_file():  # a copy by another name stays what it is
        return
    earlier: Record | None = None
    try:
        earlier = record_of(results, spec)
        if earlier is None or not _to_keep(earlier, newer):
            return
    except BenchError as error:
        _log.warning("%s; it gets another name", error)
    name, aside = path.stem, name_aside(path).stem
    if earlier and earlier.adapter:
        adapter = Path(earlier.adapter).with_name(aside).as_posix()
        write_text(path.with_name(f"{aside}.json"), dumps(dataclasses.replace(earlier, adapter=adapter)))
        path.unlink()
    else:
        path.rename(path.with_name(f"{aside}.json"))
    for folder in _RUN_FOLDERS:
        for companion in (results / folder).glob(f"{glob.escape(name)}*"):
            if companion.name == name or companion.name.startswith(f"{name}."):
                companion.rename(companion.with_name(aside + companion.name.removeprefix(name)))


def _to_keep(earlier: Record, newer: Record) -> bool:
    """Return whether a record of a run holds what a newer one does not."""
    differs = newer.status == "failed" or earlier.is_trial != newer.is_trial
    return (earlier.status == "ok" and differs) or made_otherwise(earlier, newer)


def read(path: Path) -> Record:
    """Return the record in a file.

    Raises:
        BenchError: the file is no record, or one of a later schema; with the file and the key.
    """
    return _read(str(path))


def _read(place: str) -> Record:
    try:
        record = decode(read_bytes(place, _MAX_BYTES))
        check(record)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        is_json = not isinstance(error, msgspec.DecodeError) or isinstance(error, msgspec.ValidationError)
        kind = BenchError if is_json else TornError
        raise kind(f"{escape.line(place)} is no readable record: {error}") from error
    return record


def read_all(results: Path) -> list[Record]:
    """Return a record of each run in a results folder, oldest first, but for trials of `bench tune`.

    Files that are no records are left out with a warning. Where several hold records of one run,
    `bench.records.copies` says which counts. A folder that is not there holds none.

    Raises:
        UsageError: the results folder, or that of its records, is something else.
    """
    folder = results / FOLDER
    for path in (results, folder):
        if os.path.lexists(path) and not path.is_dir():
            raise UsageError(f"{escape.line(str(path))} is no folder, as results lie in: choose one with --results")
    records: dict[str, Record] = {}
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():  # noqa: PTH208 - as in `_read`
        if not name.endswith(".json"):
            continue
        try:
            place = os.path.join(folder, name)  # noqa: PTH118
            record = _read(place)
        except BenchError as error:
            _log.warning("left out: %s", error)
        else:
            if not record.is_trial:
                records[name.removesuffix(".json")] = record
    return sorted(one_a_run(records), key=lambda record: record.started)


def read_some(results: Path) -> list[Record]:
    """As `read_all`.

    Raises:
        UsageError: as there.
        BenchError: there are no records.
    """
    if records := read_all(results):
        return records
    raise BenchError(f"there are no records in {escape.line(str(results / FOLDER))}: `bench run` makes them")


def record_of(results: Path, spec: Spec) -> Record | None:
    """Return the record of a run, if there is one; one that is cut short counts as none, with a warning.

    Raises:
        BenchError: the file is whole but no record that this version reads, and is not to be written over.
    """
    path = find(results, spec)
    if path is None:
        return None
    try:
        record = read(path)
    except TornError as error:
        _log.warning("%s; the run is done again", error)
        return None
    if record.id != spec.id:
        raise BenchError(f"{path} holds the record of another run, {record.label} ({record.id}): rename the file")
    return record


def checksum_of_finished(results: Path, spec: Spec) -> str:
    """Return what tells the record of a run that came to its end from others; "" where there is none."""
    try:
        record = record_of(results, spec)
    except BenchError:
        return ""
    return hashlib.sha256(dumps(record).encode()).hexdigest() if record and record.outcome == "ok" else ""


def find(results: Path, spec: Spec) -> Path | None:
    """Return the file of this run's record, if there is one: that of its name, or a copy with its id in the name.

    A record that was set aside is none.
    """
    path = _path(results, spec)
    if path.is_file():
        return path
    copies = (copy for copy in path.parent.glob(f"*{spec.id}*.json") if f"{spec.id}~" not in copy.name)
    return max(filter(Path.is_file, copies), key=lambda copy: copy.stat().st_mtime_ns, default=None)


def check_writable(results: Path) -> None:
    """Make the results folder and check that it can be written; remove what killed processes left half written.

    Raises:
        BenchError: that does not work.
    """
    folder = results / FOLDER
    try:
        remove_leftovers(folder)
        for companion in (results, *(path for name in _WRITTEN if (path := results / name).is_dir())):
            remove_leftovers(companion)
    except OSError as error:
        raise BenchError(
            f"the results folder {results} cannot be written: {error}; choose one with --results"
        ) from error


def checkpoint(results: Path, spec: Spec) -> Path:
    """Return where a run keeps its state from epoch to epoch."""
    return results / CHECKPOINTS / f"{stem(spec)}.pt"


def _path(results: Path, spec: Spec) -> Path:
    return results / FOLDER / f"{stem(spec)}.json"
