"""What a run measured, as one JSON file: the schema, with a sentence for each key, and reading and writing it.

Old files stay readable. A key that is added later needs a default; any other change of the schema raises `SCHEMA`,
and `read` then converts what older versions wrote.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import re
from dataclasses import MISSING, asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args

import msgspec

from bench import settings
from bench.errors import BenchError
from bench.files import MEBIBYTE, remove_unfinished
from bench.plan import Spec
from bench.recipe import PER_METHOD

# ruff: noqa: RUF009 - doc() makes a dataclass field, as dataclasses.field does

SCHEMA = 1
FOLDER = "records"
CHECKPOINTS = "checkpoints"
_LARGEST = 64 * MEBIBYTE  # bytes of a file
LARGEST = 1e100  # of a number that was measured: means and variances of such numbers are numbers too

_log = logging.getLogger(__name__)


class TornError(BenchError):
    """A record that is cut short or otherwise no JSON, as after a crash of the machine."""


def now() -> str:
    """The time as records tell it: UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def doc(text: str, default: Any = MISSING) -> Any:
    """A dataclass field with a sentence that says what it holds."""
    return dataclasses.field(default=default, metadata={"doc": text})


@dataclass(frozen=True)
class Epoch:
    """One epoch of training, as the validation split saw it."""

    epoch: int = doc("Number of the epoch, from 1.")
    step: int = doc("Optimiser steps taken by its end.")
    train_loss: float = doc("Mean loss over the epoch's training samples.")
    scores: dict[str, float] = doc("Scores on the validation split, by metric.")


@dataclass(frozen=True)
class Scores:
    """How well the run did."""

    metric: str = doc("The primary metric: it picks the best epoch and ranks the methods; higher is better.")
    validation: list[Epoch] = doc("The validation curve, an entry an epoch.")
    best_epoch: int = doc("The epoch with the best primary score on the validation split, which was scored on test.")
    test: dict[str, float] = doc("Scores over all samples of the test splits, by metric, in percent; a trial has none.")
    test_samples: int = doc("Number of items that the test scores are averaged over.")
    floors: dict[str, float] = doc("Primary test scores that need not both modalities, by what gets them.")
    splits: dict[str, dict[str, float]] | None = doc("Scores of each split that was scored, validation too.", None)
    repeated: float | None = doc("Largest difference of a validation sample scored again after training.", None)


@dataclass(frozen=True)
class Parameters:
    """How many parameters the run has."""

    adapter: int = doc("Trained parameters of the method.")
    head: int = doc("Trained parameters of the task's head.")
    trainable: int = doc("All trained parameters.")
    total: int = doc("All parameters, trained or frozen.")
    streams: int = doc("Parameters of the streams' encoders, without what the method added.")
    percent: float = doc("The method's trained parameters in percent of the streams'.")
    effective: int | None = doc("Of the method's trained parameters those in use at the end; AdaLoRA masks some.", None)
    idle: int | None = doc("Trained parameters in tensors that no gradient ever reached.", None)


@dataclass(frozen=True)
class Memory:
    """The most memory the run held, in bytes."""

    kind: str = doc("What was measured: `cuda allocator` or `resident size`.")
    train_peak: int = doc("Peak while training, in bytes.")
    score_peak: int = doc("Peak while scoring the test split, in bytes.")


@dataclass(frozen=True)
class Throughput:
    """How fast the run was, in samples per second: medians after a warm-up."""

    train: float = doc("Training samples per second.")
    score: float = doc("Scored samples per second.")
    score_unmerged: float | None = doc("The same, over a few batches, before the method is merged.", None)
    score_merged: float | None = doc(
        "The same once what can be is folded into the encoders; null if nothing can.", None
    )


@dataclass(frozen=True)
class Times:
    """Wall time of each phase, in seconds."""

    data: float = doc("Preparing and loading the data.")
    model: float = doc("Loading the streams and attaching the method.")
    train: float = doc("Training, with the validation after each epoch.")
    score: float = doc("Scoring the test split.")
    total: float = doc("The whole run.")
    resumed: int | None = doc("Epochs that were done before the run was killed and begun again.", None)
    epochs: list[float] | None = doc("Of the seconds of training, those gone by at the end of each epoch.", None)


@dataclass(frozen=True)
class DataInfo:
    """The data that the run saw."""

    source: str = doc("`generated` or `official`.")
    fingerprint: str = doc("Checksum of what was read: equal for equal data.")
    counts: dict[str, int] = doc("Number of samples, by split.")
    skipped: int = doc("Samples left out because their files could not be read.")


@dataclass(frozen=True)
class Environment:
    """The machine and the software that the run was measured on."""

    python: str = doc("Version of Python.")
    platform: str = doc("Operating system and processor.")
    device: str = doc("The device that computed.")
    threads: int = doc("Threads that one operation may use on the CPU.")
    versions: dict[str, str] = doc("Versions of the installed packages that matter, by name.")
    commit: str | None = doc("Git commit of the checkout that ran; null where the package is installed otherwise.")
    dirty: bool | None = doc("Whether that checkout held changes that are not committed, other than in results/.")
    jobs: int | None = doc("Runs that the command did at a time, which share the machine.", None)
    processes: int | None = doc("Processes that did the run together, each on a device like this one.", None)


@dataclass(frozen=True)
class Record:
    """What one run measured. Parts that a failed run did not come to are null."""

    schema: int = doc("Version of this schema.")
    id: str = doc("Hash of the specification: equal for equal runs.")
    spec: dict[str, Any] = doc("The specification, with the keys of `bench.plan.Spec`.")
    status: Literal["ok", "failed"] = doc("Whether the run came to its end.")
    reason: str | None = doc("Why it failed, in one line.")
    traceback: str | None = doc("Where it failed, for a bug report.")
    started: str = doc("When the run began: UTC, ISO 8601.")
    finished: str = doc("When the run ended: UTC, ISO 8601.")
    scores: Scores | None = doc("How well it did.")
    parameters: Parameters | None = doc("How many parameters it has.")
    memory: Memory | None = doc("How much memory it took.")
    throughput: Throughput | None = doc("How fast it was.")
    times: Times | None = doc("How long each phase took.")
    data: DataInfo | None = doc("What data it saw.")
    environment: Environment | None = doc("What it ran on.")
    adapter: str | None = doc("Folder of the saved adapter within the results folder; null where none was saved.", None)
    step: int | None = doc("Of a run that failed in training, the optimiser steps that it had done.", None)
    tuned: dict[str, Any] | None = doc(
        "The file of --settings: `file`, `sha256`, and what it says of its tuning.", None
    )

    @classmethod
    def failed(
        cls, spec: Spec, started: str, reason: str | None = None, environment: Environment | None = None
    ) -> Record:
        """The record of a run that measured nothing; it finished when it began, until told otherwise."""
        nothing = dict.fromkeys(("traceback", "scores", "parameters", "memory", "throughput", "times", "data"))
        return cls(
            schema=SCHEMA,
            id=spec.id,
            spec=asdict(spec),
            status="failed",
            reason=reason,
            started=started,
            finished=started,
            environment=environment,
            **nothing,
        )

    @property
    def label(self) -> str:
        """The run in a few words, as in "ave lora seed 0"."""
        return Spec(**self.spec).label

    @property
    def stem(self) -> str:
        """What the run's files and folders are called, without a suffix."""
        return _stem(self.spec["task"], self.spec["method"], self.spec["seed"], self.id)


def dumps(record: Record) -> str:
    """The record as JSON. Numbers that are not finite become null, since JSON has none."""
    return json.dumps(_plain(asdict(record)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write(record: Record, results: Path) -> Path:
    """Writes the record below the results folder, whole or not at all, in place of an earlier one of the same run.

    Raises:
        OSError: it cannot be written.
    """
    path = _path(results, Spec(**record.spec))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path)
    write_text(path, dumps(record))
    return path


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all: readers see what was there before or all of `text`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
            record = _decode(file.read(size))
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
    wanted = [("recipe", spec["recipe"], PER_METHOD), ("data", spec["data"], of_data)]
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
    """All records of a results folder, oldest first, but for trials of `bench tune`, which have no test scores.

    Files that are no records are left out with a warning.
    """
    folder = results / FOLDER
    found = []
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
                found.append(record)
    return sorted(found, key=lambda record: record.started)


def of(results: Path, spec: Spec) -> Record | None:
    """The record of a run, if there is one; one that is cut short counts as none, with a warning.

    Raises:
        BenchError: the file is whole but no record that this version reads, and is not to be written over.
    """
    path = find(results, spec)
    try:
        return read(path) if path else None
    except TornError as error:
        _log.warning("%s; the run is done again", error)
        return None


def find(results: Path, spec: Spec) -> Path | None:
    """The file that holds the record of this run, if there is one."""
    path = _path(results, spec)
    return path if path.is_file() else None


def check_writable(results: Path) -> None:
    """Makes the results folder and tries to write there.

    Raises:
        BenchError: that does not work.
    """
    folder = results / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BenchError(
            f"the results folder {results} cannot be written: {error}; choose one with --results"
        ) from error


def checkpoint(results: Path, spec: Spec) -> Path:
    """Where a run keeps its state from epoch to epoch."""
    return results / CHECKPOINTS / f"{stem(spec)}.pt"


def stem(spec: Spec) -> str:
    """What the run's files and folders are called, without a suffix."""
    return _stem(spec.task, spec.method, spec.seed, spec.id)


def _stem(task: str, method: str, seed: int, run_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", f"{task}-{method}-s{seed}-{run_id}")


def _path(results: Path, spec: Spec) -> Path:
    return results / FOLDER / f"{stem(spec)}.json"


def _plain(value: Any) -> Any:
    """`value` in what JSON can hold. Anything is better than to lose what a run measured."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)  # numbers of numpy and torch have item()


@dataclass(frozen=True)
class _Versioned:
    schema: Any = None


_VERSIONED = msgspec.json.Decoder(_Versioned)
_RECORD = msgspec.json.Decoder(Record)
_SPEC_KEYS = {field.name for field in dataclasses.fields(Spec)}


def _decode(content: bytes) -> Record:
    """The record in a file's bytes."""
    try:
        record = _RECORD.decode(content)
        if record.schema == SCHEMA:
            return record
    except msgspec.ValidationError:
        pass
    schema = _VERSIONED.decode(content).schema
    if schema != SCHEMA:
        raise ValueError(f"schema is {schema}, and this version of bench reads {SCHEMA}")
    return msgspec.convert(_with_nan(json.loads(content), Record), Record)


def _with_nan(value: Any, hint: Any) -> Any:
    """`value` of a JSON file with NaN where null stands for a number that was not finite."""
    args = get_args(hint)
    if hint is float and value is None:
        return math.nan
    if NoneType in args:
        return None if value is None else _with_nan(value, args[0])
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = settings.hints(hint)  # type: ignore[arg-type]  # mypy does not see that it is a class
        return {name: _with_nan(item, hints.get(name, Any)) for name, item in value.items()}
    if isinstance(value, dict) and len(args) == 2:
        return {name: _with_nan(item, args[1]) for name, item in value.items()}
    if isinstance(value, list) and args:
        return [_with_nan(item, args[0]) for item in value]
    return value
