"""Processes that this one starts: none outlives it, and what they cannot do is told in one message.

Needs no heavy import.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from threading import Thread

from bench.errors import BenchError, UsageError
from bench.system.standard_streams import tolerate

NOT_STARTED = (
    "a worker process cannot be started; it may have told above why. "
    'In a script, put what runs below `if __name__ == "__main__":`'
)

_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def begin() -> None:
    """Make this child process end with its parent, leave ^C to the parent, and print whether or not anybody reads.

    To be called first in every process that `multiprocessing` or a `DataLoader` starts.
    """
    for name in ("SIGINT", "SIGHUP"):  # ^C, and a terminal that is closed, reach all processes of the terminal
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    tolerate()
    if parent := multiprocessing.parent_process():
        _end_with(parent)


def _end_with(parent: BaseProcess) -> None:
    """End this process with its parent, however that ends."""
    if sys.platform == "linux":
        # The kernel's signal also ends a process that is stopped, or holds Python's lock. It comes when the *thread*
        # ends that started this process: children are started by the thread that waits for them.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # it ended before the kernel was asked
            os._exit(1)

    def wait() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


@contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh interpreters that end with this process; forking one that holds torch's threads is not safe.

    Args:
        workers: number of processes.

    Raises:
        UsageError: a process cannot be started: as no other will, this ends every run.
        BenchError: a process was killed.
    """
    refuse_unguarded()
    context = multiprocessing.get_context("spawn")
    try:
        begun = context.Event()
    except OSError as error:
        raise BenchError(f"worker processes need semaphores, which lie in /dev/shm: {error}") from error
    try:
        with ProcessPoolExecutor(workers, context, initializer=_begin_in_pool, initargs=(begun,)) as pool:
            yield pool
    except BrokenProcessPool:
        if not begun.is_set():
            raise UsageError(NOT_STARTED) from None
        raise BenchError("out of memory, as it seems: a worker process was killed") from None


def _begin_in_pool(begun: Event) -> None:
    begin()
    begun.set()


def has_semaphores() -> bool:
    """Return whether processes can share semaphores, without which no queue connects them; they lie in /dev/shm."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError:
        return False
    return True


def refuse_unguarded() -> None:
    """End a child process that is only just importing the script of its parent, and was about to do the parent's work.

    It would wait for the parent, which waits for it.

    Raises:
        SystemExit: with a message for stderr.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself looks
        raise SystemExit('bench: a worker process imports this script, which has no `if __name__ == "__main__":`')
