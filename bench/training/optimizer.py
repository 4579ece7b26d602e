"""The optimizer of a run and the schedule of its learning rates."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import nn

from bench.config.recipe import BETA1, Recipe
from bench.methods.base import Method
from bench.methods.parameter_groups import checked_groups
from bench.tasks.model import TaskModel

_POWER = 0.9  # exponent of the schedule `poly`


def make_optimizer(model: TaskModel, recipe: Recipe, method: Method) -> torch.optim.AdamW:
    """Return AdamW on the trained parameters, with separate learning rates for the groups `adapter` and `head`.

    The groups that the method names come between these two. A group without trained parameters is left out.

    Args:
        model: The model, with the method attached.
        recipe: Learning rates and weight decay.
        method: The method.

    Raises:
        BenchError: The groups of the method are wrong; see `checked_groups`.
    """
    adapter = _trained(model.streams)
    groups: list[dict[str, Any]] = []
    for name, group in checked_groups(method, model.streams).items():
        parameters = [adapter.pop(parameter) for parameter in group.names]
        decay = recipe.weight_decay if group.weight_decay is None else group.weight_decay
        rate = group.lr_factor * recipe.lr_adapter
        groups.append({"name": f"adapter: {name}", "params": parameters, "lr": rate, "weight_decay": decay})
    groups.insert(0, {"name": "adapter", "params": [*adapter.values()], "lr": recipe.lr_adapter})
    groups.append({"name": "head", "params": [*_trained(model.head).values()], "lr": recipe.lr_head})
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, betas=(BETA1, recipe.beta2), weight_decay=recipe.weight_decay, fused=True)


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Return the schedule that sets the learning rates after each of `steps` steps."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate, recipe=recipe, steps=steps))


def rate(step: int, *, recipe: Recipe, steps: int) -> float:
    """Return the learning rate at a step, as a fraction of its peak.

    Args:
        step: Number of the step, from 0.
        recipe: Warm-up, schedule and epochs.
        steps: Number of steps in all.
    """
    warm_up = round(recipe.warmup * steps)
    if step < warm_up:
        return (step + 1) / warm_up
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "poly":
        return (1 - step * recipe.epochs // steps / recipe.epochs) ** _POWER if step < steps else 0.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))
