"""The record of a run: the schema, with one sentence for each key, and its JSON form.

Old files stay readable. A key added later needs a default; any other change to the schema increases `SCHEMA`, and
`decode` then converts records of older versions.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import reprlib
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass
from datetime import datetime, timezone
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args

import msgspec

from bench.config import validate
from bench.config.spec import Spec
from bench.records.record_file import RecordFile
from bench.text import escape

# ruff: noqa: RUF009 - doc() makes a dataclass field, as dataclasses.field does

SCHEMA = 2
STOPPED = "stopped by "  # start of `Record.reason` if a signal ended the run
_MACHINE = (STOPPED, "out of memory", "its worker process ended")  # starts of reasons that are none of the settings

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Ordinal = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


def now() -> str:
    """Return the current time in the format of records: UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def doc(text: str, default: Any = MISSING) -> Any:
    """Return a dataclass field with a sentence that describes it."""
    return dataclasses.field(default=default, metadata={"doc": text})


@dataclass(frozen=True)
class Epoch:
    """One epoch of training and its validation scores."""

    epoch: Ordinal = doc("Number of the epoch, from 1.")
    step: Ordinal = doc("Optimizer steps taken since the start of training, at the end of the epoch.")
    train_loss: float = doc("Mean training loss over the steps of the epoch.")
    scores: dict[str, float] = doc("Scores on the validation split, by metric.")


@dataclass(frozen=True)
class Scores:
    """Scores of the run on the validation and test splits."""

    metric: str = doc("The primary metric, which selects the best epoch and ranks the methods. Higher is better.")
    validation: list[Epoch] = doc("The validation curve: one entry per epoch.")
    best_epoch: Ordinal = doc("The epoch with the best primary validation score; its weights are scored on test.")
    test: dict[str, float] = doc("Scores over all samples of the test splits, by metric, in percent; empty for trials.")
    test_samples: Count = doc("Number of test samples that the test scores are computed from.")
    floors: dict[str, float] = doc("Primary test scores of baselines that do not combine modalities, by baseline.")
    splits: dict[str, dict[str, float]] | None = doc("Scores of each split, including validation, by metric.", None)
    repeated: float | None = doc("Largest change of a validation sample's score when scored again at the end.", None)


@dataclass(frozen=True)
class Parameters:
    """Parameter counts of the run."""

    adapter: Count = doc("Trainable parameters of the method.")
    head: Count = doc("Trainable parameters of the task's head.")
    trainable: Count = doc("All trainable parameters.")
    total: Count = doc("All parameters, trainable and frozen.")
    streams: Count = doc("Parameters of the streams' encoders, excluding those added by the method.")
    percent: float = doc("`adapter` in percent of `streams`.")
    active: Count | None = doc("Parameters of `adapter` in use at the end of training; AdaLoRA masks some.", None)
    no_gradient: Count | None = doc("Trainable parameters in tensors that never received a gradient.", None)


@dataclass(frozen=True)
class Memory:
    """Peak memory of the run, in bytes."""

    kind: str = doc("What was measured: `cuda allocator` or `resident size`.")
    train_peak: Count = doc("Peak during training, in bytes.")
    score_peak: Count = doc("Peak while scoring the test splits, in bytes.")


@dataclass(frozen=True)
class Throughput:
    """Throughput of the run in samples per second, as medians after a warm-up."""

    train: float = doc("Training throughput, in samples per second.")
    score: float = doc("Throughput while scoring the test splits, in samples per second.")
    score_unmerged: float | None = doc("Scoring throughput over a few batches, before merging.", None)
    score_merged: float | None = doc("The same after merging into the encoders' weights; null if impossible.", None)


@dataclass(frozen=True)
class Times:
    """Wall time of each phase, in seconds."""

    data: float = doc("Preparing and loading the data.")
    model: float = doc("Loading the streams and attaching the method.")
    train: float = doc("Training, including validation after each epoch.")
    score: float = doc("Scoring the test splits.")
    total: float = doc("The whole run.")
    resumed: Count | None = doc("Number of epochs completed before the run was interrupted and resumed.", None)
    epochs: list[float] | None = doc("Training time elapsed at the end of each epoch.", None)


@dataclass(frozen=True)
class DataInfo:
    """The data of the run."""

    source: str = doc("`generated`, `composed`, `official` or `own`.")
    fingerprint: str = doc("Checksum of the data: equal for equal data.")
    counts: dict[str, Count] = doc("Number of samples, by split.")
    skipped: Count = doc("Number of samples left out because their files cannot be read.")
    splits: dict[str, str] | None = doc("Checksum of each split's samples: their names, annotations and media.", None)


@dataclass(frozen=True)
class Environment:
    """The machine and software of the run."""

    python: str = doc("Python version.")
    platform: str = doc("Operating system and processor architecture.")
    device: str = doc("Name of the device that the run trained on.")
    threads: Ordinal = doc("Maximum number of CPU threads per operation.")
    versions: dict[str, str] = doc("Versions of the packages that results depend on, by name.")
    commit: str | None = doc("Git commit of the checkout; null if the package does not run from a checkout.")
    dirty: bool | None = doc("Whether the checkout had uncommitted changes to tracked files.")
    jobs: Count | None = doc("Number of runs that shared the machine (`--jobs`).", None)
    processes: Count | None = doc("Number of processes that trained together, each on a device of this kind.", None)
    processor: str | None = doc("Model name of the processor.", None)
    instructions: str | None = doc("CPU instruction set that torch's kernels used, e.g. AVX2 or AVX512.", None)
    variables: dict[str, str] | None = doc("Environment variables that affect rounding, as far as they are set.", None)
    precision: str | None = doc("Mixed precision: no, bf16 or fp16.", None)
    untracked: bool | None = doc("Whether the checkout had untracked files outside results/.", None)


@dataclass(frozen=True)
class Code:
    """The code of a method or task."""

    checksum: str = doc("SHA-256 of its source without comments and docstrings.")
    distribution: str | None = doc(
        "The installed distribution that contains it; null for a script or a notebook.", None
    )
    version: str | None = doc("Version of that distribution.", None)


@dataclass(frozen=True)
class Provenance:
    """The code and encoders of a run, which its specification does not cover."""

    method: Code = doc("Code of the method.")
    task: Code = doc("Code of the task.")
    encoders: dict[str, str] = doc("SHA-256 of each encoder's weights, configuration and tokenizer, by stream.")
    scoring: Ordinal = doc("Version of the task's scoring rule, from 1; see `Task.scoring_rules`.", 1)


@dataclass(frozen=True)
class Record:
    """The record of one run. Parts that a failed run did not reach are null."""

    file: ClassVar[RecordFile] = RecordFile()
    """The file that the record was read from or written to; not a key of it, and not copied with it."""

    schema: int = doc("Version of this schema.")
    id: str = doc("Hash of the specification: equal for equal runs.")
    spec: Spec = doc("The specification, with the keys of `bench.config.spec.Spec`.")
    status: Literal["ok", "failed"] = doc("Whether the run completed.")
    reason: str | None = doc("Why the run failed, in one line.")
    traceback: str | None = doc("Traceback of the error that the run failed with, for bug reports.")
    started: str = doc("Start of the run: UTC, ISO 8601.")
    finished: str = doc("End of the run: UTC, ISO 8601.")
    scores: Scores | None = doc("Scores on the validation and test splits.")
    parameters: Parameters | None = doc("Parameter counts.")
    memory: Memory | None = doc("Peak memory.")
    throughput: Throughput | None = doc("Training and scoring throughput.")
    times: Times | None = doc("Wall time of each phase.")
    data: DataInfo | None = doc("The data of the run.")
    environment: Environment | None = doc("The machine and software of the run.")
    adapter: str | None = doc(
        "Folder of the saved adapter, relative to the results folder; null if none was saved.", None
    )
    step: Count | None = doc("Number of optimizer steps completed before the run failed in training.", None)
    tuned: dict[str, Any] | None = doc(
        "The settings file of `--settings`: `file`, `sha256`, and the keys of its [tuning] table.", None
    )
    provenance: Provenance | None = doc("The code and encoders of the run.", None)

    @classmethod
    def failed(
        cls, spec: Spec, started: str, reason: str | None = None, environment: Environment | None = None
    ) -> Record:
        """Return the record of a failed run without measurements, whose end time equals its start time."""
        missing = dict.fromkeys(("traceback", "scores", "parameters", "memory", "throughput", "times", "data"))
        return cls(
            schema=SCHEMA,
            id=spec.id,
            spec=spec,
            status="failed",
            reason=reason,
            started=started,
            finished=started,
            environment=environment,
            **missing,
        )

    def with_file(self, file: RecordFile) -> Record:
        """Attach the file that this record was read from or written to, and return the record."""
        object.__setattr__(self, "file", file)
        return self

    def __repr__(self) -> str:
        if self.failure:
            result = f"failed: {textwrap.shorten(escape.line(self.failure), 80, placeholder=' ...')}"
        elif self.is_trial or not self.scores:
            result = "ok, validation only"
        else:
            result = f"ok, {self.scores.metric} {self.test_score:.2f}"
        return f"Record({escape.line(self.label)}, {result}, id {self.id})"

    @property
    def label(self) -> str:
        """The run in a few words, as in "ave lora seed 0"."""
        return self.spec.label

    @property
    def is_trial(self) -> bool:
        """Whether it is a completed trial of `bench tune`, which has validation scores only."""
        return self.scores is not None and not self.scores.test

    @property
    def test_score(self) -> float | None:
        """The primary test score; None if the run failed, is a trial, or the score is not finite."""
        if self.status == "failed" or self.scores is None:
            return None
        score = self.scores.test.get(self.scores.metric, math.nan)
        return score if math.isfinite(score) else None

    @property
    def failure(self) -> str | None:
        """Why there is no test score to compare; None if there is one, and for a trial, which has no test scores.

        Earlier versions recorded runs with scores that are not finite as completed.
        """
        if self.status == "failed" or self.scores is None:
            return self.reason or "the record does not say why"
        if self.is_trial or self.test_score is not None:
            return None
        return f"the {self.scores.metric} of the test split is not finite"

    @property
    def was_stopped(self) -> bool:
        """Whether a signal ended the run, for example from a job scheduler."""
        return (self.reason or "").startswith(STOPPED)

    @property
    def machine_failed(self) -> bool:
        """Whether a signal, too little memory or a process that died ended the run: another attempt may succeed."""
        return self.status == "failed" and (self.reason or "").startswith(_MACHINE)

    @property
    def outcome(self) -> Literal["ok", "failed"]:
        """`status`, but "failed" if the score is not finite."""
        return "failed" if self.failure else "ok"

    @property
    def stem(self) -> str:
        """The name of the run's files and folders, without a suffix."""
        return _stem(self.spec, self.id)


def stem(spec: Spec) -> str:
    """Return the name of a run's files and folders, without a suffix."""
    return _stem(spec, spec.id)


def _stem(spec: Spec, run_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", f"{spec.task}-{spec.method}-s{spec.seed}-{run_id}")


def dumps(record: Record) -> str:
    """Return the record as JSON. Numbers that are not finite become null, since JSON cannot represent them."""
    return json.dumps(plain(asdict(record)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Return a value in types that JSON can represent; unknown types become text, so that no measurement is lost."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()  # file names may contain bytes that are not UTF-8
    if value is None or isinstance(value, bool | int):
        return value
    return plain(value.item()) if hasattr(value, "item") else str(value)  # numbers of numpy and torch have item()


PARAMETERS_1 = {"effective": "active", "idle": "no_gradient"}
"""Keys of `Parameters` renamed since schema 1: the old name to today's."""


def renamed(table: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a table with some of its keys renamed.

    Args:
        table: Values by key.
        names: New name by old name.
    """
    return {names.get(key, key): value for key, value in table.items()}


@dataclass(frozen=True)
class _Parameters1(Parameters):
    """Parameter counts as in schema 1."""

    effective: Count | None = None
    idle: Count | None = None

    def upgraded(self) -> Parameters:
        values = {name: value for name, value in vars(self).items() if name not in PARAMETERS_1.values()}
        return Parameters(**renamed(values, PARAMETERS_1))


@dataclass(frozen=True)
class _Record1(Record):
    """A record as in schema 1."""

    parameters: _Parameters1 | None = doc("Parameter counts.")

    def upgraded(self) -> Record:
        parameters = self.parameters and self.parameters.upgraded()
        return Record(**vars(self) | {"schema": SCHEMA, "parameters": parameters})


class _Header(msgspec.Struct):
    schema: Any = None
    spec: msgspec.Raw = msgspec.Raw(b"{}")


_HEADER = msgspec.json.Decoder(_Header)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SPEC_KEYS = {field.name for field in dataclasses.fields(Spec)}
_VERSIONS: dict[int, type[Record]] = {1: _Record1, SCHEMA: Record}
_DECODERS = {schema: msgspec.json.Decoder(cls) for schema, cls in _VERSIONS.items()}


def decode(content: bytes) -> Record:
    """Return the record in the content of a file, converted to this version's schema.

    Raises:
        ValueError: The schema, or a key of the specification, is unknown.
        msgspec.MsgspecError: The content is not JSON, or not a record.
    """
    header = _HEADER.decode(content)
    if header.schema not in (*_VERSIONS,):
        raise ValueError(f"schema is {reprlib.repr(header.schema)}, and this version of bench reads up to {SCHEMA}")
    try:
        record = _DECODERS[header.schema].decode(content)
    except msgspec.ValidationError:
        cls = _VERSIONS[header.schema]
        record = msgspec.convert(_with_nan(msgspec.json.decode(content), cls), cls)
    if unknown := _KEYS.decode(header.spec).keys() - _SPEC_KEYS:  # this version cannot distinguish the run
        raise ValueError(f"unknown in spec: {', '.join(sorted(unknown))}")
    return record.upgraded() if isinstance(record, _Record1) else record


def _with_nan(value: Any, hint: Any) -> Any:
    """Return a value decoded from JSON, with NaN where null stands for a number that was not finite."""
    args = get_args(hint)
    if hint is float and value is None:
        return math.nan
    if NoneType in args:
        return None if value is None else _with_nan(value, args[0])
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = validate.hints(hint)  # type: ignore[arg-type]  # mypy cannot infer that it is a class
        return {name: _with_nan(item, hints.get(name, Any)) for name, item in value.items()}
    if isinstance(value, dict) and len(args) == 2:
        return {name: _with_nan(item, args[1]) for name, item in value.items()}
    if isinstance(value, list) and args:
        return [_with_nan(item, args[0]) for item in value]
    return value
