"""The optimiser of a run and how its learning rates change."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import nn

from bench.config.recipe import BETA1, Recipe
from bench.tasks.model import TaskModel

_POWER = 0.9  # of the schedule `poly`


def make_optimiser(model: TaskModel, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW of the trained parameters, with a learning rate for the group `adapter` and one for the group `head`.

    A group of which nothing is trained is left out.
    """
    groups: list[dict[str, Any]] = []
    for name, part, rate in (("adapter", model.streams, recipe.lr_adapter), ("head", model.head, recipe.lr_head)):
        assert isinstance(part, nn.Module)
        if parameters := [p for p in part.parameters() if p.requires_grad]:
            groups.append({"name": name, "params": parameters, "lr": rate})
    return torch.optim.AdamW(groups, betas=(BETA1, recipe.beta2), weight_decay=recipe.weight_decay, fused=True)


def make_schedule(optimiser: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """What sets the learning rates after each of `steps` steps."""
    return torch.optim.lr_scheduler.LambdaLR(optimiser, partial(rate, recipe=recipe, steps=steps))


def rate(step: int, *, recipe: Recipe, steps: int) -> float:
    """The share of the peak learning rate at a step, counted from 0, of so many."""
    warm_up = round(recipe.warmup * steps)
    if step < warm_up:
        return (step + 1) / warm_up
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "poly":
        return (1 - step * recipe.epochs // steps / recipe.epochs) ** _POWER if step < steps else 0.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))
