"""Measurement of what methods cost on a task, by turns in one process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import torch
from accelerate import Accelerator

from bench.config.instantiate import sources_of
from bench.config.recipe import Recipe
from bench.config.reference import REFERENCE
from bench.config.spec import Spec
from bench.errors import BenchError, UsageError
from bench.measurement.memory import release_memory
from bench.measurement.speed import turns
from bench.measurement.spread import Spread
from bench.profiling.record import SCHEMA, Against, Efficiency, Operations, Speed, StepMemory, record_id
from bench.profiling.shared_weights import SharedStreams
from bench.profiling.subject import Batch, Subject, examples
from bench.records.environment import environment, processor
from bench.records.schema import now
from bench.streams.base import Stream
from bench.streams.load import random_stream
from bench.streams.lockstep import MultiStream
from bench.system import memory_errors
from bench.training.setup import build_parts, device_name, make_accelerator

_log = logging.getLogger(__name__)

_Key = tuple[str, str]  # a method, and "train", "score" or "score_merged"


def measure(
    specs: Sequence[Spec], device: str, rounds: int, batch_size: int | None = None, reference: str = REFERENCE
) -> tuple[list[Efficiency], dict[str, str]]:
    """Measure what each method costs on one task, also as ratios to a reference method.

    Args:
        specs: A run of each method, all of one task and suite.
        device: "auto", "cpu" or "cuda".
        rounds: Number of turns of each method.
        batch_size: Samples of a step; None for the recipe's on a GPU, and for 1 elsewhere.
        reference: Name of the reference method; if it is not among `specs`, the first method is the reference.

    Returns:
        The records, in the order of `specs`; and by method, why it could not be measured.

    Raises:
        UsageError: The device is missing.
        BenchError: The shape of an encoder is unknown, or the task has no random samples.
    """
    started = now()
    accelerator = make_accelerator(device, Recipe(**specs[0].recipe))
    size = batch_size or (specs[0].recipe["batch_size"] if accelerator.device.type == "cuda" else 1)
    streams = random_streams(specs[0])
    shared = SharedStreams(streams, accelerator.device)
    batches = examples(build_parts(specs[0])[0], streams, size, accelerator.device)
    subjects: dict[str, Subject] = {}
    costs: dict[str, tuple[Operations, StepMemory]] = {}
    failed: dict[str, str] = {}
    for spec in specs:
        _log.info("%s: %s", spec.task, spec.method)
        try:
            subjects[spec.method], costs[spec.method] = _prepared(spec, shared, device, batches)
        except UsageError:
            raise
        except Exception as error:  # of any kind: the other methods can still be measured
            _log.debug("%s on %s failed", spec.method, spec.task, exc_info=True)
            failed[spec.method] = _reason(error, size)
        release_memory()
    if not subjects:
        return [], failed
    seconds = _times(subjects, rounds, accelerator.device)
    machine = environment(_name(accelerator), torch.get_num_threads())
    base = reference if reference in subjects else next(iter(subjects))
    records = [
        Efficiency(
            kind="efficiency",
            schema=SCHEMA,
            id=record_id(spec, machine.device, size),
            spec=spec,
            started=started,
            finished=now(),
            batch_size=size,
            rounds=rounds,
            parameters=subjects[spec.method].parameters,
            operations=costs[spec.method][0],
            memory=costs[spec.method][1],
            speed=_speed(seconds, spec.method, size),
            against=_relative_to(seconds, costs, spec.method, base),
            environment=machine,
        )
        for spec in specs
        if spec.method in subjects
    ]
    return records, failed


def _prepared(
    spec: Spec, shared: SharedStreams, device: str, batches: tuple[Batch, Batch]
) -> tuple[Subject, tuple[Operations, StepMemory]]:
    """Return a method ready to be timed, and its operations and memory."""
    # Accelerators keep references to what they prepare: with its own, a failing subject leaves no memory allocated.
    subject = Subject(spec, shared.copy(), make_accelerator(device, Recipe(**spec.recipe)), *batches)
    return subject, (subject.operations(), subject.memory())


def random_streams(spec: Spec) -> MultiStream:
    """Return the task's streams with random weights, which must not be changed.

    Raises:
        UsageError: The shape of an encoder is unknown.
    """
    return MultiStream({name: _random(**source) for name, source in sources_of(spec).items()})


@lru_cache(maxsize=4)
def _random(**source: Any) -> Stream:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return random_stream(**source)


def _times(subjects: Mapping[str, Subject], rounds: int, device: torch.device) -> dict[_Key, list[float]]:
    """Return the seconds of each round, by method and action."""
    actions: dict[_Key, Callable[[], None]] = {}
    contexts: dict[_Key, Callable[[], AbstractContextManager[object]]] = {}
    for name, subject in subjects.items():
        actions[name, "train"], contexts[name, "train"] = subject.step, subject.training
        actions[name, "score"], contexts[name, "score"] = subject.score, subject.scoring
        with subject.merged() as merges:
            pass
        if merges:
            actions[name, "score_merged"], contexts[name, "score_merged"] = subject.score, subject.merged
    return turns(actions, rounds, device, lambda key: contexts[key]())


def _speed(seconds: Mapping[_Key, list[float]], method: str, size: int) -> Speed:
    def rate(times: Sequence[float]) -> Spread:
        return Spread.from_values([size / time for time in times])

    merged = seconds.get((method, "score_merged"))
    return Speed(rate(seconds[method, "train"]), rate(seconds[method, "score"]), rate(merged) if merged else None)


def _relative_to(
    seconds: Mapping[_Key, list[float]],
    costs: Mapping[str, tuple[Operations, StepMemory]],
    method: str,
    base: str,
) -> Against:
    def faster(action: str) -> Spread | None:
        if (method, action) not in seconds or (base, action) not in seconds:
            return None
        pairs = zip(seconds[base, action], seconds[method, action], strict=True)
        return Spread.from_values([base_seconds / method_seconds for base_seconds, method_seconds in pairs])

    train, score = faster("train"), faster("score")
    assert train and score
    (operations, memory), (base_operations, base_memory) = costs[method], costs[base]
    return Against(
        method=base,
        train=train,
        score=score,
        score_merged=faster("score_merged"),
        memory=memory.step / base_memory.step,
        train_operations=operations.train / base_operations.train,
        score_operations=operations.score / base_operations.score,
    )


def _reason(error: Exception, size: int) -> str:
    if memory_errors.ran_out(error):
        return f"a step of {size} samples does not fit: --batch takes fewer, --suggest-batch finds how many fit"
    return str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"


def _name(accelerator: Accelerator) -> str:
    return device_name(accelerator.device) if accelerator.device.type == "cuda" else processor()
