"""Recognizes out-of-memory errors, which every library words differently."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

NEEDS_LESS = "a smaller --set train.micro_batch=N or train.gradient_checkpointing=true needs less"

# CUDA; its libraries; PyTorch's allocator on CPUs; mmap and others; a DataLoader whose worker was killed
_OUT_OF_MEMORY = re.compile(
    r"out of memory|ALLOC_FAILED|can't allocate memory|not enough memory|Cannot allocate memory"
    r"|killed by signal: Killed"
)


def ran_out(error: BaseException) -> bool:
    """Return whether an error, or one of its causes, is that CPU or GPU memory ran out."""
    return any(_is_memory_error(cause) for cause in _causes(error))


def reason(error: BaseException) -> str:
    """Return a line on what happened and what to do, for an error for which `ran_out` is true."""
    cause = next(cause for cause in _causes(error) if _is_memory_error(cause))
    lines = str(cause).splitlines() or [""]
    message = next((line for line in lines if _OUT_OF_MEMORY.search(line)), lines[0]).strip()
    return f"out of memory: {message or type(cause).__name__}; {NEEDS_LESS}"


def _is_memory_error(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
