"""What a method costs, as one JSON file: an efficiency record. It carries no score, and no leaderboard reads it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.config.spec import Spec
from bench.errors import BenchError
from bench.files import MEBIBYTE, name_aside, read_bytes, write_text
from bench.measurement.spread import Spread
from bench.records.checks import check_spec, check_values
from bench.records.schema import PARAMETERS_1, Count, Environment, Ordinal, Parameters, doc, renamed

# ruff: noqa: RUF009 - doc() makes a dataclass field, as dataclasses.field does

SCHEMA = 2
FOLDER = "efficiency"
_LARGEST = 8 * MEBIBYTE  # bytes of a file

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of matrix products and convolutions: a multiplication and an addition are two."""

    train: float = doc("Of a training step, forward and backward, for each of its samples.")
    score: float = doc("Of scoring a sample of the test split.")


@dataclass(frozen=True)
class StepMemory:
    """The memory of a training step, in bytes."""

    kind: str = doc("What `step` is: `cuda allocator`, its peak, or `kept`, what the forward pass keeps for backward.")
    step: Count = doc("Of a step; the peak is that of the method alone, with weights and the optimiser's state.")
    resident: Count = doc("Weights, the optimiser's state and the batch, which are there between steps too.")


@dataclass(frozen=True)
class Speed:
    """Samples a second, without reading data; methods take turns in one process."""

    train: Spread = doc("Training samples a second.")
    score: Spread = doc("Scored samples a second.")
    score_merged: Spread | None = doc("The same with all that can be folded into the encoders; null if nothing can.")


@dataclass(frozen=True)
class Against:
    """How many times as fast, as large and as much work it is as another method, measured by turns with it."""

    method: str = doc("The other method.")
    train: Spread = doc("Training speed, within each round.")
    score: Spread = doc("Scoring speed, likewise.")
    score_merged: Spread | None = doc("Scoring speed when both are merged; null where one of them cannot be.")
    memory: float = doc("Memory of a training step.")
    train_operations: float = doc("Operations of a training step.")
    score_operations: float = doc("Operations of scoring.")


@dataclass(frozen=True)
class Efficiency:
    """What one method costs on one task and device."""

    kind: Literal["efficiency"] = doc("What this file is.")
    schema: int = doc("Version of this schema.")
    id: str = doc("Hash of the specification, the device and the batch size.")
    spec: Spec = doc("The specification, with the keys of `bench.config.spec.Spec`; weights and samples are random.")
    started: str = doc("When it began: UTC, ISO 8601.")
    finished: str = doc("When it ended: UTC, ISO 8601.")
    batch_size: Ordinal = doc("Samples of a step, and of what is scored at a time.")
    rounds: Ordinal = doc("Rounds in which the methods took turns.")
    parameters: Parameters = doc("How many parameters there are.")
    operations: Operations = doc("How much work it is.")
    memory: StepMemory = doc("How much memory it takes.")
    speed: Speed = doc("How fast it is.")
    against: Against = doc("The same, as ratios to another method.")
    environment: Environment = doc("What it ran on.")

    @property
    def stem(self) -> str:
        """What the file is called, without a suffix: task, method, device and id."""
        parts = self.spec.task, self.spec.method, self.environment.device, self.id
        return re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(parts))


def record_id(spec: Spec, device: str, batch_size: int) -> str:
    """12 hex digits that are the same where the same was measured on a device of the same name."""
    return hashlib.sha256(json.dumps([spec.id, device, batch_size]).encode()).hexdigest()[:12]


def write(record: Efficiency, results: Path) -> Path:
    """Writes the record below the results folder, whole or not at all, in place of an earlier one of the same.

    One that this version cannot read, as one of a later version, gets another name.

    Raises:
        OSError: it cannot be written.
    """
    path = results / FOLDER / f"{record.stem}.json"
    if path.is_file():
        try:
            read(path)
        except BenchError as error:
            _log.warning("%s; it gets another name", error)
            path.rename(name_aside(path))
    write_text(path, dumps(record))
    return path


def dumps(record: Efficiency) -> str:
    """Return the text of the record's file."""
    return json.dumps(asdict(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> Efficiency:
    """The record in a file.

    Raises:
        BenchError: it is none of this schema, to the last key.
    """
    try:
        content = _upgraded(msgspec.json.decode(read_bytes(path, _LARGEST)))
        record = msgspec.convert(content, Efficiency)
        check_values(vars(record))
        check_spec(record.spec)
        if record.schema != SCHEMA:
            raise ValueError(f"schema is {record.schema}, and this version of bench reads up to {SCHEMA}")
        if unknown := set(_keys(content)) - set(_keys(asdict(record))):
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BenchError(f"{path} is no efficiency record: {error}") from error
    return record


def _upgraded(content: Any) -> Any:
    """Return the content of a file of schema 1 as of schema 2, and any other as it is."""
    if not isinstance(content, dict) or content.get("schema") != 1 or not isinstance(content.get("parameters"), dict):
        return content
    parameters = renamed(content["parameters"], PARAMETERS_1)
    return content | {"schema": SCHEMA, "parameters": parameters}


def read_all(results: Path) -> list[Efficiency]:
    """The efficiency records of a results folder, oldest first. Files that are none are left out with a warning.

    What was measured counts once, however many files hold it: as the file of its own name says, else the latest. Of
    copies with other contents a warning names the files.
    """
    found: dict[str, tuple[Path, Efficiency]] = {}
    for path in sorted((results / FOLDER).glob("*.json")):
        try:
            record = read(path)
        except BenchError as error:
            _log.warning("left out: %s", error)
            continue
        there = found.setdefault(record.stem, (path, record))
        if there[1] != record:
            first, last = sorted(
                (there, (path, record)), key=lambda each: (each[0].stem == record.stem, each[1].started)
            )
            _log.warning("%s and %s are of the same measurement, and not equal: the latter counts", first[0], last[0])
            found[record.stem] = last
    return sorted((record for _, record in found.values()), key=lambda record: record.started)


def _keys(value: Any, where: str = "") -> Iterable[str]:
    """The keys of nested tables, as in `speed.train.median`."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"{where}{name}"
            yield from _keys(item, f"{where}{name}.")
