"""Batches of samples."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from bench.errors import DataError
from bench.system import child_processes, distributed
from bench.system.cpus import available_cpus
from bench.tasks.base import Samples

_MAX_WORKERS = 8

Batch = TypeVar("Batch")


class TensorDataset(Dataset[dict[str, Tensor]]):
    """Samples as one tensor for each name, (samples, ...); a batch is taken from each at once."""

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: column[index].clone() for name, column in self.columns.items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Take a batch: `DataLoader` calls this where it is there."""
        chosen = torch.as_tensor(indices)
        return {name: column.index_select(0, chosen) for name, column in self.columns.items()}


class Decoded(Dataset[dict[str, Tensor]]):
    """Samples decoded each time they are taken."""

    def __init__(self, samples: Samples, chosen: Sequence[int]) -> None:
        self.samples, self.chosen = samples, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = self.samples[self.chosen[index]]
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in sample.items()}


class ConstantInputs(Dataset[dict[str, Tensor]]):
    """Samples in which some columns hold the same for all of them, so that nothing can be learnt from these.

    Args:
        dataset: The samples.
        same: What these columns hold, by name, in the shape of one sample.
    """

    def __init__(self, dataset: Dataset[dict[str, Tensor]], same: Mapping[str, Tensor]) -> None:
        self.dataset, self.same = dataset, same

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        same = {name: value.clone() for name, value in self.same.items()}
        return {name: same.get(name, value) for name, value in self.dataset[index].items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Take a batch at once where that is how the samples are taken."""
        if not isinstance(self.dataset, TensorDataset):
            return [self[index] for index in indices]
        same = {name: value.expand(len(indices), *value.shape).clone() for name, value in self.same.items()}
        return {name: same.get(name, value) for name, value in self.dataset.__getitems__(indices).items()}


def load(
    dataset: Dataset[dict[str, Tensor]], batch_size: int, order: torch.Generator | None = None, pin: bool = False
) -> DataLoader[dict[str, Tensor]]:
    """Batches of a dataset; processes decode ahead where its samples are decoded as they are taken.

    Args:
        dataset: samples.
        batch_size: Of the batches.
        order: What shuffles the samples; None for their own order.
        pin: Put batches where a GPU can fetch them from.
    """
    read = dataset.dataset if isinstance(dataset, ConstantInputs) else dataset
    workers = decoding_workers() if isinstance(read, Decoded) and child_processes.has_semaphores() else 0
    return DataLoader(
        dataset,
        batch_size,
        shuffle=order is not None,
        generator=order,
        num_workers=workers,
        # In a process that was spawned, as those of --jobs, workers would be so too and import torch each, for seconds.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        worker_init_fn=_begin_worker,
        collate_fn=_collate,
        pin_memory=pin,
        # Workers that stay would draw from `order` once less, and the samples would come in another order.
        persistent_workers=False,
    )


def _begin_worker(_: int) -> None:
    child_processes.begin()


def decoding_workers() -> int:
    """Processes that decode samples: one a CPU, of which the processes of a launcher share those of their machine."""
    return max(1, min(available_cpus() // distributed.local_count(), _MAX_WORKERS))


def batches(loader: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches of a loader, where it puts them.

    Raises:
        DataError: A sample cannot be read. From a worker it comes with the worker's traceback around it, which is
            left out here.
    """
    try:
        for batch in loader:
            yield _as_tensors(batch)
    except DataError as error:
        raise DataError(str(error).rpartition("DataError: ")[2].strip()) from error


def _as_tensors(batch: Batch) -> Batch:
    if not isinstance(batch, dict):
        return batch
    return {name: torch.as_tensor(values) for name, values in batch.items()}  # type: ignore[return-value]


def on_device(loader: Iterable[dict[str, Tensor]], device: torch.device) -> Iterator[dict[str, Tensor]]:
    """The batches of a loader on a device, which need not wait for them where they are pinned; errors as `batches`."""
    for batch in batches(loader):
        yield {name: values.to(device, non_blocking=True) for name, values in batch.items()}


def _collate(batch: Any) -> Mapping[str, Tensor | np.ndarray]:
    """Return what `Columns` gives is a batch already; other samples are stacked."""
    if isinstance(batch, dict):
        return batch
    stacked = {name: torch.stack([each[name] for each in batch]) for name in batch[0]}
    return _to_send(stacked) if get_worker_info() else stacked


def _to_send(batch: dict[str, Tensor]) -> Mapping[str, Tensor | np.ndarray]:
    """Return a worker's batch in shared memory; where that is full, as arrays, which go through a pipe and take longer.

    A container has 64 MB of it in /dev/shm unless it is given more. PyTorch would find out where nobody hears of it,
    and the batch would be waited for without end.
    """
    try:
        return {name: values.share_memory_() for name, values in batch.items()}
    except RuntimeError:
        return {name: values.numpy() for name, values in batch.items()}
