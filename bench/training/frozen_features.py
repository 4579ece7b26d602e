"""What frozen streams, or the frozen first steps of their lockstep, make of the samples: computed once, and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import Dataset

from bench.config.recipe import Recipe
from bench.data.loader import TensorDataset, batches, load
from bench.streams.frozen_steps import frozen_steps
from bench.tasks.base import Task
from bench.tasks.model import TaskModel
from bench.training.evaluation import Samples

MAX_BYTES = 2 * 1024**3  # of a split's features; twice that if a head is trained first on those of whole streams

_ROW = "row"  # the column of a batch with the numbers of its samples

Augment = Callable[[dict[str, Tensor], torch.Generator], dict[str, Tensor]]
"""Augments a training batch with the draws of a generator."""

Transform = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""Augments a batch."""


def features(
    model: TaskModel,
    samples: Dataset[dict[str, Tensor]],
    batch_size: int,
    accelerator: Accelerator,
    views: int | None = None,
    augment: Transform = dict,
    steps: int | None = None,
) -> Dataset[dict[str, Tensor]]:
    """Return samples with the streams' states instead of their inputs, in the same order.

    Args:
        model: A model with frozen streams, or whose first steps are frozen.
        samples: A whole split: inputs, or states within the streams.
        batch_size: Samples per batch of the computation.
        accelerator: Device and precision.
        views: Number of independently augmented views of each sample: features are (samples, views, ...). None for the
            unaugmented samples: (samples, ...).
        augment: Augments a batch for one view.
        steps: Number of steps of the lockstep to compute, from the first; None for the final states.

    Returns:
        Samples that `model` accepts instead; the original samples if the features would exceed `MAX_BYTES`, or if there
        are several processes.
    """
    if accelerator.num_processes > 1:
        return samples
    columns: dict[str, list[Tensor]] = {}
    model.eval()
    loader = load(samples, batch_size)
    for number, batch in enumerate(batches(loader)):
        if views is None:
            computed = _with_states(model, batch, accelerator, steps)
        else:
            computed_views = [_with_states(model, augment(batch), accelerator, steps) for _ in range(views)]
            computed = {name: torch.stack([view[name] for view in computed_views], dim=1) for name in computed_views[0]}
        for name, values in computed.items():
            columns.setdefault(name, []).append(values)
        if number == 0:
            size = sum(values[0].nbytes for values in columns.values())
            if size * len(loader) > MAX_BYTES:
                return samples
    return TensorDataset({name: torch.cat(values) for name, values in columns.items()})


class Views:
    """Augmentation that replaces samples by one of their views, drawn at random, and fetches only that one.

    Attributes:
        columns: The views of all samples, (samples, views, ...) by name.
    """

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.columns = columns
        self.count, self.views = next(iter(columns.values())).shape[:2]

    def samples(self) -> TensorDataset:
        """Return the samples to load: their batches contain only the numbers of the samples."""
        return TensorDataset({_ROW: torch.arange(self.count)})

    def __call__(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return a drawn view of each sample of a batch, (B, ...) by name, on the batch's device.

        Args:
            batch: A batch (B,) of `samples`.
            generator: Draws the views, on the CPU.
        """
        rows, device = batch[_ROW].cpu(), batch[_ROW].device
        drawn = torch.randint(self.views, (len(rows),), generator=generator)
        return {name: values[rows, drawn].to(device) for name, values in self.columns.items()}


def _with_states(
    model: TaskModel, plain: dict[str, Tensor], accelerator: Accelerator, steps: int | None
) -> dict[str, Tensor]:
    """Return a batch with the streams' states instead of their inputs, on the CPU."""
    batch = {name: values.to(accelerator.device) for name, values in plain.items()}
    with torch.no_grad(), accelerator.autocast():
        states = model.states(batch) if steps is None else model.begin(batch, steps)
    return {**model.besides_inputs(plain), **{name: values.cpu() for name, values in states.items()}}


def computed_once(
    model: TaskModel,
    task: Task,
    recipe: Recipe,
    splits: Mapping[str, Samples],
    augment: Augment,
    accelerator: Accelerator,
    seed: int,
) -> tuple[Mapping[str, Samples], Augment]:
    """Return the splits of a model as features, as far as the streams always return the same for them.

    These are the final states of frozen streams; if the first steps of the lockstep are frozen and the recipe sets a
    number of views, the states after these steps. Training and scoring give the same as without features, except that
    they draw among these views.

    Args:
        model: The model; moved to the accelerator's device.
        task: The task.
        recipe: Views of each training sample, and the batch size of the computation.
        splits: "train" and "val".
        augment: Augments training batches: that of the task, or what this function returned with the splits before.
        accelerator: Device and precision.
        seed: Seed of the views.

    Returns:
        The splits, and the augmentation of training batches from them.
    """
    model.to(accelerator.device)
    steps = frozen_steps(model.streams) if any(p.requires_grad for p in model.streams.parameters()) else None
    if steps == 0 or (steps and recipe.views is None):
        return splits, augment

    def computed(samples: Samples, views: int | None = None, transform: Transform = dict) -> Samples:
        return features(model, samples, recipe.eval_batch_size, accelerator, views, transform, steps)

    train, splits = splits["train"], {**splits, "val": computed(splits["val"])}
    if isinstance(augment, Views):
        flat = computed(TensorDataset({name: values.flatten(0, 1) for name, values in augment.columns.items()}))
        shape = (augment.count, augment.views)
        views = Views({name: values.unflatten(0, shape) for name, values in _columns(flat).items()})
        return {**splits, "train": views.samples()}, views
    if type(task).augment is Task.augment:
        return {**splits, "train": computed(train)}, augment
    if recipe.views is None:
        return splits, augment
    generator = torch.Generator().manual_seed(seed)
    augmented = computed(train, recipe.views, lambda batch: augment(batch, generator))
    if augmented is train:
        return splits, augment
    views = Views(_columns(augmented))
    return {**splits, "train": views.samples()}, views


def _columns(samples: Samples) -> dict[str, Tensor]:
    assert isinstance(samples, TensorDataset)
    return dict(samples.columns)
