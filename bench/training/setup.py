"""What a specification stands for: data, model with the method attached, device and recipe, ready to be trained."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import nn
from transformers.utils import logging as transformers_logging

from bench.config.instantiate import method_of, task_of
from bench.config.recipe import Recipe
from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.data.splits import Splits, open_splits
from bench.errors import UsageError
from bench.methods.base import Method
from bench.records import schema
from bench.streams.base import Stream
from bench.streams.load import load_stream
from bench.streams.lockstep import MultiStream
from bench.streams.sources import encoder_checksum
from bench.tasks.base import Samples, Task
from bench.tasks.model import TaskModel


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
    parameters: schema.Parameters
    accelerator: Accelerator
    recipe: Recipe
    seconds: dict[str, float]


def set_up(spec: Spec, options: RunOptions) -> Setup:
    """Loads streams and data, and builds the model with the method attached, as it is before training.

    Raises:
        DataError, UsageError: the data is not there or broken, or the device is not there.
        BenchError: an encoder cannot be loaded, or the method cannot adapt it.
    """
    transformers_logging.disable_progress_bar()  # ours are enough
    task, method, recipe = build_parts(spec)
    accelerator = make_accelerator(options.device, recipe)
    start = time.perf_counter()
    streams = MultiStream({name: _pretrained(source) for name, source in spec.streams.items()})
    loaded = time.perf_counter()
    inputs = {name: stream.input for name, stream in streams.streams.items()}
    data = open_splits(task, spec.data, options.data_root, inputs, recipe.train_share)
    opened = time.perf_counter()
    model, parameters = build_model(spec, task, method, streams, data.samples["train"])
    apply_memory_options(model, recipe, accelerator)
    model.to(accelerator.device)
    attached = time.perf_counter()
    seconds = {"model": loaded - start + attached - opened, "data": opened - loaded}
    return Setup(task, method, data, model, parameters, accelerator, recipe, seconds)


def build_parts(spec: Spec) -> tuple[Task, Method, Recipe]:
    """The task, the method and the recipe of a specification."""
    task = task_of(spec)
    method = method_of(spec)
    return task, method, Recipe(**spec.recipe)


def build_model(
    spec: Spec, task: Task, method: Method, streams: MultiStream, samples: Samples | None
) -> tuple[TaskModel, schema.Parameters]:
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
    return model, schema.Parameters(
        adapter=adapter,
        head=head_size,
        trainable=adapter + head_size,
        total=sum(p.numel() for p in model.parameters()),
        streams=frozen,
        percent=100 * adapter / frozen,
    )


_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def apply_memory_options(model: TaskModel, recipe: Recipe, accelerator: Accelerator) -> None:
    """Spends less memory on a model, as far as its recipe says so."""
    if recipe.gradient_checkpointing:  # a method may have asked for it as well
        model.streams.gradient_checkpointing = True
    if recipe.low_precision_frozen:
        cast_frozen_parameters(model, accelerator.mixed_precision)


def cast_frozen_parameters(model: TaskModel, precision: str) -> None:
    """Puts frozen linears and convolutions into the type that mixed precision would cast them to at each use.

    Norms, embeddings and what is trained stay in float32.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and precision in _TYPES:
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(_TYPES[precision])


@lru_cache(maxsize=4)
def _loaded(checksum: str, **source: Any) -> Stream:
    """The stream; `checksum` is of its encoder, which may have changed since it was last loaded."""
    return load_stream(**source)


def _pretrained(source: Mapping[str, Any]) -> Stream:
    """A stream of its own for each run, copied from what the runs of this process load once."""
    return copy.deepcopy(_loaded(encoder_checksum(source["model"]), **source))


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
