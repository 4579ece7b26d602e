"""The largest batch with which a training step fits into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psutil
import torch

from bench.config.recipe import Recipe
from bench.config.spec import Spec
from bench.measurement.memory import bytes_of_step, release_memory
from bench.profiling.measure import random_streams
from bench.profiling.shared_weights import SharedStreams
from bench.profiling.subject import Batch, Subject, examples
from bench.training.setup import build_parts, make_accelerator

MAX_BATCH_SIZE = 4096
CPU_MEMORY_FRACTION = 0.9  # of the available memory


def largest_batch(spec: Spec, device: str) -> int:
    """Return the maximum number of samples, up to 4096, of one training step of a method; 0 if none fits.

    On CUDA, larger and larger steps are tried. Elsewhere, where the system kills processes that run out of memory, the
    size is computed: the memory of the forward pass grows linearly with the samples, and must fit, with the gradients,
    into nine tenths of the available memory.

    Args:
        spec: A run of the method.
        device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: The device is missing.
        BenchError: The method cannot adapt the streams, the shape of an encoder is unknown, or the task has no random
            samples.
    """
    spec = replace(spec, recipe={**spec.recipe, "micro_batch": None})
    accelerator = make_accelerator(device, Recipe(**spec.recipe))
    streams = random_streams(spec)
    train, test = examples(build_parts(spec)[0], streams, 1, accelerator.device)
    subject = Subject(spec, SharedStreams(streams, accelerator.device).copy(), accelerator, train, test)
    subject.model.train()
    if accelerator.device.type == "cuda":
        return largest(lambda samples: _step_fits(subject, train, samples))
    subject.step()  # allocates the state of the optimizer
    bytes_of_one, bytes_of_two = (_bytes_of_step(subject, train, samples) for samples in (1, 2))
    gradients = sum(p.numel() * p.element_size() for p in subject.model.parameters() if p.requires_grad)
    room = int(CPU_MEMORY_FRACTION * psutil.virtual_memory().available) - gradients
    return largest(lambda samples: bytes_of_one + (samples - 1) * (bytes_of_two - bytes_of_one) <= room)


def largest(fits: Callable[[int], bool], maximum: int = MAX_BATCH_SIZE) -> int:
    """Return the largest number that fits, given that all smaller ones fit too; 0 if 1 does not fit.

    Args:
        fits: Returns whether a number fits.
        maximum: A power of two; larger numbers are not tried.
    """
    low, high = 0, 1
    while high <= maximum and fits(high):
        low, high = high, 2 * high
    if low == maximum:
        return low
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def _step_fits(subject: Subject, sample: Batch, samples: int) -> bool:
    """Return whether a step succeeds on the device; frees its memory."""
    fitted = False
    try:
        subject.train = _repeated(sample, samples)
        subject.step()
        torch.cuda.synchronize(subject.accelerator.device)
        fitted = True
    except torch.OutOfMemoryError:
        pass  # its traceback must be released before memory is freed
    except RuntimeError as error:
        if "ALLOC_FAILED" not in str(error):  # the message of cuBLAS and cuDNN
            raise
    subject.train = sample
    subject.optimizer.zero_grad()
    release_memory()
    return fitted


def _bytes_of_step(subject: Subject, sample: Batch, samples: int) -> int:
    subject.train = _repeated(sample, samples)
    return bytes_of_step(subject.loss, subject.step, subject.model.parameters(), subject.accelerator.device)


def _repeated(sample: Batch, samples: int) -> Batch:
    return {name: values.repeat(samples, *[1] * (values.dim() - 1)) for name, values in sample.items()}
