"""One optimizer step on a batch, which may be split into parts and shared by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bench.methods.base import Method
from bench.system.distributed import rows
from bench.tasks.base import Task


class StepLoss(NamedTuple):
    """The loss of a step, detached. With several processes, each has a part; their sum is the loss of the batch.

    Attributes:
        task: The task's loss.
        total: The same with the method's term added; the task's loss if there is none.
    """

    task: Tensor
    total: Tensor


def take_step(
    wrapped: nn.Module,
    method: Method,
    task: Task,
    batch: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    *,
    clip: float,
    step: int,
    micro_batch: int | None = None,
) -> StepLoss:
    """Take one optimizer step on a batch.

    Args:
        wrapped: The model, prepared by the accelerator.
        method: Adds its loss term, and acts after the step unless fp16 skips it because gradients are not finite.
        task: Its loss is the mean over samples.
        batch: The batch of all processes together, the same in each.
        optimizer: The optimizer, prepared by the accelerator.
        accelerator: Device, precision and processes.
        clip: Maximum norm of the gradient; 0 for no clipping.
        step: Number of the step, from 0.
        micro_batch: Samples that go through the model at a time; None for all.

    Returns:
        The task's loss, and the total one.
    """
    parts = list(_parts(batch, micro_batch or len(next(iter(batch.values()))), accelerator))
    of_task: Tensor | None = None
    extra: Tensor | None = None
    for number, (part, fraction) in enumerate(parts, start=1):
        last = number == len(parts)
        with nullcontext() if last else accelerator.no_sync(wrapped):
            with accelerator.autocast():
                loss = _scaled(task.loss(wrapped(part), part), fraction)
            # Gradients are averaged over processes, but the parts of the loss must be summed.
            objective = _scaled(loss, accelerator.num_processes)
            extra = method.loss() if last else None
            accelerator.backward(objective if extra is None else objective + extra)
        of_task = loss.detach() if of_task is None else of_task + loss.detach()
    if _update(optimizer, accelerator, clip):
        method.after_backward(step)
    optimizer.zero_grad()
    assert of_task is not None
    return StepLoss(of_task, of_task if extra is None else of_task + extra.detach().reshape(()))


def _update(optimizer: torch.optim.Optimizer, accelerator: Accelerator, clip: float) -> bool:
    """Clip the gradients and step; return whether the step was taken rather than skipped, as fp16 scaling may."""
    scaler = accelerator.scaler
    # Accelerate's own `clip_grad_norm_` would unscale the gradients of every optimizer that it has prepared so far. A
    # head that is trained first has its own optimizer, so its gradients would be unscaled twice.
    accelerator.unscale_gradients(optimizer)
    if clip:
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
    scale = scaler.get_scale() if scaler else 0.0
    optimizer.step()
    # Only a skipped step lowers the scale. Accelerate's `step_was_skipped` is never true with a fused optimizer, which
    # is called in any case and leaves the parameters unchanged.
    return not scaler or scaler.get_scale() >= scale


def _parts(
    batch: dict[str, Tensor], max_samples: int, accelerator: Accelerator
) -> Iterator[tuple[dict[str, Tensor], float]]:
    """Yield this process's rows of a batch, up to `max_samples` at a time, with their fraction of the batch."""
    samples = len(next(iter(batch.values())))
    indexes = rows(samples, accelerator.process_index, accelerator.num_processes)
    if not indexes:  # it must take part nevertheless, since other processes wait for it
        yield {name: values[:1] for name, values in batch.items()}, 0.0
    for start in range(indexes.start, indexes.stop, max_samples):
        stop = min(start + max_samples, indexes.stop)
        yield {name: values[start:stop] for name, values in batch.items()}, (stop - start) / samples


def _scaled(loss: Tensor, factor: float) -> Tensor:
    return loss if factor == 1 else loss * factor
