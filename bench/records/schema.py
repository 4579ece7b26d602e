"""What a run measured: the schema of its record, with a sentence for each key, and its JSON.

Old files stay readable. A key that is added later needs a default; any other change of the schema raises `SCHEMA`,
and `decode` then converts what older versions wrote.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass
from datetime import datetime, timezone
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args

import msgspec

from bench.config import validate
from bench.config.spec import Spec

# ruff: noqa: RUF009 - doc() makes a dataclass field, as dataclasses.field does

SCHEMA = 2
STOPPED = "stopped by "  # begins the reason of a run that a signal ended

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Ordinal = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


def now() -> str:
    """Return the time as records have it: UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def doc(text: str, default: Any = MISSING) -> Any:
    """Return a dataclass field with a sentence that says what it holds."""
    return dataclasses.field(default=default, metadata={"doc": text})


@dataclass(frozen=True)
class Epoch:
    """One epoch of training, as the validation split saw it."""

    epoch: Ordinal = doc("Number of the epoch, from 1.")
    step: Ordinal = doc("Optimizer steps taken by its end.")
    train_loss: float = doc("Mean of the task's loss over the epoch's steps.")
    scores: dict[str, float] = doc("Scores on the validation split, by metric.")


@dataclass(frozen=True)
class Scores:
    """How well the run did."""

    metric: str = doc("The primary metric: it picks the best epoch and ranks the methods; higher is better.")
    validation: list[Epoch] = doc("The validation curve, an entry an epoch.")
    best_epoch: Ordinal = doc(
        "The epoch with the best primary score on the validation split, which was scored on test."
    )
    test: dict[str, float] = doc("Scores over all samples of the test splits, by metric, in percent; a trial has none.")
    test_samples: Count = doc("Number of items that the test scores are averaged over.")
    floors: dict[str, float] = doc("Primary test scores that need not both modalities, by what gets them.")
    splits: dict[str, dict[str, float]] | None = doc("Scores of each split that was scored, validation too.", None)
    repeated: float | None = doc("Largest difference of a validation sample scored again after training.", None)


@dataclass(frozen=True)
class Parameters:
    """How many parameters the run has."""

    adapter: Count = doc("Trained parameters of the method.")
    head: Count = doc("Trained parameters of the task's head.")
    trainable: Count = doc("All trained parameters.")
    total: Count = doc("All parameters, trained or frozen.")
    streams: Count = doc("Parameters of the streams' encoders, without what the method added.")
    percent: float = doc("The method's trained parameters in percent of the streams'.")
    active: Count | None = doc("The method's trained parameters in use at the end; AdaLoRA masks some.", None)
    no_gradient: Count | None = doc("Trained parameters in tensors that no gradient ever reached.", None)


@dataclass(frozen=True)
class Memory:
    """The most memory the run held, in bytes."""

    kind: str = doc("What was measured: `cuda allocator` or `resident size`.")
    train_peak: Count = doc("Peak while training, in bytes.")
    score_peak: Count = doc("Peak while scoring the test split, in bytes.")


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
    resumed: Count | None = doc("Epochs that were done before the run was killed and begun again.", None)
    epochs: list[float] | None = doc("Of the seconds of training, those gone by at the end of each epoch.", None)


@dataclass(frozen=True)
class DataInfo:
    """The data that the run saw."""

    source: str = doc("`generated` or `official`.")
    fingerprint: str = doc("Checksum of what was read: equal for equal data.")
    counts: dict[str, Count] = doc("Number of samples, by split.")
    skipped: Count = doc("Samples left out because their files could not be read.")
    splits: dict[str, str] | None = doc(
        "Checksum of the samples of each split: their names, annotations and media.", None
    )


@dataclass(frozen=True)
class Environment:
    """The machine and the software that the run was measured on."""

    python: str = doc("Version of Python.")
    platform: str = doc("Operating system and processor.")
    device: str = doc("The device that computed.")
    threads: Ordinal = doc("Threads that one operation may use on the CPU.")
    versions: dict[str, str] = doc("Versions of the installed packages that matter, by name.")
    commit: str | None = doc("Git commit of the checkout that ran; null where the package is installed otherwise.")
    dirty: bool | None = doc("Whether that checkout held changes to tracked files that are not committed.")
    jobs: Count | None = doc("Runs that the command did at a time, which share the machine.", None)
    processes: Count | None = doc("Processes that did the run together, each on a device like this one.", None)
    processor: str | None = doc("Model name of the processor.", None)
    instructions: str | None = doc("Instruction set that torch's kernels used, as in AVX2 or AVX512.", None)
    variables: dict[str, str] | None = doc("Environment variables that change how sums are rounded, if set.", None)
    precision: str | None = doc("Mixed precision that was used: no, bf16 or fp16.", None)
    untracked: bool | None = doc(
        "Whether that checkout held files that git does not track, other than in results/.", None
    )


@dataclass(frozen=True)
class Code:
    """Where a method or a task comes from."""

    checksum: str = doc("SHA-256 of its source, comments and docstrings aside.")
    distribution: str | None = doc("The installed distribution that holds it; null for a script or a notebook.", None)
    version: str | None = doc("Version of that distribution.", None)


@dataclass(frozen=True)
class Provenance:
    """What a run was made with besides its specification: code and encoders."""

    method: Code = doc("Code of the method.")
    task: Code = doc("Code of the task.")
    encoders: dict[str, str] = doc("SHA-256 of each encoder's weights, configuration and tokenizer, by stream.")
    scoring: Ordinal = doc("Number of the task's scoring rule, from 1: see `Task.scoring_rules`.", 1)


@dataclass(frozen=True)
class RecordFile:
    """Where a record was read, and what else its folder holds of the same run; no part of the record itself.

    Attributes:
        stem: what its file is called, without a suffix; empty where it was read from no results folder.
        earlier: the same of records that do not count, since they were made with other code, encoders or data or set
            aside when the run was done again.
        unequal: the same of records that were made alike, have other contents, and do not count.
    """

    stem: str = ""
    earlier: tuple[str, ...] = ()
    unequal: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """What one run measured. Parts that a failed run did not come to are null."""

    file: ClassVar[RecordFile] = RecordFile()
    """What `bench.records.store.read_all` says of the file; no key of it. A changed copy of the record has none."""

    schema: int = doc("Version of this schema.")
    id: str = doc("Hash of the specification: equal for equal runs.")
    spec: Spec = doc("The specification, with the keys of `bench.config.spec.Spec`.")
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
    step: Count | None = doc("Of a run that failed in training, the optimizer steps that it had done.", None)
    tuned: dict[str, Any] | None = doc(
        "The file of --settings: `file`, `sha256`, and what it says of its tuning.", None
    )
    provenance: Provenance | None = doc("Code and encoders that the run was made with.", None)

    @classmethod
    def failed(
        cls, spec: Spec, started: str, reason: str | None = None, environment: Environment | None = None
    ) -> Record:
        """Return the record of a run that measured nothing; it finished when it began, until changed."""
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
        """Note where this record is stored, and return it."""
        object.__setattr__(self, "file", file)
        return self

    @property
    def label(self) -> str:
        """The run in a few words, as in "ave lora seed 0"."""
        return self.spec.label

    @property
    def is_trial(self) -> bool:
        """Whether it is a finished trial of `bench tune`: those are scored on the validation split only."""
        return self.scores is not None and not self.scores.test

    @property
    def test_score(self) -> float | None:
        """The primary test score; None where there is no finite one: the run failed, or is a trial."""
        if self.status == "failed" or self.scores is None:
            return None
        score = self.scores.test.get(self.scores.metric, math.nan)
        return score if math.isfinite(score) else None

    @property
    def failure(self) -> str | None:
        """Why there is no score to compare; None where there is one, and for a trial, which has no test scores.

        Versions before this one recorded runs as finished whose scores were not finite.
        """
        if self.status == "failed" or self.scores is None:
            return self.reason or "the record does not say why"
        if self.is_trial or self.test_score is not None:
            return None
        return f"the {self.scores.metric} of the test split is not finite"

    @property
    def was_stopped(self) -> bool:
        """Whether a signal ended the run, as a scheduler sends it."""
        return (self.reason or "").startswith(STOPPED)

    @property
    def outcome(self) -> Literal["ok", "failed"]:
        """`status`, and "failed" too where the score is not finite."""
        return "failed" if self.failure else "ok"

    @property
    def stem(self) -> str:
        """What the run's files and folders are called, without a suffix."""
        return _stem(self.spec, self.id)


def stem(spec: Spec) -> str:
    """Return the name of a run's files and folders, without a suffix."""
    return _stem(spec, spec.id)


def _stem(spec: Spec, run_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", f"{spec.task}-{spec.method}-s{spec.seed}-{run_id}")


def dumps(record: Record) -> str:
    """Return the record as JSON. Numbers that are not finite become null, since JSON has none."""
    return json.dumps(plain(asdict(record)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """`value` in what JSON can hold. Anything is better than to lose what a run measured."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()  # names of files may hold bytes that are no UTF-8
    if value is None or isinstance(value, bool | int):
        return value
    return plain(value.item()) if hasattr(value, "item") else str(value)  # numbers of numpy and torch have item()


PARAMETERS_1 = {"effective": "active", "idle": "no_gradient"}
"""Keys of `Parameters` that schema 1 had other names for: its names, and today's."""


def renamed(table: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a table with other names for some of its keys."""
    return {names.get(key, key): value for key, value in table.items()}


@dataclass(frozen=True)
class _Parameters1(Parameters):
    """Parameters as in schema 1."""

    effective: Count | None = None
    idle: Count | None = None

    def upgraded(self) -> Parameters:
        values = {name: value for name, value in vars(self).items() if name not in PARAMETERS_1.values()}
        return Parameters(**renamed(values, PARAMETERS_1))


@dataclass(frozen=True)
class _Record1(Record):
    """A record as in schema 1."""

    parameters: _Parameters1 | None = doc("How many parameters it has.")

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
    """Return the record in a file's bytes, in this version's schema.

    Raises:
        ValueError: it has an unknown schema, or an unknown key in its specification.
        msgspec.MsgspecError: it is no JSON, or no record.
    """
    header = _HEADER.decode(content)
    if header.schema not in (*_VERSIONS,):
        raise ValueError(f"schema is {reprlib.repr(header.schema)}, and this version of bench reads up to {SCHEMA}")
    try:
        record = _DECODERS[header.schema].decode(content)
    except msgspec.ValidationError:
        cls = _VERSIONS[header.schema]
        record = msgspec.convert(_with_nan(msgspec.json.decode(content), cls), cls)
    if unknown := _KEYS.decode(header.spec).keys() - _SPEC_KEYS:  # a run that this version cannot tell from others
        raise ValueError(f"unknown in spec: {', '.join(sorted(unknown))}")
    return record.upgraded() if isinstance(record, _Record1) else record


def _with_nan(value: Any, hint: Any) -> Any:
    """`value` of a JSON file with NaN where null stands for a number that was not finite."""
    args = get_args(hint)
    if hint is float and value is None:
        return math.nan
    if NoneType in args:
        return None if value is None else _with_nan(value, args[0])
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = validate.hints(hint)  # type: ignore[arg-type]  # mypy does not see that it is a class
        return {name: _with_nan(item, hints.get(name, Any)) for name, item in value.items()}
    if isinstance(value, dict) and len(args) == 2:
        return {name: _with_nan(item, args[1]) for name, item in value.items()}
    if isinstance(value, list) and args:
        return [_with_nan(item, args[0]) for item in value]
    return value
