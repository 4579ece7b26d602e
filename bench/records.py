"""Records in a results folder: one JSON file a run, found by its specification, written whole or not at all."""

from __future__ import annotations

import dataclasses
import glob
import itertools
import logging
import os
from pathlib import Path

import msgspec

from bench.copies import made_otherwise, one_a_run
from bench.errors import BenchError
from bench.files import MEBIBYTE, remove_leftovers, write_text
from bench.plan import Spec
from bench.schema import Record, decode, dumps, stem

FOLDER = "records"
CHECKPOINTS = "checkpoints"
_BESIDE = (FOLDER, "predictions", "adapters")  # where more of a run lies than its record, by the same name
_WRITTEN = (CHECKPOINTS, "claims", *_BESIDE[1:])  # folders that runs write to, besides that of the records
_LARGEST = 64 * MEBIBYTE  # bytes of a file
LARGEST = 1e100  # of a number that was measured: means and variances of such numbers are numbers too
_SPEC_KEYS = {field.name for field in dataclasses.fields(Spec)}

_log = logging.getLogger(__name__)


class TornError(BenchError):
    """A record that is cut short or otherwise no JSON, as after a crash of the machine."""


def write(record: Record, results: Path) -> Path:
    """Writes the record below the results folder, whole or not at all, in place of an earlier one of the same run.

    One that was made with other code, encoders or data stays beside it: see `set_aside`.

    Raises:
        OSError: it cannot be written.
    """
    spec = Spec(**record.spec)
    path = _path(results, spec)
    set_aside(results, spec, record)
    write_text(path, dumps(record))
    return path


def set_aside(results: Path, spec: Spec, newer: Record) -> None:
    """Gives the earlier record of a run another name where it must not be written over.

    That is where it was made with other code, encoders or data, or is of a finished run and the newer one of a failed
    one. What lies beside it goes with it, as scores of samples, predictions and the adapter: `NAME.json` becomes
    `NAME~1.json`, or the next number that is free.

    Args:
        results: the results folder.
        spec: the run.
        newer: what is about to be written in its place.

    Raises:
        OSError: it cannot be renamed.
    """
    if not _path(results, spec).is_file():  # a copy by another name stays what it is
        return
    try:
        earlier = of(results, spec)
    except BenchError:  # whole, but of a later version: whoever looked for it has been told
        return
    failed = earlier and earlier.status == "ok" and newer.status == "failed"
    if earlier is None or not (failed or made_otherwise(earlier, newer)):
        return
    name = stem(spec)
    number = next(n for n in itertools.count(1) if not (results / FOLDER / f"{name}~{n}.json").exists())
    aside = f"{name}~{number}"
    adapter = Path(earlier.adapter).with_name(aside).as_posix() if earlier.adapter else None
    write_text(results / FOLDER / f"{aside}.json", dumps(dataclasses.replace(earlier, adapter=adapter)))
    _path(results, spec).unlink()
    for folder in _BESIDE:
        for path in (results / folder).glob(f"{glob.escape(name)}*"):
            if path.name == name or path.name.startswith(f"{name}."):
                path.rename(path.with_name(aside + path.name.removeprefix(name)))


def read(path: Path) -> Record:
    """The record in a file.

    Raises:
        BenchError: the file is no record, or one of a later schema; with the file and the key.
    """
    return _read(str(path))


def _read(place: str) -> Record:
    try:
        with open(place, "rb") as file:  # noqa: PTH123 - for thousands of files making a Path takes as long as reading
            if (size := os.fstat(file.fileno()).st_size) > _LARGEST:
                raise ValueError(f"it has {size:,} bytes, more than the {_LARGEST:,} that a record may have")
            record = decode(file.read(size))
        msgspec.convert(record.spec, Spec)
        if unknown := record.spec.keys() - _SPEC_KEYS:
            raise ValueError(f"unknown in spec: {', '.join(sorted(unknown))}")
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        is_json = not isinstance(error, msgspec.DecodeError) or isinstance(error, msgspec.ValidationError)
        kind = BenchError if is_json else TornError
        raise kind(f"{place} is no readable record: {error}") from error
    return record


def _measured(record: Record) -> list[float]:
    """Numbers that reports average."""
    scores, parameters, throughput = record.scores, record.parameters, record.throughput
    found = list(scores.test.values()) if scores else []
    found += [parameters.percent] if parameters else []
    rates = (
        (throughput.train, throughput.score, throughput.score_unmerged, throughput.score_merged) if throughput else ()
    )
    return found + [rate for rate in rates if rate is not None]


def _check(record: Record, place: str) -> None:
    """Makes sure of what every record has had and reports rely on, which the types do not tell.

    Raises:
        BenchError: it is not so.
    """
    spec, scores = record.spec, record.scores
    of_data = ("source",) if spec["data"].get("source") == "official" else ("source", "version", "seed")
    wanted = [("recipe", spec["recipe"], ("lr_adapter", "lr_head")), ("data", spec["data"], of_data)]
    wanted += [(f"streams.{name}", source, ("model",)) for name, source in spec["streams"].items()]
    for where, table, keys in wanted:
        for key in keys:
            if not isinstance(table.get(key), str | int | float):
                raise BenchError(f"{place} is no readable record: spec.{where}.{key} is no text and no number")
    if scores and scores.test and scores.metric not in scores.test:
        raise BenchError(f"{place} is no readable record: scores.test has no {scores.metric}, the primary one")
    counts = {
        **(vars(record.parameters) if record.parameters else {}),
        **(vars(record.memory) if record.memory else {}),
    }
    if any(isinstance(count, int) and not 0 <= count <= LARGEST for count in counts.values()):
        raise BenchError(f"{place} is no readable record: it has a count of parameters or bytes that cannot be one")
    if any(abs(number) > LARGEST for number in _measured(record)):
        raise BenchError(f"{place} is no readable record: it has a score, percentage or speed above {LARGEST:g}")


def read_all(results: Path) -> list[Record]:
    """A record of each run in a results folder, oldest first, but for trials of `bench tune`: they have no test scores.

    Files that are no records are left out with a warning. Where several hold records of one run, `bench.copies` says
    which counts.
    """
    folder = results / FOLDER
    found: dict[str, Record] = {}
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():  # noqa: PTH208 - as in `_read`
        if not name.endswith(".json"):
            continue
        try:
            place = os.path.join(folder, name)  # noqa: PTH118
            record = _read(place)
            _check(record, place)
        except BenchError as error:
            _log.warning("left out: %s", error)
        else:
            if record.scores is None or record.scores.test:
                found[name.removesuffix(".json")] = record
    return sorted(one_a_run(found), key=lambda record: record.started)


def read_some(results: Path) -> list[Record]:
    """As `read_all`.

    Raises:
        BenchError: there are no records.
    """
    if found := read_all(results):
        return found
    raise BenchError(f"there are no records in {results / FOLDER}: `bench run` makes them")


def of(results: Path, spec: Spec) -> Record | None:
    """The record of a run, if there is one; one that is cut short counts as none, with a warning.

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


def find(results: Path, spec: Spec) -> Path | None:
    """The file that holds the record of this run, if there is one: that of its name, or a copy with its id in the name.

    A record that was set aside is none.
    """
    path = _path(results, spec)
    if path.is_file():
        return path
    copies = (each for each in path.parent.glob(f"*{spec.id}*.json") if f"{spec.id}~" not in each.name)
    return max(copies, key=lambda each: each.stat().st_mtime_ns, default=None)


def check_writable(results: Path) -> None:
    """Makes the results folder and tries to write there; removes what killed processes have left there half written.

    Raises:
        BenchError: that does not work.
    """
    folder = results / FOLDER
    try:
        remove_leftovers(folder)
        for beside in (results, *(path for name in _WRITTEN if (path := results / name).is_dir())):
            remove_leftovers(beside)
    except OSError as error:
        raise BenchError(
            f"the results folder {results} cannot be written: {error}; choose one with --results"
        ) from error


def checkpoint(results: Path, spec: Spec) -> Path:
    """Where a run keeps its state from epoch to epoch."""
    return results / CHECKPOINTS / f"{stem(spec)}.pt"


def _path(results: Path, spec: Spec) -> Path:
    return results / FOLDER / f"{stem(spec)}.json"
