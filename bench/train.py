"""Trains a model and picks its best epoch on the validation split; scores a split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import Dataset

from bench.errors import BenchError
from bench.features import features
from bench.loader import batches, load
from bench.measure import StepClock
from bench.methods.base import Method
from bench.progress import bar
from bench.recipe import Recipe
from bench.records import Epoch
from bench.tasks.base import Task
from bench.tasks.model import TaskModel

Samples = Dataset[dict[str, Tensor]]

Measured = dict[str, Tensor]
"""What a task measured of each sample of a split, by name: each (samples,), float64."""

_CHECK_EVERY = 20  # steps between two looks at the losses, which make a GPU wait


class DivergedError(BenchError):
    """A loss was not finite."""


@dataclass(frozen=True)
class Trained:
    """What training gave.

    Attributes:
        curve: the validation curve.
        best_epoch: the epoch whose weights the model now has.
        validation: what was measured of each validation sample at its end.
        throughput: samples a second.
        idle: trained parameters in tensors that no gradient ever reached.
    """

    curve: list[Epoch]
    best_epoch: int
    validation: Measured
    throughput: float
    idle: int


def train(
    model: TaskModel,
    method: Method,
    task: Task,
    recipe: Recipe,
    splits: Mapping[str, Samples],
    accelerator: Accelerator,
    seed: int,
    label: str,
) -> Trained:
    """Trains what the method and the task left trainable, and leaves the model with the weights of its best epoch.

    AdamW; the learning rates rise over the warm-up and then fall to zero as a half cosine. The test split is not seen.

    Args:
        model: streams with the method attached, and head; moved to the accelerator's device.
        method: gets its turn after each backward pass and may add a term to the loss.
        task: loss and scores.
        recipe: how to train.
        splits: "train" and "val".
        accelerator: device, precision and processes.
        seed: fixes the order of the samples and their augmentation.
        label: what the progress bar says.

    Raises:
        DivergedError: a loss was not finite; says at which step.
    """
    splits = _without_streams(model, task, recipe, splits, accelerator)
    order, chance = (torch.Generator().manual_seed(seed) for _ in range(2))
    loader = load(splits["train"], recipe.batch_size, order, pin=accelerator.device.type == "cuda")
    steps = recipe.epochs * len(loader)
    optimiser = make_optimiser(model, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, partial(_rate, warm_up=round(recipe.warmup * steps), steps=steps)
    )
    wrapped, optimiser, loader, schedule = accelerator.prepare(model, optimiser, loader, schedule)
    trainable = [p for p in model.parameters() if p.requires_grad]
    method.before_training(steps)
    clock = StepClock(accelerator.device)
    curve: list[Epoch] = []
    best: dict[str, Tensor] = {}
    measured_best: Measured = {}
    step = 0
    with bar(range(steps), label, unit="step") as progress:
        for epoch in range(1, recipe.epochs + 1):
            model.train()
            losses: list[Tensor] = []
            clock.skip()
            for plain in batches(loader):
                batch = task.augment(plain, chance)
                losses.append(take_step(wrapped, method, task, batch, optimiser, accelerator, recipe.clip, step))
                schedule.step()
                step += 1
                if len(losses) % _CHECK_EVERY == 0:
                    _check(losses[-_CHECK_EVERY:], step - _CHECK_EVERY)
                clock.tick(len(next(iter(batch.values()))))
                progress.update()
            _check(losses, step - len(losses))
            measured, _ = score(model, task, splits["val"], recipe, accelerator)
            scores = task.summarise(measured)
            curve.append(Epoch(epoch, step, torch.stack(losses).mean().item(), scores))
            if best_epoch(curve, task.metric) == epoch:
                measured_best = measured
                best = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
            progress.set_postfix_str(f"{task.metric} {scores[task.metric]:.1f}", refresh=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(best[name])
    idle = sum(p.numel() for p in trainable if not _was_reached(optimiser.state.get(p, {})))
    return Trained(curve, best_epoch(curve, task.metric), measured_best, clock.throughput(), idle)


def take_step(
    wrapped: nn.Module,
    method: Method,
    task: Task,
    batch: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    accelerator: Accelerator,
    clip: float,
    step: int,
) -> Tensor:
    """One step of the optimiser on a batch; `step` counts from 0. Returns the task's loss, detached."""
    with accelerator.autocast():
        loss = task.loss(wrapped(batch), batch)
    extra = method.loss()
    accelerator.backward(loss if extra is None else loss + extra)
    if clip:
        accelerator.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip)
    optimiser.step()
    method.after_backward(step)
    optimiser.zero_grad()
    return loss.detach()


def _was_reached(state: Mapping[str, Tensor]) -> bool:
    """Whether a gradient other than 0 ever came to a parameter, from what AdamW knows of it.

    Weight decay alone moves a parameter too, so whether it has changed does not tell.
    """
    return any(bool(state[name].any()) for name in ("exp_avg", "exp_avg_sq") if name in state)


def _without_streams(
    model: TaskModel, task: Task, recipe: Recipe, splits: Mapping[str, Samples], accelerator: Accelerator
) -> Mapping[str, Samples]:
    """The splits that are to be gone through again and again, as features where the streams always give the same."""
    if any(parameter.requires_grad for parameter in model.streams.parameters()):
        return splits
    model.to(accelerator.device)
    again = ["val"] if type(task).augment is not Task.augment else ["val", "train"]
    computed = {split: features(model, splits[split], recipe.eval_batch_size, accelerator) for split in again}
    return {**splits, **computed}


def best_epoch(curve: list[Epoch], metric: str) -> int:
    """The epoch with the highest validation score, the first of equals."""
    return max(curve, key=lambda entry: (entry.scores[metric], -entry.epoch)).epoch


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
    return {name: torch.cat(values).double().cpu() for name, values in gathered.items()}, clock.throughput()


def together(splits: Sequence[Measured]) -> Measured:
    """What was measured of the samples of several splits, as of one."""
    return {name: torch.cat([measured[name] for measured in splits]) for name in splits[0]}


def difference(one: Measured, other: Measured) -> float:
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
    return clock.throughput()


def make_optimiser(model: TaskModel, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW of the trained parameters, those of the method and those of the head each with their learning rate."""
    groups = []
    for part, rate in ((model.streams, recipe.lr_adapter), (model.head, recipe.lr_head)):
        assert isinstance(part, nn.Module)
        if parameters := [p for p in part.parameters() if p.requires_grad]:
            groups.append({"params": parameters, "lr": rate})
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)


def _rate(step: int, *, warm_up: int, steps: int) -> float:
    """The share of the peak learning rate at a step."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))


def _check(losses: list[Tensor], first_step: int) -> None:
    finite = torch.stack(losses).isfinite()
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        raise DivergedError(f"the loss is {losses[bad].item()} at step {first_step + bad + 1}: lower the learning rate")
