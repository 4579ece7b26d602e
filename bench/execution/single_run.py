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
    """Does one run and returns its record, also where it failed.

    Raises:
        UsageError: the release or the device is not there; this ends every run alike.
    """
    started = schema.now()
    _, _, recipe = build_parts(spec)
    accelerator = make_accelerator(options.device, recipe)
    here = environment(device_name(accelerator.device), torch.get_num_threads(), accelerator.mixed_precision)
    here = replace(here, processes=distributed.count())
    blank = replace(schema.Record.failed(spec, started, environment=here), provenance=provenance_of(spec))
    failed: schema.Record | None = None
    told = Tracking(options.track, spec, options.results, here)
    try:
        start = time.perf_counter()
        setup = set_up(spec, options)
        checkpoint = _checkpoint(spec, setup, options) if options.results else None
        do = _validate if options.validate_only else measure
        measured, scores_of_samples = do(spec, setup, start, checkpoint, told.epoch)
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
        told.end(None)
        setup = checkpoint = None  # type: ignore[assignment]  # so that the next run has the memory
        release_memory()
        return failed
    record = replace(blank, status="ok", finished=schema.now(), **measured)
    try:
        with held_back():
            told.end(record.scores)
            if options.results and setup.accelerator.is_main_process:
                with suppress(ClaimLostError):  # the sweep says so
                    record = _save_results(record, scores_of_samples, setup, options)
    except (KeyboardInterrupt, Terminated) as asked:
        setattr(asked, MEASURED, record)  # it is not lost to the signal
        raise
    return record


def _check_finite(scores: schema.Scores) -> None:
    """Checks the scores that pick the epoch and rank the method.

    Raises:
        DivergedError: one is not finite, or larger than any metric is.
    """
    metric, validation = scores.metric, scores.validation[scores.best_epoch - 1].scores
    for split, of_split in (("validation", validation), ("test", scores.test)):
        score = of_split.get(metric, 0.0)
        if not math.isfinite(score):
            raise DivergedError(f"the {metric} of the {split} split is {score}, not a finite number")
        if abs(score) > MAX_SCORE:
            raise DivergedError(f"the {metric} of the {split} split is {score:g}, and no score is beyond a million")


def _reason(error: Exception) -> str:
    """Why a run failed, in words."""
    if memory_errors.ran_out(error):
        return memory_errors.reason(error)
    return str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"


def _checkpoint(spec: Spec, setup: Setup, options: RunOptions) -> Checkpoint:
    """Where the run's state is kept. `bench.execution.sweep` removes it when the record is written."""
    assert options.results
    classes = [type(setup.task), type(setup.method)]
    precision = setup.accelerator.mixed_precision
    made = fingerprint(classes, setup.data.checksums, provenance_of(spec), precision, package_versions())
    place = store.checkpoint(options.results, spec)
    return Checkpoint(place, made, store.checksum_of_finished(options.results, spec), _guard(spec, options))


def _guard(spec: Spec, options: RunOptions) -> Guard:
    """What all that is written for a run goes through: see `bench.execution.claims`."""
    if options.results is None or options.claimed_by is None:
        return nullcontext
    return holder(options.results, spec, options.claimed_by).writing


def _save_results(
    record: schema.Record, scores_of_samples: sample_scores.SampleScores, setup: Setup, options: RunOptions
) -> schema.Record:
    """Save what belongs to a record besides itself; what cannot be saved is warned of, and hides nothing else.

    Raises:
        ClaimLostError: another command does the run by now, and saves these.
    """
    spec, results = record.spec, options.results
    assert results
    guard = _guard(spec, options)
    folder = Path(save_load.FOLDER) / schema.stem(spec)
    with_adapter = replace(record, adapter=folder.as_posix())

    def save_predictions() -> None:
        split = setup.data.datasets[setup.task.test_splits[0]]
        found = predict(setup.model, split, setup.recipe.eval_batch_size, setup.accelerator)
        predictions.save(found, results, spec, guard)

    def save_adapter() -> None:
        save_load.save(results / folder, with_adapter, setup.model, setup.method, guard)

    def set_aside() -> None:
        with guard():
            store.set_aside(results, spec, record)

    # Without its success the others would take the place of what belongs to the earlier record.
    if not _succeeds("the earlier record", spec, set_aside):
        return record
    _succeeds(
        "scores of the samples", spec, lambda: sample_scores.save(scores_of_samples, results, schema.stem(spec), guard)
    )
    _succeeds("predictions for `bench show`", spec, save_predictions)
    return with_adapter if options.save_adapters and _succeeds("the adapter", spec, save_adapter) else record


def _succeeds(what: str, spec: Spec, save: Callable[[], object]) -> bool:
    try:
        save()
    except ClaimLostError:
        raise
    except Exception as error:  # of whatever kind: safetensors and PEFT have their own
        _log.debug("%s", spec.label, exc_info=True)
        _log.error("%s of %s cannot be saved: %s", what, spec.label, error)
        return False
    return True


def measure(
    spec: Spec, setup: Setup, start: float, checkpoint: Checkpoint | None = None, callback: EpochCallback = no_callback
) -> tuple[dict[str, Any], sample_scores.SampleScores]:
    """Trains and scores; returns the parts of the record, and what each test sample scored.

    Args:
        spec: the run.
        setup: what it stands for.
        start: when the run began, by the performance counter.
        checkpoint: where training keeps its state; None to keep none.
        callback: is called with each epoch's validation and learning rates.
    """
    task, data, model, recipe, accelerator = setup.task, setup.data, setup.model, setup.recipe, setup.accelerator
    peaks = {phase: Peak(accelerator.device) for phase in ("train", "score")}
    with peaks["train"].watching():
        trained = _train(spec, setup, checkpoint, callback, peaks["train"])
    began = time.perf_counter()
    with peaks["score"].watching():
        scored = [
            score(model, task, data.datasets[split], recipe, accelerator, f"scoring {spec.label} {split}")
            for split in task.test_splits
        ]
    took = time.perf_counter() - began
    again, _ = score(model, task, data.datasets["val"], recipe, accelerator)
    unmerged, merged = _speeds(setup)
    by_split = {split: measured for split, (measured, _) in zip(task.test_splits, scored, strict=True)}
    of_samples = {
        split: _of_samples(task.per_sample(measured), getattr(data.samples[split], "groups", None))
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
        repeated=max_abs_difference(trained.validation, again),
    )
    rate = statistics.fmean(rate for _, rate in scored)
    return {
        "scores": scores,
        "memory": schema.Memory(peaks["train"].kind, peaks["train"].bytes, peaks["score"].bytes),
        "throughput": schema.Throughput(trained.throughput, rate, unmerged, merged),
        **_parts(spec, setup, trained, took, start),
    }, of_samples


def _validate(
    spec: Spec, setup: Setup, start: float, checkpoint: Checkpoint | None = None, callback: EpochCallback = no_callback
) -> tuple[dict[str, Any], sample_scores.SampleScores]:
    """What a trial of `bench tune` needs, as `measure` returns it: trains, and looks at no test split."""
    trained = _train(spec, setup, checkpoint, callback)
    scores = schema.Scores(
        setup.task.metric, trained.curve, trained.best_epoch, {}, 0, {}, splits={"val": trained.best}
    )
    return {"scores": scores, **_parts(spec, setup, trained, 0.0, start)}, {}


def _parts(spec: Spec, setup: Setup, trained: Trained, scoring: float, start: float) -> dict[str, Any]:
    """The parts of a record that every run has which was trained; `scoring` took so many seconds."""
    return {
        "parameters": replace(
            setup.parameters, active=setup.method.active_parameters(), no_gradient=trained.no_gradient
        ),
        "times": schema.Times(
            data=setup.seconds["data"],
            model=setup.seconds["model"],
            train=trained.seconds,
            score=scoring,
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
    seen = {split: setup.data.datasets[split] for split in ("train", "val")}  # the test split is out of its reach
    return train(
        setup.model,
        setup.method,
        setup.task,
        setup.recipe,
        seen,
        setup.accelerator,
        seed=spec.seed,
        label=spec.label,
        checkpoint=checkpoint,
        peak=peak,
        callback=callback,
    )


def _of_samples(scores: Mapping[str, Tensor], groups: Sequence[str] | None) -> dict[str, np.ndarray]:
    """What every sample of a split scored, and the numbers of their groups, where the task has any."""
    found = {name: values.numpy() for name, values in scores.items()}
    if groups is not None and all(len(values) == len(groups) for values in found.values()):
        found[sample_scores.GROUP] = np.unique(groups, return_inverse=True)[1]
    return found


def _speeds(setup: Setup) -> tuple[float, float | None]:
    """Scored samples a second before and after merging, by turns; None for the latter where nothing merges."""
    speeds: dict[bool, list[float]] = {False: [], True: []}
    for merge in (False, True) * 2:
        if merge and not setup.method.merge():
            continue
        try:
            split = setup.data.datasets[setup.task.test_splits[0]]
            rate = speed(setup.model, split, setup.recipe, setup.accelerator)
        finally:
            setup.method.unmerge()
        speeds[merge].append(rate)
    return statistics.fmean(speeds[False]), statistics.fmean(speeds[True]) if speeds[True] else None
