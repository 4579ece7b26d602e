"""The baseline: values of several seeds, and values that do not depend on the seed; and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from bench.config.reference import REFERENCE
from bench.errors import BenchError, UsageError
from bench.files import MEBIBYTE, read_text, write_text
from bench.records.checks import MAX_MEASUREMENT
from bench.records.schema import PARAMETERS_1, Environment, Parameters, Record, renamed

SCHEMA = 2
_MAX_BYTES = 8 * MEBIBYTE  # of a file
_PEAKS = {"train peak": "train_peak", "score peak": "score_peak"}
_COUNTS = ("adapter", "head", "trainable", "total", "streams", "no_gradient")


@dataclass(frozen=True)
class Cost:
    """The cost of a training step.

    Attributes:
        time: Time as a ratio to LoRA's: median over rounds in which the methods alternate.
        low: First quartile of this ratio.
        high: Third quartile of this ratio.
        bytes: Memory in bytes, measured by `bench.measurement.memory.bytes_of_step`.
    """

    time: float
    low: float
    high: float
    bytes: int


@dataclass(frozen=True)
class ReaderOutput:
    """The output of a task's reader.

    Attributes:
        fingerprint: Checksum of the files that are read.
        counts: Number of samples of each split.
        floors: Primary test scores of baselines that do not combine the modalities.
        targets: Checksum of the targets of the first samples, by split.
        inputs: Mean of the inputs of the first samples, by split and stream.
        shared: Number of sample names that occur in more than one split.
        stale: Arrays of the decoded cache that differ from the reader's output, as `<split>.<array>`.
    """

    fingerprint: str
    counts: dict[str, int]
    floors: dict[str, float]
    targets: dict[str, str]
    inputs: dict[str, float]
    shared: int
    stale: list[str]


@dataclass(frozen=True)
class MethodBaseline:
    """One method on one task.

    Attributes:
        spec: Specification of the runs, without the seed.
        parameters: Parameter counts by kind.
        scores: Test and validation scores of the best epoch, the loss of the last epoch, and the differences of these
            to LoRA's, by name; one value per seed.
        memory: Peaks in training and scoring, in bytes; one value per seed.
        step: Cost of a training step.
    """

    spec: dict[str, Any]
    parameters: dict[str, int | None]
    scores: dict[str, list[float]]
    memory: dict[str, list[int]]
    step: Cost


@dataclass(frozen=True)
class TaskBaseline:
    """One task: the output of its reader, and its methods by name."""

    data: ReaderOutput
    methods: dict[str, MethodBaseline]


@dataclass(frozen=True)
class Baseline:
    """Several seeds of methods on tasks.

    Attributes:
        schema: Version of this schema.
        suite: Name of the suite.
        seeds: Seeds of every method on every task.
        written: Time at which it was made: UTC, ISO 8601.
        environment: Environment of the command, whose runs share the threads.
        processor: Model name of the processor.
        tasks: Tasks by name.
    """

    schema: int
    suite: str
    seeds: list[int]
    written: str
    environment: Environment
    processor: str
    tasks: dict[str, TaskBaseline]


def gather(
    records: Sequence[Record],
    costs: Mapping[str, Mapping[str, Cost]],
    outputs: Mapping[str, ReaderOutput],
    environment: Environment,
    processor: str,
) -> Baseline:
    """Combine measurements into a baseline.

    Args:
        records: Records of completed runs of one suite, with the same seeds for every method and task.
        costs: Costs of training steps, by task and method.
        outputs: Outputs of the readers, by task.
        environment: Environment of the command.
        processor: Model name of the processor.
    """
    tasks: dict[str, TaskBaseline] = {}
    for task, method_costs in costs.items():
        entry = {
            method: [record for record in records if (record.spec.task, record.spec.method) == (task, method)]
            for method in method_costs
        }
        methods = {name: _method_baseline(group, method_costs[name]) for name, group in entry.items() if group}
        tasks[task] = TaskBaseline(outputs[task], _with_gains(methods))
    return Baseline(
        schema=SCHEMA,
        suite=records[0].spec.suite,
        seeds=sorted({record.spec.seed for record in records}),
        written=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        environment=environment,
        processor=processor,
        tasks=tasks,
    )


def _method_baseline(records: Sequence[Record], step: Cost) -> MethodBaseline:
    records = sorted(records, key=lambda record: record.spec.seed)
    measured = [_scores(record) for record in records]
    peaks = [record.memory for record in records if record.memory]
    return MethodBaseline(
        spec={key: value for key, value in asdict(records[0].spec).items() if key != "seed"},
        parameters=counts(records[0].parameters),
        scores={name: [scores[name] for scores in measured] for name in measured[0]},
        memory={name: [getattr(memory, attribute) for memory in peaks] for name, attribute in _PEAKS.items()},
        step=step,
    )


def _with_gains(methods: Mapping[str, MethodBaseline]) -> dict[str, MethodBaseline]:
    """Return the methods with the differences of their scores to LoRA's of the same seed, if LoRA is among them.

    Runs of one seed share the order of the data and the initial head, which cause most of the spread of scores.
    """
    if REFERENCE not in methods:
        return dict(methods)
    base = methods[REFERENCE].scores
    with_gains = {REFERENCE: methods[REFERENCE]}
    for name, entry in methods.items():
        if name != REFERENCE:
            gains = {
                f"{score} over {REFERENCE}": [
                    value - base_value for value, base_value in zip(values, base[score], strict=True)
                ]
                for score, values in entry.scores.items()
            }
            with_gains[name] = replace(entry, scores={**entry.scores, **gains})
    return with_gains


def counts(parameters: Parameters | None) -> dict[str, int | None]:
    """Return the parameter counts that do not depend on the seed, by kind."""
    return {name: getattr(parameters, name) for name in _COUNTS} if parameters else {}


def _scores(record: Record) -> dict[str, float]:
    scores = record.scores
    assert scores and scores.splits, "the run is completed"
    return {
        **{f"test {metric}": value for metric, value in scores.test.items()},
        **{f"val {metric}": value for metric, value in scores.splits["val"].items()},
        "train loss": scores.validation[-1].train_loss,
    }


def write(baseline: Baseline, path: Path) -> None:
    """Write a baseline atomically.

    Raises:
        BenchError: It cannot be written; the message contains the baseline, so that it is not lost.
    """
    try:
        text = json.dumps(asdict(baseline), indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise BenchError(f"the baseline {path} cannot be written: {error}") from error
    try:
        write_text(path.resolve(), text)  # a symbolic link of the user is followed, not replaced
    except OSError as error:
        raise BenchError(f"\n{text}the baseline, printed above, cannot be written to {path}: {error}") from error


def read(path: Path) -> Baseline:
    """Return the baseline in a file.

    Raises:
        UsageError: The file does not exist.
        BenchError: It is not a baseline, or its schema is a later one; the message names the file and the key.
    """
    try:
        content = msgspec.json.decode(read_text(path, _MAX_BYTES))
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema not in (1, SCHEMA):
            raise ValueError(
                f"schema is {schema}, and this version of bench reads up to {SCHEMA}; --update writes a new baseline"
            )
        baseline = msgspec.convert(content, Baseline)
        if schema == 1:
            baseline = _upgraded(baseline)
        _check(baseline)
    except FileNotFoundError as error:
        raise UsageError(f"the baseline {path} does not exist: `bench check --update` writes one") from error
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BenchError(f"{path} is not a readable baseline: {error}") from error
    return baseline


def _upgraded(baseline: Baseline) -> Baseline:
    """Return a baseline of schema 1 converted to schema 2."""
    tasks = {
        name: replace(
            task,
            methods={
                method: replace(entry, parameters=renamed(entry.parameters, PARAMETERS_1))
                for method, entry in task.methods.items()
            },
        )
        for name, task in baseline.tasks.items()
    }
    return replace(baseline, schema=SCHEMA, tasks=tasks)


def _check(baseline: Baseline) -> None:
    """Check that lists have one value per seed, and that values can have been measured.

    Raises:
        ValueError: One does not; the message names the key.
    """
    if len(baseline.seeds) < 2:
        raise ValueError(f"$.seeds has {len(baseline.seeds)}, but a spread needs at least 2")
    for task, task_baseline in baseline.tasks.items():
        for method, entry in task_baseline.methods.items():
            prefix = f"$.tasks.{task}.methods.{method}"
            if entry.memory.keys() != {*_PEAKS}:
                raise ValueError(
                    f"{prefix}.memory has {', '.join(entry.memory) or 'nothing'}, expected {' and '.join(_PEAKS)}"
                )
            if not 0 <= entry.step.bytes <= MAX_MEASUREMENT:
                raise ValueError(f"{prefix}.step.bytes cannot have been measured")
            for part in fields(MethodBaseline):
                if part.name not in ("scores", "memory"):
                    continue
                for name, values in getattr(entry, part.name).items():
                    if len(values) != len(baseline.seeds):
                        raise ValueError(
                            f"{prefix}.{part.name}.{name} has {len(values)} values for {len(baseline.seeds)} seeds"
                        )
                    if any(
                        not abs(value) <= MAX_MEASUREMENT or (part.name == "memory" and value <= 0) for value in values
                    ):
                        raise ValueError(f"{prefix}.{part.name}.{name} has a value that cannot have been measured")
