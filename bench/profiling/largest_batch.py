"""The largest batch of which a training step fits into memory."""

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
SHARE = 0.9  # of the memory that is available, on the CPU


def largest_batch(spec: Spec, device: str) -> int:
    """The most samples, up to 4096, that one training step of a method can take at a time; 0 where not one fits.

    On CUDA larger and larger steps are tried. Elsewhere they are not, since a system out of memory ends processes: what
    the forward pass keeps grows evenly with the samples, and nine tenths of what is available must hold it, and the
    gradients.

    Args:
        spec: a run of the method.
        device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: the device is not there.
        BenchError: the method cannot adapt the streams, the shape of an encoder is not known, or the task makes up no
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
    subject.step()  # from here on there is a state of the optimiser
    one, two = (_kept(subject, train, samples) for samples in (1, 2))
    gradients = sum(p.numel() * p.element_size() for p in subject.model.parameters() if p.requires_grad)
    room = int(SHARE * psutil.virtual_memory().available) - gradients
    return largest(lambda samples: one + (samples - 1) * (two - one) <= room)


def largest(fits: Callable[[int], bool], most: int = MAX_BATCH_SIZE) -> int:
    """The largest number that fits, where whatever is smaller than one that fits does so too; 0 where 1 does not.

    Args:
        fits: tells it of a number.
        most: a power of two above which none is tried.
    """
    low, high = 0, 1
    while high <= most and fits(high):
        low, high = high, 2 * high
    if low == most:
        return low
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def _step_fits(subject: Subject, one: Batch, samples: int) -> bool:
    """Whether a step comes to its end on the device; leaves no memory taken."""
    fitted = False
    try:
        subject.train = _repeated(one, samples)
        subject.step()
        torch.cuda.synchronize(subject.accelerator.device)
        fitted = True
    except torch.OutOfMemoryError:
        pass  # what its traceback holds is let go of before memory is given back
    except RuntimeError as error:
        if "ALLOC_FAILED" not in str(error):  # how cuBLAS and cuDNN say it
            raise
    subject.train = one
    subject.optimiser.zero_grad()
    release_memory()
    return fitted


def _kept(subject: Subject, one: Batch, samples: int) -> int:
    subject.train = _repeated(one, samples)
    return bytes_of_step(subject.loss, subject.step, subject.model.parameters(), subject.accelerator.device)


def _repeated(one: Batch, samples: int) -> Batch:
    return {name: values.repeat(samples, *[1] * (values.dim() - 1)) for name, values in one.items()}
