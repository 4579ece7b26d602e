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
    """Samples as one tensor per name, (samples, ...), from which whole batches are indexed at once."""

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: column[index].clone() for name, column in self.columns.items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return a batch; `DataLoader` calls this method if a dataset has it."""
        chosen = torch.as_tensor(indices)
        return {name: column.index_select(0, chosen) for name, column in self.columns.items()}


class Decoded(Dataset[dict[str, Tensor]]):
    """Samples that are decoded each time they are accessed."""

    def __init__(self, samples: Samples, chosen: Sequence[int]) -> None:
        self.samples, self.chosen = samples, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = self.samples[self.chosen[index]]
        return {name: torch.from_numpy(np.asarray(array, order="C")) for name, array in sample.items()}


class ConstantInputs(Dataset[dict[str, Tensor]]):
    """Samples in which some columns are equal in all of them, so that nothing can be learned from these columns.

    Args:
        dataset: The samples.
        constants: The value of each of these columns, by name, in the shape of one sample.
    """

    def __init__(self, dataset: Dataset[dict[str, Tensor]], constants: Mapping[str, Tensor]) -> None:
        self.dataset, self.constants = dataset, constants

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        constants = {name: value.clone() for name, value in self.constants.items()}
        return {name: constants.get(name, value) for name, value in self.dataset[index].items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return a batch: in one piece if the underlying dataset provides it so, otherwise sample by sample."""
        if not isinstance(self.dataset, TensorDataset):
            return [self[index] for index in indices]
        constants = {name: value.expand(len(indices), *value.shape).clone() for name, value in self.constants.items()}
        return {name: constants.get(name, value) for name, value in self.dataset.__getitems__(indices).items()}


def load(
    dataset: Dataset[dict[str, Tensor]],
    batch_size: int,
    shuffle_generator: torch.Generator | None = None,
    pin: bool = False,
) -> DataLoader[dict[str, Tensor]]:
    """Return a loader of a dataset's batches; worker processes decode ahead if samples are decoded on access.

    Args:
        dataset: The samples.
        batch_size: Samples per batch.
        shuffle_generator: Shuffles the samples; None to keep their order.
        pin: Whether to pin batches in memory, from which a GPU copies them asynchronously.
    """
    underlying = dataset.dataset if isinstance(dataset, ConstantInputs) else dataset
    workers = decoding_workers() if isinstance(underlying, Decoded) and child_processes.has_semaphores() else 0
    return DataLoader(
        dataset,
        batch_size,
        shuffle=shuffle_generator is not None,
        generator=shuffle_generator,
        num_workers=workers,
        # In a spawned process, such as those of --jobs, workers would be spawned too and take seconds to import torch.
        multiprocessing_context=child_processes.fork_context() if workers and sys.platform == "linux" else None,
        worker_init_fn=_begin_worker,
        collate_fn=_collate,
        pin_memory=pin,
        # Persistent workers would draw once less from the generator, which changes the order of the samples.
        persistent_workers=False,
    )


def _begin_worker(_: int) -> None:
    child_processes.begin()


def decoding_workers() -> int:
    """Return how many processes decode samples: one per CPU, shared among a launcher's processes on this machine."""
    return max(1, min(available_cpus() // distributed.local_count(), _MAX_WORKERS))


def batches(loader: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches of a loader, on the device that it puts them on.

    Raises:
        DataError: A sample cannot be read. If it was raised in a worker, the worker's traceback is removed from it.
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
    """Yield the batches of a loader on a device, copied asynchronously if they are pinned; errors as `batches`."""
    for batch in batches(loader):
        yield {name: values.to(device, non_blocking=True) for name, values in batch.items()}


def _collate(batch: Any) -> Mapping[str, Tensor | np.ndarray]:
    """Stack samples into a batch; what `TensorDataset` returns is a batch already."""
    if isinstance(batch, dict):
        return batch
    stacked = {name: torch.stack([sample[name] for sample in batch]) for name in batch[0]}
    return _shared(stacked) if get_worker_info() else stacked


def _shared(batch: dict[str, Tensor]) -> Mapping[str, Tensor | np.ndarray]:
    """Return a worker's batch in shared memory; if that is full, as arrays, which a slower pipe transfers.

    A container has 64 MB of shared memory (/dev/shm) by default. PyTorch itself would fail in a thread whose error
    nobody receives, and training would wait for the batch forever.
    """
    try:
        return {name: values.share_memory_() for name, values in batch.items()}
    except RuntimeError:
        return {name: values.numpy() for name, values in batch.items()}
