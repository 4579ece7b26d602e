"""Child processes that never outlive this one, and whose failures are reported in one message.

Imports nothing heavy.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.context
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from threading import Thread

from bench.errors import BenchError, UsageError
from bench.system.standard_streams import tolerate

NOT_STARTED = (
    "a worker process could not be started; the reason may be printed above. "
    'In a script, put the code that runs below `if __name__ == "__main__":`'
)

_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>
# ^C, or closing the terminal, signals every process of the terminal. Only the parent acts on it.
_LEFT_TO_PARENT = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]


def begin() -> None:
    """Make this child process end with its parent, leave ^C to the parent, and survive closed output streams.

    Call this first in every process of the contexts `SPAWN` and `fork_context`.
    """
    for number in _LEFT_TO_PARENT:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _LEFT_TO_PARENT)
    tolerate()
    if parent := multiprocessing.parent_process():
        _end_with(parent)


def _end_with(parent: BaseProcess) -> None:
    """End this process when its parent ends, for whatever reason."""
    if sys.platform == "linux":
        # The kernel's signal also ends a process that is stopped or that holds Python's global lock. It is sent when
        # the *thread* that started this process ends, so children are started by the thread that waits for them.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # the parent ended before the call above
            os._exit(1)

    def wait() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let a child that is started here begin with the signals blocked that `begin` makes it ignore.

    Otherwise ^C while the child's interpreter starts would end it with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it would unblock SIGINT
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT_TO_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _SpawnProcess(multiprocessing.context.SpawnProcess):
    def start(self) -> None:
        with _signals_blocked():
            super().start()


class _SpawnContext(multiprocessing.context.SpawnContext):
    Process = _SpawnProcess


SPAWN = _SpawnContext()
"""The context of processes that start as fresh interpreters, and are undisturbed by signals until they call `begin`."""


def fork_context() -> multiprocessing.context.BaseContext:
    """Return the same for processes that are forked; on POSIX only."""

    class Process(multiprocessing.context.ForkProcess):
        def start(self) -> None:
            with _signals_blocked():
                super().start()

    context = multiprocessing.context.ForkContext()
    context.Process = Process  # type: ignore[misc]
    return context


@contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of fresh interpreters that end with this process; forking a process with torch's threads is unsafe.

    Args:
        workers: Number of processes.

    Raises:
        UsageError: No process could be started, so no run can work.
        BenchError: A process was killed.
    """
    refuse_unguarded()
    try:
        begun = SPAWN.Event()
    except OSError as error:
        raise BenchError(f"worker processes need semaphores, which are in /dev/shm: {error}") from error
    try:
        with ProcessPoolExecutor(workers, SPAWN, initializer=_begin_in_pool, initargs=(begun,)) as pool:
            yield pool
    except BrokenProcessPool:
        if not begun.is_set():
            raise UsageError(NOT_STARTED) from None
        raise BenchError("a worker process was killed, probably because memory ran out") from None


def _begin_in_pool(begun: Event) -> None:
    begin()
    begun.set()


def has_semaphores() -> bool:
    """Return whether processes can share semaphores (in /dev/shm on Linux), which queues between processes need."""
    try:
        SPAWN.Lock()
    except OSError:
        return False
    return True


def refuse_unguarded() -> None:
    """End a child process that would do its parent's work because the parent's script has no main guard.

    Otherwise the child would wait for the parent, which waits for the child.

    Raises:
        SystemExit: With a message for stderr.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # multiprocessing's own check
        raise SystemExit('bench: a worker process imports this script, which has no `if __name__ == "__main__":`')
