"""Efficiency records: the costs of a method, one JSON file each. They have no scores.

Leaderboards do not read them.
"""

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
from bench.files import MEBIBYTE, name_aside, read_text, write_text
from bench.measurement.spread import Spread
from bench.records.checks import check_spec, check_values
from bench.records.schema import PARAMETERS_1, Count, Environment, Ordinal, Parameters, doc, renamed

# ruff: noqa: RUF009 - doc() makes a dataclass field, as dataclasses.field does

SCHEMA = 2
FOLDER = "efficiency"
_MAX_BYTES = 8 * MEBIBYTE  # of a file

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of matrix products and convolutions: a multiply-add counts as two."""

    train: float = doc("Of a training step, forward and backward, for each of its samples.")
    score: float = doc("Of scoring a sample of the test split.")


@dataclass(frozen=True)
class StepMemory:
    """The memory of a training step, in bytes."""

    kind: str = doc("What `step` is: `cuda allocator`, its peak, or `kept`, what the forward pass keeps for backward.")
    step: Count = doc("Of a step; the peak is that of the method alone, with weights and the optimizer's state.")
    resident: Count = doc("Weights, the optimizer's state and the batch, which are there between steps too.")


@dataclass(frozen=True)
class Speed:
    """Samples per second, without reading data; methods take turns in one process."""

    train: Spread = doc("Training samples a second.")
    score: Spread = doc("Scored samples a second.")
    score_merged: Spread | None = doc("The same with all that can be folded into the encoders; null if nothing can.")


@dataclass(frozen=True)
class Against:
    """Speed, memory and operations as ratios to another method, measured by turns with it."""

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
        """The name of the file without suffix: task, method, device and id."""
        parts = self.spec.task, self.spec.method, self.environment.device, self.id
        return re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(parts))


def record_id(spec: Spec, device: str, batch_size: int) -> str:
    """Return 12 hex digits that identify a measurement on devices of one name."""
    return hashlib.sha256(json.dumps([spec.id, device, batch_size]).encode()).hexdigest()[:12]


def write(record: Efficiency, results: Path) -> Path:
    """Write the record below the results folder, atomically, replacing an earlier one of the same measurement.

    A file that this version cannot read, such as one of a later version, is renamed.

    Raises:
        OSError: The record cannot be written.
    """
    path = results / FOLDER / f"{record.stem}.json"
    if path.is_file():
        try:
            read(path)
        except BenchError as error:
            _log.warning("%s; it is renamed", error)
            path.rename(name_aside(path))
    write_text(path, dumps(record))
    return path


def dumps(record: Efficiency) -> str:
    """Return the text of the record's file."""
    return json.dumps(asdict(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> Efficiency:
    """Return the record in a file.

    Raises:
        BenchError: The file is not a record of this schema, with exactly its keys.
    """
    try:
        content = _upgraded(msgspec.json.decode(read_text(path, _MAX_BYTES)))
        record = msgspec.convert(content, Efficiency)
        check_values(vars(record))
        check_spec(record.spec)
        if record.schema != SCHEMA:
            raise ValueError(f"schema is {record.schema}, and this version of bench reads up to {SCHEMA}")
        if unknown := set(_keys(content)) - set(_keys(asdict(record))):
            raise ValueError(f"it has unknown keys: {', '.join(sorted(unknown))}")
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BenchError(f"{path} is not an efficiency record: {error}") from error
    return record


def _upgraded(content: Any) -> Any:
    """Return the content of a file of schema 1 as of schema 2, and any other as it is."""
    if not isinstance(content, dict) or content.get("schema") != 1 or not isinstance(content.get("parameters"), dict):
        return content
    parameters = renamed(content["parameters"], PARAMETERS_1)
    return content | {"schema": SCHEMA, "parameters": parameters}


def read_all(results: Path) -> list[Efficiency]:
    """Return the efficiency records of a results folder, oldest first. Other files are left out with a warning.

    A measurement counts once, however many files contain it: the file named after it counts, else the latest. If copies
    differ, a warning names the files.
    """
    by_measurement: dict[str, tuple[Path, Efficiency]] = {}
    for path in sorted((results / FOLDER).glob("*.json")):
        try:
            record = read(path)
        except BenchError as error:
            _log.warning("left out: %s", error)
            continue
        copy = by_measurement.setdefault(record.stem, (path, record))
        if copy[1] != record:
            first, last = sorted(
                (copy, (path, record)), key=lambda item: (item[0].stem == record.stem, item[1].started)
            )
            _log.warning("%s and %s have different results of one measurement: the latter counts", first[0], last[0])
            by_measurement[record.stem] = last
    return sorted((record for _, record in by_measurement.values()), key=lambda record: record.started)


def _keys(value: Any, prefix: str = "") -> Iterable[str]:
    """Yield the keys of nested tables, such as `speed.train.median`."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"{prefix}{name}"
            yield from _keys(item, f"{prefix}{name}.")
