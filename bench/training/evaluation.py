"""Scoring of splits, and its speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import Dataset, Subset

from bench.config.recipe import Recipe
from bench.data.loader import batches, load
from bench.measurement.memory import StepClock
from bench.progress import bar
from bench.records.predictions import SAMPLES, SINGLE_OUTPUT, Predictions
from bench.tasks.base import Task
from bench.tasks.model import TaskModel

Samples = Dataset[dict[str, Tensor]]

Measured = dict[str, Tensor]
"""The measures of all samples of a split, by name: each (samples,), float64."""


@torch.inference_mode()
def score(
    model: TaskModel, task: Task, split: Samples, recipe: Recipe, accelerator: Accelerator, label: str = ""
) -> tuple[Measured, float]:
    """Score a split.

    Args:
        model: The model to score; left in evaluation mode.
        task: Computes the measures of samples; its `summarize` computes metrics from them.
        split: The samples.
        recipe: Batch size.
        accelerator: Device, precision and processes.
        label: Text of the progress bar; "" for none.

    Returns:
        The measures of all samples by name, and samples per second.
    """
    loader = accelerator.prepare_data_loader(load(split, recipe.eval_batch_size, pin=accelerator.device.type == "cuda"))
    model.eval()
    clock = StepClock(accelerator.device)
    clock.skip()
    gathered: dict[str, list[Tensor]] = {}
    for batch in batches(bar(loader, label) if label else loader):
        with accelerator.autocast():
            output = model(batch)
        for name, values in accelerator.gather_for_metrics(task.score(output, batch)).items():
            gathered.setdefault(name, []).append(values)  # moved to the CPU at the end, so that the GPU need not wait
        clock.tick(len(next(iter(batch.values()))))
    return {
        name: torch.cat(values).double().cpu() for name, values in gathered.items()
    }, clock.throughput() * accelerator.num_processes


def concatenate(splits: Sequence[Measured]) -> Measured:
    """Return the measures of several splits as those of one."""
    return {name: torch.cat([measured[name] for measured in splits]) for name in splits[0]}


def max_abs_difference(a: Measured, b: Measured) -> float:
    """Return the largest absolute difference of a measure between two scorings of the same samples.

    It is infinite if their numbers of samples differ.
    """
    if any(a[name].shape != b[name].shape for name in a):
        return math.inf
    return max((a[name] - b[name]).abs().max().item() for name in a)


_TIMED_BATCHES = 8


def speed(model: TaskModel, split: Samples, recipe: Recipe, accelerator: Accelerator) -> float:
    """Return the samples scored per second, measured on the first batches of a split, without keeping scores."""
    loader = accelerator.prepare_data_loader(load(split, recipe.eval_batch_size, pin=accelerator.device.type == "cuda"))
    model.eval()
    clock = StepClock(accelerator.device)
    clock.skip()
    with torch.inference_mode():
        for batch in islice(batches(loader), _TIMED_BATCHES):
            with accelerator.autocast():
                model(batch)
            clock.tick(len(next(iter(batch.values()))))
    return clock.throughput() * accelerator.num_processes


@torch.inference_mode()
def predict(
    model: TaskModel, split: Dataset, numbers: Sequence[int], batch_size: int, accelerator: Accelerator
) -> Predictions:
    """Return the head's output for a few samples, spread evenly over a split.

    Args:
        model: The model.
        split: The samples.
        numbers: The number of each of them, which is not its place in `split` if some samples cannot be read.
        batch_size: Samples per batch.
        accelerator: Device and precision.

    Returns:
        Arrays by name, by the number of the sample.
    """
    length = len(split)  # type: ignore[arg-type]
    chosen = sorted({round(index) for index in np.linspace(0, length - 1, min(SAMPLES, length))})
    loader = accelerator.prepare_data_loader(load(Subset(split, chosen), batch_size))
    model.eval()
    rows: list[dict[str, np.ndarray]] = []
    for batch in loader:
        with accelerator.autocast():
            output = model(batch)
        parts = output if isinstance(output, dict) else {SINGLE_OUTPUT: output}
        arrays = {name: part.float().cpu().numpy() for name, part in parts.items()}
        rows += [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]
    return {numbers[index]: row for index, row in zip(chosen, rows, strict=True)}
