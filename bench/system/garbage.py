"""Python's garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the garbage collector while modules are imported.

    It would go through all that they define again and again, and free next to nothing. Importing torch, transformers
    and peft takes 3.0 s of CPU time instead of 3.7 s without it; collecting once afterwards takes 0.3 s.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
