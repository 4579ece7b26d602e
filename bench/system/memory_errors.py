"""Errors that say that memory ran out, each library in its own words."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

NEEDS_LESS = "a smaller --set train.micro_batch=N or train.gradient_checkpointing=true needs less"

# CUDA; its libraries; PyTorch's allocator on CPUs; mmap and others; a DataLoader whose process was killed
_SAID = re.compile(
    r"out of memory|ALLOC_FAILED|can't allocate memory|not enough memory|Cannot allocate memory"
    r"|killed by signal: Killed"
)


def ran_out(error: BaseException) -> bool:
    """Return whether an error, or what it came from, is that there was not enough memory, of the CPU's or a GPU's."""
    return any(_says_so(each) for each in _causes(error))


def reason(error: BaseException) -> str:
    """Return in a line what became of the memory, and what to do; for an error that `ran_out` says is one."""
    first = next(each for each in _causes(error) if _says_so(each))
    lines = str(first).splitlines() or [""]
    said = next((line for line in lines if _SAID.search(line)), lines[0]).strip()
    return f"out of memory: {said or type(first).__name__}; {NEEDS_LESS}"


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_SAID.search(str(error)))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
