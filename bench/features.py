"""What frozen streams make of samples, computed once: a method that trains the head alone need not run them again."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import Dataset

from bench.loader import Columns, batches, load
from bench.tasks.model import TaskModel

MOST = 2 * 1024**3  # bytes of a split's features that are kept


def features(
    model: TaskModel, samples: Dataset[dict[str, Tensor]], batch_size: int, accelerator: Accelerator
) -> Dataset[dict[str, Tensor]]:
    """The samples with the streams' states in place of their inputs, in the order of the samples.

    Args:
        model: whose streams are frozen.
        samples: whole splits, of a task that does not augment them.
        batch_size: of the batches in which they are computed.
        accelerator: device and precision.

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
        batch = {name: values.to(accelerator.device) for name, values in plain.items()}
        with torch.no_grad(), accelerator.autocast():
            computed = model.states(batch)
        kept = {name: values for name, values in plain.items() if name not in model.streams.streams}
        for name, values in {**kept, **computed}.items():
            found.setdefault(name, []).append(values.cpu())
        if number == 0:
            size = sum(values[0].nbytes for values in found.values())
            if size * len(loader) > MOST:
                return samples
    return Columns({name: torch.cat(values) for name, values in found.items()})
