"""How the processor computes while models are trained, scored and timed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Counts float32 numbers below 1e-38 as 0 in this thread and those that it starts, where the processor can.

    Gradients of what has been learnt come to such numbers, and each costs a CPU a hundred cycles or more: with them the
    steps of a segmentation head took three times as long after a few epochs. Afterwards all is as it was: the caller's
    own numbers are none of ours.
    """
    already = are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


def are_flushed() -> bool:
    """Whether this thread counts such numbers, and float64 ones below 1e-308, as 0."""
    return sys.float_info.min / 2 == 0
