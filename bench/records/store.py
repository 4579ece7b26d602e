"""Records in a results folder: one JSON file per run, named after its specification and written atomically."""

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
from bench.records.copies import one_per_run, origin_differs
from bench.records.record_file import RecordFile
from bench.records.schema import Record, decode, dumps, stem
from bench.text import escape

FOLDER = "records"
CHECKPOINTS = "checkpoints"
TRIALS = "tuning"
"""Results folder of the trials of `bench tune`, within that of the runs; their records have no test scores."""
_RUN_FOLDERS = (FOLDER, "predictions", "adapters")  # with files of a run, all of the same name
_WRITTEN_FOLDERS = (CHECKPOINTS, "claims", *_RUN_FOLDERS[1:])  # that runs write to, besides the one of the records
_MAX_BYTES = 8 * MEBIBYTE  # of a file; a record with a thousand epochs takes 0.25 MiB

_log = logging.getLogger(__name__)


class TornError(BenchError):
    """A record that is truncated or otherwise not JSON, for example after a crash of the machine."""


def write(record: Record, results: Path) -> Path:
    """Write the record into the results folder atomically, replacing an earlier record of the same run.

    An earlier record with different code, encoders or data is kept beside it: see `set_aside`. Measured numbers that
    are too large for `read` are written as null, like those that are not finite.

    Args:
        record: The record.
        results: The results folder.

    Returns:
        The file.

    Raises:
        OSError: The file cannot be written.
    """
    spec = record.spec
    path = _path(results, spec)
    set_aside(results, spec, record)
    write_text(path, dumps(within_limits(record)))
    return path


def set_aside(results: Path, spec: Spec, newer: Record) -> None:
    """Rename the earlier record of a run if it must not be overwritten.

    This applies if it has different code, encoders or data; if it is of a completed run and the newer record is of a
    failed one; if only one of the two is a trial, with validation scores only; and if this version cannot read it,
    for example because a later version wrote it. `NAME.json` becomes `NAME~1.json`, or the next free number, and so do
    the per-sample scores, the predictions and the adapter of the run. A truncated record is overwritten.

    Args:
        results: The results folder.
        spec: Specification of the run.
        newer: The record that is about to be written.

    Raises:
        OSError: A file cannot be renamed.
    """
    path = _path(results, spec)
    if not path.is_file():  # a copy with another name is not overwritten
        return
    earlier: Record | None = None
    try:
        earlier = record_of(results, spec)
        if earlier is None or not _must_be_kept(earlier, newer):
            return
    except BenchError as error:
        _log.warning("%s; the file is renamed", error)
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


def _must_be_kept(earlier: Record, newer: Record) -> bool:
    """Return whether an earlier record of a run contains results that a newer one does not replace."""
    lacks_results = newer.status == "failed" or earlier.is_trial != newer.is_trial
    return (earlier.status == "ok" and lacks_results) or origin_differs(earlier, newer)


def read(path: Path) -> Record:
    """Return the record in a file.

    Raises:
        BenchError: The file is not a record, or its schema is a later one; the message names the file and the key.
    """
    return _read(str(path))


def _read(place: str) -> Record:
    try:
        record = decode(read_bytes(place, _MAX_BYTES))
        check(record)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        is_json = not isinstance(error, msgspec.DecodeError) or isinstance(error, msgspec.ValidationError)
        kind = BenchError if is_json else TornError
        raise kind(f"{escape.line(place)} is not a readable record: {error}") from error
    return record


def read_all(results: Path, *, trials: bool = False) -> list[Record]:
    """Return one record per run in a results folder, oldest first, without trials of `bench tune`, or with them.

    Files that are not records are left out with a warning. If several files are records of one run,
    `bench.records.copies` selects the one that counts. A missing folder has no records.

    Raises:
        UsageError: The results folder, or its folder of records, is not a folder.
    """
    folder = results / FOLDER
    for path in (results, folder):
        if os.path.lexists(path) and not path.is_dir():
            raise UsageError(f"{escape.line(str(path))} is not a folder: choose a results folder with --results")
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
            if trials or not record.is_trial:
                records[name.removesuffix(".json")] = record
    return sorted(one_per_run(records, results), key=lambda record: record.started)


def check_exists(results: Path) -> None:
    """Check that there is a results folder, of whatever content.

    Raises:
        UsageError: There is none.
    """
    if not os.path.lexists(results):
        raise UsageError(f"there is no results folder {escape.line(str(results))}: choose one with --results")


def read_existing(results: Path) -> list[Record]:
    """Return the same as `read_all`, but at least one record.

    Raises:
        UsageError: There is no results folder, or it or its folder of records is not a folder.
        BenchError: There are no records.
    """
    check_exists(results)
    if records := read_all(results):
        return records
    raise BenchError(f"there are no records in {escape.line(str(results / FOLDER))}: `bench run` makes them")


def record_of(results: Path, spec: Spec) -> Record | None:
    """Return the record of a run; None, with a warning, if it is truncated, and None if there is none.

    Raises:
        BenchError: The file is complete, but this version cannot read it; it must not be overwritten.
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
        raise BenchError(f"{path} is the record of another run, {record.label} ({record.id}): rename the file")
    return record.with_file(RecordFile(path.stem, results=results))


def checksum_of_finished(results: Path, spec: Spec) -> str:
    """Return a checksum of the record of a run if it completed with a finite score, otherwise ""."""
    try:
        record = record_of(results, spec)
    except BenchError:
        return ""
    return hashlib.sha256(dumps(record).encode()).hexdigest() if record and record.outcome == "ok" else ""


def find(results: Path, spec: Spec) -> Path | None:
    """Return the file of a run's record: the one named after the run, else the newest copy with its id in the name.

    Returns:
        The file; None if there is none. A record that was set aside does not count.
    """
    path = _path(results, spec)
    if path.is_file():
        return path
    copies = (copy for copy in path.parent.glob(f"*{spec.id}*.json") if f"{spec.id}~" not in copy.name)
    return max(filter(Path.is_file, copies), key=lambda copy: copy.stat().st_mtime_ns, default=None)


def check_writable(results: Path) -> None:
    """Make the results folder, check that it is writable, and remove partly written files of killed processes.

    Raises:
        BenchError: The folder cannot be written.
    """
    folder = results / FOLDER
    try:
        remove_leftovers(folder)
        for companion in (results, *(path for name in _WRITTEN_FOLDERS if (path := results / name).is_dir())):
            remove_leftovers(companion)
    except OSError as error:
        raise BenchError(
            f"the results folder {results} cannot be written: {error}; choose one with --results"
        ) from error


def checkpoint(results: Path, spec: Spec) -> Path:
    """Return the file of a run's training state, which is written after each epoch."""
    return results / CHECKPOINTS / f"{stem(spec)}.pt"


def _path(results: Path, spec: Spec) -> Path:
    return results / FOLDER / f"{stem(spec)}.json"
