"""Denormal numbers, which slow down processors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Treat float32 numbers below 1e-38 as 0, in this thread and those it starts, if the processor can.

    Gradients shrink to such numbers as models learn, and each costs a CPU a hundred cycles or more: steps of a
    segmentation head took three times as long after a few epochs. The caller's setting is restored afterwards.
    """
    was_flushed = are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_flushed)


def are_flushed() -> bool:
    """Return whether this thread treats such numbers, and float64 numbers below 1e-308, as 0."""
    return sys.float_info.min / 2 == 0
