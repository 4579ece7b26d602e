"""One run, from its specification to its record."""

from __future__ import annotations

import logging
import math
import statistics
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.config.run_options import MEASURED, RunOptions
from bench.config.spec import Spec
from bench.errors import BenchError, Terminated, UsageError
from bench.execution.claims import ClaimLostError, holder
from bench.execution.tracking import Tracking
from bench.files import Guard
from bench.measurement.denormals import denormals_flushed
from bench.measurement.memory import Peak, release_memory
from bench.records import predictions, sample_scores, schema, store
from bench.records.checks import MAX_SCORE
from bench.records.environment import environment, package_versions
from bench.records.provenance import provenance_of
from bench.saved_adapters import save_load
from bench.system import distributed, memory_errors
from bench.system.signals import held_back
from bench.training.checkpoint import Checkpoint, fingerprint
from bench.training.evaluation import concatenate, max_abs_difference, predict, score, speed
from bench.training.setup import Setup, build_parts, device_name, make_accelerator, set_up
from bench.training.trainer import STEPS_DONE, DivergedError, EpochCallback, Trained, no_callback, train

_log = logging.getLogger(__name__)


@denormals_flushed()
def execute(spec: Spec, options: RunOptions) -> schema.Record:
    """Do one run and return its record, also if it failed.

    Raises:
        UsageError: The release or the device is missing, which every run needs.
    """
    started = schema.now()
    _, _, recipe = build_parts(spec)
    accelerator = make_accelerator(options.device, recipe)
    machine = environment(device_name(accelerator.device), torch.get_num_threads(), accelerator.mixed_precision)
    machine = replace(machine, processes=distributed.count())
    blank = replace(schema.Record.failed(spec, started, environment=machine), provenance=provenance_of(spec))
    failed: schema.Record | None = None
    trackers = Tracking(options.track, spec, options.results, machine)
    try:
        start = time.perf_counter()
        setup = set_up(spec, options)
        checkpoint = _checkpoint(spec, setup, options) if options.results else None
        train_and_score = _train_and_validate if options.validate_only else measure
        measured, scores_of_samples = train_and_score(spec, setup, start, checkpoint, trackers.epoch)
        _check_finite(measured["scores"])
    except UsageError:
        raise
    except Exception as error:
        _log.debug("%s failed", spec.label, exc_info=True)
        failed = replace(
            blank,
            reason=_reason(error),
            traceback=traceback.format_exc(),
            step=getattr(error, STEPS_DONE, None),
            finished=schema.now(),
        )
    if failed:
        trackers.end(None)
        setup = checkpoint = None  # type: ignore[assignment]  # so that the next run has the memory
        release_memory()
        return failed
    record = replace(blank, status="ok", finished=schema.now(), **measured)
    try:
        with held_back():
            trackers.end(record.scores)
            if options.results and setup.accelerator.is_main_process:
                with suppress(ClaimLostError):  # which the sweep reports
                    record = _save_results(record, scores_of_samples, setup, options)
    except (KeyboardInterrupt, Terminated) as signal:
        setattr(signal, MEASURED, record)  # so that the signal does not lose it
        raise
    return record


def _check_finite(scores: schema.Scores) -> None:
    """Check the scores by which the epoch is chosen and the method ranked.

    Raises:
        DivergedError: A score is not finite, or larger than any metric can be.
    """
    metric, validation = scores.metric, scores.validation[scores.best_epoch - 1].scores
    for split, split_scores in (("validation", validation), ("test", scores.test)):
        score = split_scores.get(metric, 0.0)
        if not math.isfinite(score):
            raise DivergedError(f"the {metric} of the {split} split is {score}, not a finite number")
        if abs(score) > MAX_SCORE:
            raise DivergedError(f"the {metric} of the {split} split is {score:g}, and no score is beyond a million")


def _reason(error: Exception) -> str:
    """Return why a run failed, in words."""
    if memory_errors.ran_out(error):
        return memory_errors.reason(error)
    return str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"


def _checkpoint(spec: Spec, setup: Setup, options: RunOptions) -> Checkpoint:
    """Return the checkpoint of a run. `bench.execution.sweep` deletes its file once the record is written."""
    assert options.results
    classes = [type(setup.task), type(setup.method)]
    precision = setup.accelerator.mixed_precision
    origin = fingerprint(classes, setup.data.checksums, provenance_of(spec), precision, package_versions())
    path = store.checkpoint(options.results, spec)
    return Checkpoint(path, origin, store.checksum_of_finished(options.results, spec), _guard(spec, options))


def _guard(spec: Spec, options: RunOptions) -> Guard:
    """Return the context in which a run's files are written; see `bench.execution.claims`."""
    if options.results is None or options.claimed_by is None:
        return nullcontext
    return holder(options.results, spec, options.claimed_by).writing


def _save_results(
    record: schema.Record, scores_of_samples: sample_scores.SampleScores, setup: Setup, options: RunOptions
) -> schema.Record:
    """Save the files that accompany a record. One that cannot be saved is reported, and the others are saved.

    Raises:
        ClaimLostError: Another command does the run by now, and saves these files.
    """
    spec, results = record.spec, options.results
    assert results
    guard = _guard(spec, options)
    folder = Path(save_load.FOLDER) / schema.stem(spec)
    with_adapter = replace(record, adapter=folder.as_posix())

    def save_predictions() -> None:
        data, batch_size = setup.data, setup.recipe.eval_batch_size
        predicted = {
            split: predict(setup.model, data.datasets[split], data.numbers[split], batch_size, setup.accelerator)
            for split in setup.task.test_splits
        }
        predictions.save(predicted, results, spec, guard)

    def save_adapter() -> None:
        save_load.save(results / folder, with_adapter, setup.model, setup.method, guard)

    def set_aside() -> None:
        with guard():
            store.set_aside(results, spec, record)

    # If this fails, nothing else is saved, since it would overwrite the earlier record's files.
    if not _succeeds("the earlier record", spec, set_aside):
        return record
    _succeeds(
        "scores of the samples", spec, lambda: sample_scores.save(scores_of_samples, results, schema.stem(spec), guard)
    )
    _succeeds("predictions for `bench show`", spec, save_predictions)
    return with_adapter if options.save_adapters and _succeeds("the adapter", spec, save_adapter) else record


def _succeeds(content: str, spec: Spec, save: Callable[[], object]) -> bool:
    try:
        save()
    except ClaimLostError:
        raise
    except Exception as error:  # safetensors and PEFT have exceptions of their own
        _log.debug("%s", spec.label, exc_info=True)
        _log.error("%s of %s cannot be saved: %s", content, spec.label, error)
        return False
    return True


def measure(
    spec: Spec, setup: Setup, start: float, checkpoint: Checkpoint | None = None, callback: EpochCallback = no_callback
) -> tuple[dict[str, Any], sample_scores.SampleScores]:
    """Train and score a run.

    Args:
        spec: The run.
        setup: The run's model, data and recipe.
        start: When the run began, by the performance counter.
        checkpoint: The file to which training saves its state; None to save none.
        callback: Called with each epoch's validation and learning rates.

    Returns:
        The fields of the record, and the scores of each test sample.
    """
    task, data, model, recipe, accelerator = setup.task, setup.data, setup.model, setup.recipe, setup.accelerator
    peaks = {phase: Peak(accelerator.device) for phase in ("train", "score")}
    with peaks["train"].watching():
        trained = _train(spec, setup, checkpoint, callback, peaks["train"])
    scoring_start = time.perf_counter()
    with peaks["score"].watching():
        scored = [
            score(model, task, data.datasets[split], recipe, accelerator, f"scoring {spec.label} {split}")
            for split in task.test_splits
        ]
    scoring_seconds = time.perf_counter() - scoring_start
    rescored, _ = score(model, task, data.datasets["val"], recipe, accelerator)
    unmerged, merged = _inference_rates(setup)
    by_split = {split: measured for split, (measured, _) in zip(task.test_splits, scored, strict=True)}
    scores_of_samples = {
        split: _scores_of_samples(task.per_sample(measured), data.groups(split), f"{spec.task} {split}")
        for split, measured in by_split.items()
    }
    scores = schema.Scores(
        metric=task.metric,
        validation=trained.curve,
        best_epoch=trained.best_epoch,
        test=task.summarize(concatenate(list(by_split.values()))),
        test_samples=sum(data.counts[split] for split in task.test_splits),
        floors=dict(data.floors),
        splits={"val": trained.best} | {split: task.summarize(measured) for split, measured in by_split.items()},
        repeated=max_abs_difference(trained.validation, rescored),
    )
    rate = statistics.fmean(rate for _, rate in scored)
    return {
        "scores": scores,
        "memory": schema.Memory(peaks["train"].kind, peaks["train"].bytes, peaks["score"].bytes),
        "throughput": schema.Throughput(trained.throughput, rate, unmerged, merged),
        **_common_fields(spec, setup, trained, scoring_seconds, start),
    }, scores_of_samples


def _train_and_validate(
    spec: Spec, setup: Setup, start: float, checkpoint: Checkpoint | None = None, callback: EpochCallback = no_callback
) -> tuple[dict[str, Any], sample_scores.SampleScores]:
    """Train for a trial of `bench tune`, which scores no test split; return the same as `measure`."""
    trained = _train(spec, setup, checkpoint, callback)
    scores = schema.Scores(
        setup.task.metric, trained.curve, trained.best_epoch, {}, 0, {}, splits={"val": trained.best}
    )
    return {"scores": scores, **_common_fields(spec, setup, trained, 0.0, start)}, {}


def _common_fields(spec: Spec, setup: Setup, trained: Trained, scoring_seconds: float, start: float) -> dict[str, Any]:
    """Return the fields that the record of every trained run has."""
    return {
        "parameters": replace(
            setup.parameters, active=setup.method.active_parameters(), no_gradient=trained.no_gradient
        ),
        "times": schema.Times(
            data=setup.seconds["data"],
            model=setup.seconds["model"],
            train=trained.seconds,
            score=scoring_seconds,
            total=time.perf_counter() - start + trained.seconds_before,
            resumed=trained.resumed,
            epochs=trained.ends,
        ),
        "data": schema.DataInfo(
            spec.data["source"],
            setup.data.fingerprint,
            setup.data.counts,
            setup.data.skipped,
            dict(setup.data.checksums),
        ),
    }


def _train(
    spec: Spec, setup: Setup, checkpoint: Checkpoint | None, callback: EpochCallback, peak: Peak | None = None
) -> Trained:
    datasets = {split: setup.data.datasets[split] for split in ("train", "val")}  # training must not see the test split
    return train(
        setup.model,
        setup.method,
        setup.task,
        setup.recipe,
        datasets,
        setup.accelerator,
        seed=spec.seed,
        label=spec.label,
        checkpoint=checkpoint,
        peak=peak,
        callback=callback,
    )


def _scores_of_samples(scores: Mapping[str, Tensor], groups: Sequence[str] | None, split: str) -> dict[str, np.ndarray]:
    """Return the scores of each sample of a split, and the samples' group numbers if the task has groups.

    Raises:
        BenchError: There are not as many scores as samples, so it is not known which belong together.
    """
    arrays = {name: values.numpy() for name, values in scores.items()}
    if groups is None:
        return arrays
    for name, values in arrays.items():
        if len(values) != len(groups):
            raise BenchError(
                f"{split}: {len(values)} scores ({name}), but groups of {len(groups)} samples: the task's per_sample "
                "must return one score for each sample"
            )
    return {**arrays, sample_scores.GROUP: np.unique(groups, return_inverse=True)[1]}


def _inference_rates(setup: Setup) -> tuple[float, float | None]:
    """Return samples scored per second unmerged and merged, measured in turns; None for merged if nothing merges."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for merge in (False, True) * 2:
        if merge and not setup.method.merge():
            continue
        try:
            split = setup.data.datasets[setup.task.test_splits[0]]
            rate = speed(setup.model, split, setup.recipe, setup.accelerator)
        finally:
            setup.method.unmerge()
        rates[merge].append(rate)
    return statistics.fmean(rates[False]), statistics.fmean(rates[True]) if rates[True] else None
