"""Scores a split, and times scoring."""

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
from bench.records.predictions import KEPT, SINGLE_OUTPUT, Predictions
from bench.tasks.base import Task
from bench.tasks.model import TaskModel

Samples = Dataset[dict[str, Tensor]]

Measured = dict[str, Tensor]
"""What a task measured of each sample of a split, by name: each (samples,), float64."""


@torch.inference_mode()
def score(
    model: TaskModel, task: Task, split: Samples, recipe: Recipe, accelerator: Accelerator, label: str = ""
) -> tuple[Measured, float]:
    """Scores a split: what the task measures of each sample, and samples a second.

    Args:
        model: to be scored; left in evaluation mode.
        task: scores; its `summarise` makes metrics of what is returned.
        split: samples.
        recipe: batch size.
        accelerator: device, precision and processes.
        label: what the progress bar says; none without.
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
            gathered.setdefault(name, []).append(values)  # to the CPU at the end: until then the GPU need not wait
        clock.tick(len(next(iter(batch.values()))))
    return {
        name: torch.cat(values).double().cpu() for name, values in gathered.items()
    }, clock.throughput() * accelerator.num_processes


def concatenate(splits: Sequence[Measured]) -> Measured:
    """What was measured of the samples of several splits, as of one."""
    return {name: torch.cat([measured[name] for measured in splits]) for name in splits[0]}


def max_abs_difference(one: Measured, other: Measured) -> float:
    """The largest difference of a sample's measures between two scorings; infinite if not of as many samples."""
    if any(one[name].shape != other[name].shape for name in one):
        return math.inf
    return max((one[name] - other[name]).abs().max().item() for name in one)


_TIMED = 8  # batches that tell a speed


def speed(model: TaskModel, split: Samples, recipe: Recipe, accelerator: Accelerator) -> float:
    """Scored samples a second, from the first batches of a split, without keeping any score."""
    loader = accelerator.prepare_data_loader(load(split, recipe.eval_batch_size, pin=accelerator.device.type == "cuda"))
    model.eval()
    clock = StepClock(accelerator.device)
    clock.skip()
    with torch.inference_mode():
        for batch in islice(batches(loader), _TIMED):
            with accelerator.autocast():
                model(batch)
            clock.tick(len(next(iter(batch.values()))))
    return clock.throughput() * accelerator.num_processes


@torch.inference_mode()
def predict(model: TaskModel, split: Dataset, batch_size: int, accelerator: Accelerator) -> Predictions:
    """What the model gives for a few samples of a split."""
    length = len(split)  # type: ignore[arg-type]
    chosen = sorted({round(index) for index in np.linspace(0, length - 1, min(KEPT, length))})
    loader = accelerator.prepare_data_loader(load(Subset(split, chosen), batch_size))
    model.eval()
    rows: list[dict[str, np.ndarray]] = []
    for batch in loader:
        with accelerator.autocast():
            output = model(batch)
        parts = output if isinstance(output, dict) else {SINGLE_OUTPUT: output}
        arrays = {name: part.float().cpu().numpy() for name, part in parts.items()}
        rows += [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]
    return dict(zip(chosen, rows, strict=True))
