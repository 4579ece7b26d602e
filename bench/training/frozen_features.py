"""What frozen streams make of samples, computed once: a method that trains the head alone need not run them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import Dataset

from bench.config.recipe import Recipe
from bench.data.loader import TensorDataset, batches, load
from bench.tasks.base import Task
from bench.tasks.model import TaskModel
from bench.training.evaluation import Samples

MAX_BYTES = 2 * 1024**3  # of a split's features

_ROW = "row"  # the column of a batch that says which samples it holds

Augment = Callable[[dict[str, Tensor], torch.Generator], dict[str, Tensor]]
"""Changes a training batch by chance."""

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""Augments a batch."""


def features(
    model: TaskModel,
    samples: Dataset[dict[str, Tensor]],
    batch_size: int,
    accelerator: Accelerator,
    views: int | None = None,
    augment: Change = dict,
) -> Dataset[dict[str, Tensor]]:
    """The samples with the streams' states in place of their inputs, in the order of the samples.

    Args:
        model: whose streams are frozen.
        samples: a whole split.
        batch_size: of the batches in which they are computed.
        accelerator: device and precision.
        views: of each sample so many, each augmented anew: the features are (samples, views, ...). None for the samples
            as they are: (samples, ...).
        augment: makes a view of a batch.

    Returns:
        What `model` takes in place of the samples; the samples themselves where the features would fill more than 2
        GiB, or where several processes share them.
    """
    if accelerator.num_processes > 1:
        return samples
    found: dict[str, list[Tensor]] = {}
    model.eval()
    loader = load(samples, batch_size)
    for number, plain in enumerate(batches(loader)):
        if views is None:
            computed = _computed(model, plain, accelerator)
        else:
            several = [_computed(model, augment(plain), accelerator) for _ in range(views)]
            computed = {name: torch.stack([each[name] for each in several], dim=1) for name in several[0]}
        for name, values in computed.items():
            found.setdefault(name, []).append(values)
        if number == 0:
            size = sum(values[0].nbytes for values in found.values())
            if size * len(loader) > MAX_BYTES:
                return samples
    return TensorDataset({name: torch.cat(values) for name, values in found.items()})


class Views:
    """Draws one of the views of each sample of a batch, and fetches that one only.

    Args:
        columns: what there is of the samples, (samples, views, ...) by name.
    """

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.columns = columns
        self.count, self.views = next(iter(columns.values())).shape[:2]

    def samples(self) -> TensorDataset:
        """The samples, of which a batch tells only which they are."""
        return TensorDataset({_ROW: torch.arange(self.count)})

    def __call__(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """What there is of a batch (B,) of `samples`, (B, ...), on the batch's device."""
        rows, device = batch[_ROW].cpu(), batch[_ROW].device
        drawn = torch.randint(self.views, (len(rows),), generator=generator)
        return {name: values[rows, drawn].to(device) for name, values in self.columns.items()}


def _computed(model: TaskModel, plain: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """What is left of a batch, with the streams' states in place of their inputs, off the device."""
    batch = {name: values.to(accelerator.device) for name, values in plain.items()}
    with torch.no_grad(), accelerator.autocast():
        states = model.states(batch)
    kept = {name: values for name, values in plain.items() if name not in model.streams.streams}
    return {**kept, **{name: values.cpu() for name, values in states.items()}}


def without_streams(
    model: TaskModel,
    task: Task,
    recipe: Recipe,
    splits: Mapping[str, Samples],
    accelerator: Accelerator,
    seed: int,
) -> tuple[Mapping[str, Samples], Augment]:
    """The splits of a model whose streams are frozen: as features where the streams always give the same.

    Args:
        model: moved to the accelerator's device.
        task: says how training batches are augmented.
        recipe: how many views of each training sample, and the batch size to compute them in.
        splits: "train" and "val".
        accelerator: device and precision.
        seed: of the views.

    Returns:
        The splits, and how a training batch of them is augmented.
    """
    model.to(accelerator.device)

    def computed(split: str, *views: Any) -> Samples:
        return features(model, splits[split], recipe.eval_batch_size, accelerator, *views)

    splits = {**splits, "val": computed("val")}
    if type(task).augment is Task.augment:
        return {**splits, "train": computed("train")}, task.augment
    if recipe.views is None:
        return splits, task.augment
    chance = torch.Generator().manual_seed(seed)
    seen = computed("train", recipe.views, lambda batch: task.augment(batch, chance))
    if seen is splits["train"]:
        return splits, task.augment
    assert isinstance(seen, TensorDataset)
    views = Views(seen.columns)
    return {**splits, "train": views.samples()}, views
