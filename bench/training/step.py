"""One step of the optimiser on a batch, which may be taken in parts and shared by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bench.methods.base import Method
from bench.system.distributed import rows
from bench.tasks.base import Task


def take_step(
    wrapped: nn.Module,
    method: Method,
    task: Task,
    batch: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    accelerator: Accelerator,
    *,
    clip: float,
    step: int,
    micro_batch: int | None = None,
) -> Tensor:
    """One step of the optimiser on a batch.

    Args:
        wrapped: the model, as the accelerator prepared it, as is `optimiser`.
        method: gets its turn, unless the step is skipped: fp16 skips those whose gradients are not finite.
        task: the loss: the mean over samples, as every task's is.
        batch: of all processes together, the same in each.
        optimiser: of the model.
        accelerator: device, precision and processes.
        clip: as in the recipe.
        step: its number, from 0.
        micro_batch: as in the recipe.

    Returns:
        The task's loss, detached; of several processes each has a part of it, and their sum is the batch's.
    """
    parts = list(_parts(batch, micro_batch or len(next(iter(batch.values()))), accelerator))
    total: Tensor | None = None
    for number, (part, share) in enumerate(parts, start=1):
        last = number == len(parts)
        with nullcontext() if last else accelerator.no_sync(wrapped):
            with accelerator.autocast():
                loss = _scaled(task.loss(wrapped(part), part), share)
            # Gradients of several processes are averaged, and the shares are of the sum.
            objective = _scaled(loss, accelerator.num_processes)
            extra = method.loss() if last else None
            accelerator.backward(objective if extra is None else objective + extra)
        total = loss.detach() if total is None else total + loss.detach()
    if _update(optimiser, accelerator, clip):
        method.after_backward(step)
    optimiser.zero_grad()
    assert total is not None
    return total


def _update(optimiser: torch.optim.Optimizer, accelerator: Accelerator, clip: float) -> bool:
    """Clip the gradients and step; return whether the step was taken, or skipped as their scaler does in fp16."""
    scaler = accelerator.scaler
    # Accelerate's own `clip_grad_norm_` would unscale the gradients of every optimiser that it has prepared so far:
    # those of a head that was trained first, and has an optimiser of its own for that, twice.
    accelerator.unscale_gradients(optimiser)
    if clip:
        nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip)
    scale = scaler.get_scale() if scaler else 0.0
    optimiser.step()
    # Only a skipped step lowers the scale. Accelerate's `step_was_skipped` is never true of a fused optimiser, which is
    # called all the same and leaves the parameters alone.
    return not scaler or scaler.get_scale() >= scale


def _parts(batch: dict[str, Tensor], most: int, accelerator: Accelerator) -> Iterator[tuple[dict[str, Tensor], float]]:
    """Rows of this process of a batch, so many at a time, each with its share of the batch."""
    samples = len(next(iter(batch.values())))
    own = rows(samples, accelerator.process_index, accelerator.num_processes)
    if not own:  # it must take part all the same, since the others wait for it
        yield {name: values[:1] for name, values in batch.items()}, 0.0
    for start in range(own.start, own.stop, most):
        stop = min(start + most, own.stop)
        yield {name: values[start:stop] for name, values in batch.items()}, (stop - start) / samples


def _scaled(loss: Tensor, factor: float) -> Tensor:
    return loss if factor == 1 else loss * factor
