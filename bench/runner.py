"""One run, from its specification to its record."""

from __future__ import annotations

import copy
import logging
import statistics
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from bench import artefact, predictions, processes, records, registry, samples, settings
from bench.checkpoint import Checkpoint, made_by
from bench.data import Splits, open_splits
from bench.environment import environment
from bench.errors import BenchError, UsageError
from bench.measure import Peak, release_memory
from bench.methods.base import Method
from bench.plan import Spec
from bench.recipe import Recipe
from bench.scoring import difference, score, speed, together
from bench.streams.base import Stream
from bench.streams.load import load_stream
from bench.streams.lockstep import MultiStream
from bench.sweep import RunOptions
from bench.tasks.base import Samples, Task
from bench.tasks.model import TaskModel
from bench.train import STEP, Trained, train

_log = logging.getLogger(__name__)


@dataclass
class _Clock:
    """Wall time of each phase, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - start


@dataclass
class Setup:
    """What a specification stands for, on its device.

    Attributes:
        task: the task.
        method: the method, attached.
        data: the task's splits.
        model: streams with the adapters, and head.
        parameters: how many it has.
        accelerator: device and precision.
        recipe: how to train it.
        seconds: wall time of preparing the `model` and the `data`.
    """

    task: Task
    method: Method
    data: Splits
    model: TaskModel
    parameters: records.Parameters
    accelerator: Accelerator
    recipe: Recipe
    seconds: dict[str, float]


def set_up(spec: Spec, options: RunOptions) -> Setup:
    """Loads streams and data, and builds the model with the method attached, as it is before training.

    Raises:
        DataError, UsageError: the data is not there or broken, or the device is not there.
        BenchError: an encoder cannot be loaded, or the method cannot adapt it.
    """
    clock = _Clock()
    transformers_logging.disable_progress_bar()  # ours are enough
    task, method, recipe = build_parts(spec)
    accelerator = make_accelerator(options.device, recipe)
    with clock.phase("model"):
        streams = MultiStream({name: _pretrained(source) for name, source in spec.streams.items()})
    with clock.phase("data"):
        inputs = {name: stream.input for name, stream in streams.streams.items()}
        data = open_splits(task, spec.data, options.data_root, inputs)
    with clock.phase("attach"):
        model, parameters = build_model(spec, task, method, streams, data.samples["train"])
        economise(model, recipe, accelerator)
        model.to(accelerator.device)
    seconds = {"model": clock.seconds["model"] + clock.seconds["attach"], "data": clock.seconds["data"]}
    return Setup(task, method, data, model, parameters, accelerator, recipe, seconds)


def execute(spec: Spec, options: RunOptions) -> records.Record:
    """Does one run and returns its record, also where it failed.

    Raises:
        UsageError: the release or the device is not there; this ends every run alike.
    """
    started = records.now()
    _, _, recipe = build_parts(spec)
    device = make_accelerator(options.device, recipe).device
    here = environment(device_name(device), torch.get_num_threads())
    here = replace(here, processes=processes.count())
    blank = records.Record.failed(spec, started, environment=here)
    try:
        start = time.perf_counter()
        setup = set_up(spec, options)
        checkpoint = _checkpoint(spec, setup, options.results) if options.results else None
        measured, sample_scores = (_validate if options.validate_only else measure)(spec, setup, start, checkpoint)
    except UsageError:
        raise
    except Exception as error:
        _log.debug("%s failed", spec.label, exc_info=True)
        failed = replace(
            blank,
            reason=_reason(error),
            traceback=traceback.format_exc(),
            step=getattr(error, STEP, None),
            finished=records.now(),
        )
    else:
        failed = None
    if failed:
        setup = checkpoint = None  # type: ignore[assignment]  # so that the next run has the memory
        release_memory()
        return failed
    record = replace(blank, status="ok", finished=records.now(), **measured)
    if options.results and setup.accelerator.is_main_process:
        _keep_samples(spec, sample_scores, options.results)
        _keep_predictions(spec, setup, options.results)
        if options.save_adapters:
            record = _keep_adapter(record, setup, options.results)
    return record


def _reason(error: Exception) -> str:
    """Why a run failed, in words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return (
            f"out of memory: {error or type(error).__name__}; a smaller --set train.micro_batch=N or "
            "train.gradient_checkpointing=true needs less"
        )
    return str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"


def _checkpoint(spec: Spec, setup: Setup, results: Path) -> Checkpoint:
    """Where the run's state is kept. `bench.sweep` removes it when the record is written."""
    made = made_by([type(setup.task), type(setup.method)], setup.data.fingerprint, setup.accelerator.mixed_precision)
    return Checkpoint(records.checkpoint(results, spec), made)


def _keep_samples(spec: Spec, scores: samples.SampleScores, results: Path) -> None:
    try:
        samples.keep(scores, results, records.stem(spec))
    except OSError as error:
        _log.error("scores of the samples of %s cannot be kept: %s", spec.label, error)


def _keep_predictions(spec: Spec, setup: Setup, results: Path) -> None:
    split = setup.data.datasets[setup.task.test_splits[0]]
    try:
        found = predictions.predict(setup.model, split, setup.recipe.eval_batch_size, setup.accelerator)
        predictions.keep(found, results, spec)
    except Exception as error:  # of whatever kind: safetensors has its own
        _log.error("predictions of %s for `bench show` cannot be kept: %s", spec.label, error)


def _keep_adapter(record: records.Record, setup: Setup, results: Path) -> records.Record:
    """Saves the adapter; what was measured is not lost where that fails."""
    folder = Path(artefact.FOLDER) / records.stem(Spec(**record.spec))
    record = replace(record, adapter=folder.as_posix())
    try:
        artefact.save(results / folder, record, setup.model, setup.method)
    except Exception as error:  # of whatever kind: safetensors and PEFT have their own
        _log.debug("%s", record.label, exc_info=True)
        _log.error("the adapter of %s cannot be saved: %s", record.label, error)
        return replace(record, adapter=None)
    return record


def measure(
    spec: Spec, setup: Setup, start: float, checkpoint: Checkpoint | None = None
) -> tuple[dict[str, Any], samples.SampleScores]:
    """Trains and scores; returns the parts of the record, and what each test sample scored.

    Args:
        spec: the run.
        setup: what it stands for.
        start: when the run began, by the performance counter.
        checkpoint: where training keeps its state; None to keep none.
    """
    clock = _Clock()
    task, method, data, model, recipe = setup.task, setup.method, setup.data, setup.model, setup.recipe
    accelerator = setup.accelerator
    peaks = {phase: Peak(accelerator.device) for phase in ("train", "score")}
    with clock.phase("train"), peaks["train"].watching():
        trained = _train(spec, setup, checkpoint, peaks["train"])
    with clock.phase("score"), peaks["score"].watching():
        scored = [
            score(model, task, data.datasets[split], recipe, accelerator, f"scoring {spec.label} {split}")
            for split in task.test_splits
        ]
    again, _ = score(model, task, data.datasets["val"], recipe, accelerator)
    unmerged, merged = _speeds(setup)
    of_samples = {
        split: _of_samples(task.of_each(measured), getattr(data.samples[split], "groups", None))
        for split, (measured, _) in zip(task.test_splits, scored, strict=True)
    }
    parts = {
        "scores": records.Scores(
            metric=task.metric,
            validation=trained.curve,
            best_epoch=trained.best_epoch,
            test=task.summarise(together([measured for measured, _ in scored])),
            test_samples=sum(data.counts[split] for split in task.test_splits),
            floors=dict(data.floors),
            splits={
                "val": next(entry.scores for entry in trained.curve if entry.epoch == trained.best_epoch),
                **{
                    split: task.summarise(measured)
                    for split, (measured, _) in zip(task.test_splits, scored, strict=True)
                },
            },
            repeated=difference(trained.validation, again),
        ),
        "parameters": replace(setup.parameters, effective=method.effective_parameters(), idle=trained.idle),
        "memory": records.Memory(peaks["train"].kind, peaks["train"].bytes, peaks["score"].bytes),
        "throughput": records.Throughput(
            trained.throughput, statistics.fmean(rate for _, rate in scored), unmerged, merged
        ),
        "times": records.Times(
            data=setup.seconds["data"],
            model=setup.seconds["model"],
            train=trained.seconds,
            score=clock.seconds["score"],
            total=time.perf_counter() - start + trained.seconds - clock.seconds["train"],
            resumed=trained.resumed,
        ),
        "data": records.DataInfo(spec.data["source"], data.fingerprint, data.counts, data.skipped),
    }
    return parts, of_samples


def _train(spec: Spec, setup: Setup, checkpoint: Checkpoint | None, peak: Peak | None = None) -> Trained:
    seen = {split: setup.data.datasets[split] for split in ("train", "val")}  # the test split is out of its reach
    return train(
        setup.model,
        setup.method,
        setup.task,
        setup.recipe,
        seen,
        setup.accelerator,
        spec.seed,
        spec.label,
        checkpoint,
        peak,
    )


def _validate(
    spec: Spec, setup: Setup, start: float, checkpoint: Checkpoint | None = None
) -> tuple[dict[str, Any], samples.SampleScores]:
    """What a trial of `bench tune` needs, as `measure` returns it: trains, and looks at no test split."""
    task, method, data = setup.task, setup.method, setup.data
    trained = _train(spec, setup, checkpoint)
    best = next(entry.scores for entry in trained.curve if entry.epoch == trained.best_epoch)
    parts = {
        "scores": records.Scores(task.metric, trained.curve, trained.best_epoch, {}, 0, {}, splits={"val": best}),
        "parameters": replace(setup.parameters, effective=method.effective_parameters(), idle=trained.idle),
        "times": records.Times(
            data=setup.seconds["data"],
            model=setup.seconds["model"],
            train=trained.seconds,
            score=0.0,
            total=time.perf_counter() - start,
            resumed=trained.resumed,
        ),
        "data": records.DataInfo(spec.data["source"], data.fingerprint, data.counts, data.skipped),
    }
    return parts, {}


def _of_samples(scores: Mapping[str, Tensor], groups: Sequence[str] | None) -> dict[str, np.ndarray]:
    """What every sample of a split scored, and the numbers of their groups, where the task has any."""
    found = {name: values.numpy() for name, values in scores.items()}
    if groups is not None and all(len(values) == len(groups) for values in found.values()):
        found[samples.GROUP] = np.unique(groups, return_inverse=True)[1]
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


def build_parts(spec: Spec) -> tuple[Task, Method, Recipe]:
    """The task, the method and the recipe of a specification."""
    task: Task = settings.build(registry.load("tasks", spec.task), spec.task_settings, spec.task)
    method: Method = settings.build(registry.load("methods", spec.method), spec.settings, spec.method)
    return task, method, Recipe(**spec.recipe)


def build_model(
    spec: Spec, task: Task, method: Method, streams: MultiStream, samples: Samples | None
) -> tuple[TaskModel, records.Parameters]:
    """Head and adapters on pretrained streams, and how many parameters they have.

    The seed is set anew before the head and before the method: so the head starts the same under every method.

    Args:
        spec: the run.
        task: its task.
        method: its method, not attached yet.
        streams: to be adapted, in place.
        samples: of the training split; None where there is no data.
    """
    frozen = sum(p.numel() for p in streams.parameters())
    set_seed(spec.seed)
    widths = {name: stream.width for name, stream in streams.streams.items()}
    head = task.head(widths, samples)
    set_seed(spec.seed)
    method.attach(streams)
    model = TaskModel(streams, head)
    adapter = sum(streams.get_parameter(name).numel() for name in method.adapter_names(streams))
    head_size = sum(p.numel() for p in head.parameters() if p.requires_grad)
    return model, records.Parameters(
        adapter=adapter,
        head=head_size,
        trainable=adapter + head_size,
        total=sum(p.numel() for p in model.parameters()),
        streams=frozen,
        percent=100 * adapter / frozen,
    )


_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def economise(model: TaskModel, recipe: Recipe, accelerator: Accelerator) -> None:
    """Spends less memory on a model, as far as its recipe says so."""
    model.streams.gradient_checkpointing = recipe.gradient_checkpointing
    if recipe.low_precision_frozen:
        lower_frozen(model, accelerator.mixed_precision)


def lower_frozen(model: TaskModel, precision: str) -> None:
    """Puts frozen linears and convolutions into the type that mixed precision would cast them to at each use.

    Norms, embeddings and what is trained stay in float32.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and precision in _TYPES:
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(_TYPES[precision])


@lru_cache(maxsize=4)
def _loaded(**source: Any) -> Stream:
    return load_stream(**source)


def _pretrained(source: Mapping[str, Any]) -> Stream:
    """A stream of its own for each run, copied from what the runs of this process load once."""
    return copy.deepcopy(_loaded(**source))


def make_accelerator(device: str, recipe: Recipe) -> Accelerator:
    """Device, precision and processes as a command and a recipe ask for them.

    Raises:
        UsageError: the device is not there, or cannot compute in this precision.
    """
    precision, compiled = recipe.precision, recipe.compile
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device here; --device auto takes what there is")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if precision == "auto":
        # bfloat16 autocast is slower than float32 on most CPUs.
        precision = "bf16" if not on_cpu and torch.cuda.is_bf16_supported() else "no"
    if precision == "fp16" and on_cpu:
        raise UsageError("precision fp16 needs a GPU: --set train.precision=auto takes float32 on a CPU")
    # Its state is shared by all accelerators of a process: an earlier run's device and precision must not stay.
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    return Accelerator(
        cpu=on_cpu,
        mixed_precision=precision,
        dynamo_backend="inductor" if compiled else None,
        # An encoder has parameters that a task does not use, as that for masked patches: `full` trains them too.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def device_name(device: torch.device) -> str:
    """The name of a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
