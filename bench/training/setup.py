"""The parts of a run, ready for training: data, model with the method attached, device and recipe."""

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

from bench.config.instantiate import method_of, sources_of, task_of
from bench.config.recipe import Recipe
from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.data.splits import Splits, open_splits
from bench.errors import BenchError, UsageError
from bench.methods.base import Method
from bench.methods.parameter_groups import checked_groups
from bench.records import schema
from bench.streams.base import Stream
from bench.streams.load import load_stream
from bench.streams.lockstep import MultiStream
from bench.streams.sources import encoder_checksum
from bench.tasks.base import Samples, Task
from bench.tasks.model import TaskModel


@dataclass
class Setup:
    """The parts of a run, on its device.

    Attributes:
        task: The task.
        method: The method, attached.
        data: The task's splits.
        model: The streams with the adapters, and the head.
        parameters: Numbers of parameters.
        accelerator: Device and precision.
        recipe: How to train.
        seconds: Wall time of preparing the `model` and the `data`.
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
    """Load streams and data, and build the model with the method attached.

    Args:
        spec: The specification of the run.
        options: Device and data root.

    Raises:
        DataError: The data is broken.
        UsageError: The data or the device is missing.
        BenchError: An encoder cannot be loaded, or the method cannot adapt it.
    """
    transformers_logging.disable_progress_bar()  # this package shows its own
    task, method, recipe = build_parts(spec)
    accelerator = make_accelerator(options.device, recipe)
    start = time.perf_counter()
    streams = MultiStream({name: _pretrained(source) for name, source in sources_of(spec).items()})
    loaded = time.perf_counter()
    inputs = {name: stream.input for name, stream in streams.streams.items()}
    draw = f"seed {spec.seed}: " if recipe.train_draw == "seed" else ""
    data = open_splits(task, spec.data, options.data_root, inputs, recipe.train_share, draw)
    opened = time.perf_counter()
    model, parameters = build_model(spec, task, method, streams, data.samples["train"])
    apply_memory_options(model, recipe, accelerator)
    model.to(accelerator.device)
    attached = time.perf_counter()
    seconds = {"model": loaded - start + attached - opened, "data": opened - loaded}
    return Setup(task, method, data, model, parameters, accelerator, recipe, seconds)


def build_parts(spec: Spec) -> tuple[Task, Method, Recipe]:
    """Return the task, the method and the recipe of a specification."""
    task = task_of(spec)
    method = method_of(spec)
    return task, method, Recipe(**spec.recipe)


def build_model(
    spec: Spec, task: Task, method: Method, streams: MultiStream, samples: Samples | None
) -> tuple[TaskModel, schema.Parameters]:
    """Attach the method to pretrained streams and add the head.

    The seed is set before the head and again before the method, so that the initial head is the same for every method.

    Args:
        spec: The specification of the run.
        task: Its task.
        method: Its method, not attached yet.
        streams: The streams to adapt, in place.
        samples: The training split; None without data.

    Returns:
        The model, and its numbers of parameters.

    Raises:
        BenchError: The method cannot adapt the streams, lets them read each other in a task that encodes each alone, or
            has wrong parameter groups.
    """
    frozen = sum(p.numel() for p in streams.parameters())
    set_seed(spec.seed)
    widths = {name: stream.width for name, stream in streams.streams.items()}
    head = task.head(widths, samples)
    set_seed(spec.seed)
    method.attach(streams)
    if task.separate_streams and streams.reads_partners:
        raise BenchError(
            f"{spec.method} lets streams read each other, but {spec.task} encodes each alone: a stream that has read "
            "its partner knows the answer"
        )
    checked_groups(method, streams)  # again before the adapter is trained, which may be long after the head was
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


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def apply_memory_options(model: TaskModel, recipe: Recipe, accelerator: Accelerator) -> None:
    """Apply the memory options of a recipe to a model."""
    if recipe.gradient_checkpointing:  # a method may have enabled it as well
        model.streams.gradient_checkpointing = True
    if recipe.low_precision_frozen:
        cast_frozen_parameters(model, accelerator.mixed_precision)


def cast_frozen_parameters(model: TaskModel, precision: str) -> None:
    """Cast frozen linears and convolutions to the dtype to which mixed precision would cast them at each use.

    Norms, embeddings and trained parameters remain in float32.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and precision in _DTYPES:
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(_DTYPES[precision])


@lru_cache(maxsize=4)
def _loaded(checksum: str, **source: Any) -> Stream:
    """Return a stream; `checksum` is that of its encoder, which may have changed since it was last loaded."""
    return load_stream(**source)


def _pretrained(source: Mapping[str, Any]) -> Stream:
    """Return a copy of a stream that the runs of this process load once."""
    return copy.deepcopy(_loaded(encoder_checksum(source["model"]), **source))


def make_accelerator(device: str, recipe: Recipe) -> Accelerator:
    """Return the device, precision and processes for a run.

    Args:
        device: "auto", "cpu" or "cuda".
        recipe: Precision and compilation.

    Raises:
        UsageError: The device is missing or does not support the precision.
    """
    precision, compiled = recipe.precision, recipe.compile
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device on this machine; use --device auto")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if precision == "auto":
        # bfloat16 autocast is slower than float32 on most CPUs.
        precision = "bf16" if not on_cpu and torch.cuda.is_bf16_supported() else "no"
    if precision == "fp16" and on_cpu:
        raise UsageError("precision fp16 needs a GPU: use --set train.precision=auto, which is float32 on a CPU")
    # All accelerators of a process share this state: reset the device and precision of an earlier run.
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    return Accelerator(
        cpu=on_cpu,
        mixed_precision=precision,
        dynamo_backend="inductor" if compiled else None,
        # Encoders have parameters that tasks do not use, such as the mask token, which `full` trains too.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def device_name(device: torch.device) -> str:
    """Return the name of a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
