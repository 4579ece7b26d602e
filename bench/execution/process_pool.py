"""Runs in parallel: each worker process does one run at a time, and sends its record back."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from bench.config.instantiate import task_of
from bench.config.spec import Spec, data_key
from bench.errors import BenchError, Terminated, UsageError
from bench.progress import set_quiet
from bench.records import schema
from bench.records.schema import Record
from bench.system import child_processes, cpus
from bench.system.garbage import uncollected
from bench.system.memory_errors import NEEDS_LESS
from bench.system.signals import held_back

if TYPE_CHECKING:
    from bench.config.run_options import RunOptions

_LIMIT_INTERVAL = 0.25  # seconds between two checks of the limits of runs
_GRACE_PERIOD = 10.0  # seconds between asking a process to end and killing it

Execute = Callable[[Spec, "RunOptions", "int | None"], Record]
"""Do a run with a number of threads, or a share of torch's. Workers import this function by its name."""

_jobs = 1  # processes that share torch's threads, of which this may be one


def run_all(
    take: Callable[[], Spec | None], options: RunOptions, jobs: int, specs: Sequence[Spec]
) -> Generator[Record]:
    """Do the runs that `take` returns in `jobs` processes, and yield each record as it arrives.

    A run whose process dies, or is killed at a limit, is recorded as failed, and the others go on. Whatever ends the
    generator ends the processes too.

    Args:
        take: Returns the next run, or None if there is none to begin now; called when a process is free.
        options: Options that do not affect results.
        jobs: Number of processes, which share the CPUs and threads of this one.
        specs: The runs that `take` may return.

    Raises:
        UsageError: The release or the device is missing, which every run needs: no other run is started, and the
            records of runs in progress are yielded first. Or a process cannot be started.
        Terminated: A signal asked this process to end; runs in progress are recorded as failed first.
    """
    make_data(specs, options)
    # Importing torch here only to count its threads would keep the workers waiting. Their torch counts as many.
    threads = share_of_threads(jobs) if "torch" in sys.modules else None
    share = max(1, cpus.available_cpus() // jobs), threads, jobs
    error: BenchError | None = None
    free = [_Worker(options, *share) for _ in specs[:jobs]]
    workers = [*free]
    busy: list[_Worker] = []
    try:
        while free or busy:
            for worker in free:
                if not error and (spec := take()):
                    busy.append(worker)  # first: a signal may come at any point
                    worker.begin(spec)
                else:
                    worker.end()
            answered = (
                wait([worker.pipe for worker in busy], _LIMIT_INTERVAL if options.limits else None) if busy else []
            )
            free = [worker for worker in busy if worker.pipe in answered or worker.over_its_limits()]
            for worker in free:
                answer = worker.answer()
                if isinstance(answer, Record):
                    yield answer
                else:
                    error = error or answer
                worker.spec = None
                busy.remove(worker)
    except (KeyboardInterrupt, Terminated) as signalled:
        for worker in busy:
            if record := worker.stopped(signalled):
                yield record
        raise
    finally:
        for worker in workers:
            worker.end()
    if error:
        raise error


def execute_run(spec: Spec, options: RunOptions, threads: int | None) -> Record:
    """Do a run in this process, as `bench.execution.single_run.execute` does, with a number of threads.

    Args:
        spec: The run.
        options: Options that do not affect results.
        threads: Number of threads; None in a worker for its share of those that torch has in a fresh process.
    """
    with uncollected():
        import torch

        from bench.execution.single_run import execute
    torch.set_num_threads(threads or _share_of_fresh_threads())

    return execute(spec, options)


def make_data(specs: Sequence[Spec], options: RunOptions) -> None:
    """Generate or compose the missing data of the runs once, rather than in each worker."""
    from bench.data import release

    synthetic = {(spec.task, data_key(spec.data)): spec for spec in specs if release.is_synthetic(spec.data)}
    for spec in synthetic.values():
        with suppress(BenchError):  # the run meets the same error, and reports it
            task = task_of(spec)
            release.synthesize(task, spec.data, options.data_root)


def share_of_threads(jobs: int) -> int:
    """Return the threads of each worker, at least one: an equal share of those that this process has."""
    import torch

    return max(1, torch.get_num_threads() // jobs)


@cache
def _share_of_fresh_threads() -> int:
    """Return this worker's share of torch's threads; called before their number is set."""
    return share_of_threads(_jobs)


class _Worker:
    """A process that does one run at a time.

    It is spawned, since forking a process with torch's threads is not safe. It has a pipe of its own, which a pool of
    `concurrent.futures` does not: so it is known which run a dead worker had, and the other workers continue.
    """

    def __init__(self, options: RunOptions, share: int, threads: int | None, jobs: int) -> None:
        self.options, self.share, self.threads, self.jobs = options, share, threads, jobs
        self._start()

    def _start(self) -> None:
        self.pipe, worker_pipe = child_processes.SPAWN.Pipe()
        level = logging.getLogger("bench").level
        arguments = (worker_pipe, execute_run, self.options, self.share, self.threads, self.jobs, level)
        self.process = child_processes.SPAWN.Process(target=_serve, args=arguments)
        self.process.start()
        worker_pipe.close()  # so that the pipe ends with the process
        self.greeted = False
        self.spec: Spec | None = None

    def begin(self, spec: Spec) -> None:
        """Send it a run, after a restart if it died in the last one.

        Raises:
            UsageError: The process did not start.
        """
        if not self.process.is_alive() and self.greeted:
            self._start()
        if not self.greeted:
            try:
                self.pipe.recv()  # its greeting
            except (EOFError, OSError):
                raise UsageError(child_processes.NOT_STARTED) from None
            self.greeted = True
        self.spec, self.started, self.begun, self.killed = spec, schema.now(), time.monotonic(), ""
        self.answered: Record | BenchError | None = None
        with suppress(OSError):  # it has just died, which the answer reports
            self.pipe.send(spec)

    def over_its_limits(self) -> bool:
        """Return whether the run exceeds a limit; if so, kill its process, and let `answer` report why."""
        time_limit, memory_limit = self.options.time_limit, self.options.memory_limit
        if time_limit is not None and (took := time.monotonic() - self.begun) > time_limit:
            self.killed = f"took {took:.0f} s, over its limit of {time_limit:.0f} s"
        elif memory_limit is not None and (resident := _resident_memory(self.process.pid)) > memory_limit:
            self.killed = f"held {resident / 1e9:.2f} GB, over its limit of {memory_limit / 1e9:.2f} GB"
        if self.killed:
            self.process.kill()
        return bool(self.killed)

    def answer(self) -> Record | BenchError:
        """Return the record of the run, also if the process died in it, or an error that ends all runs."""
        if answered := self._received():
            return answered
        assert self.spec, "nothing was begun"
        self.process.join()
        if self.killed:
            return replace(Record.failed(self.spec, self.started, self.killed), finished=schema.now())
        return _lost(self.spec, self.started, self.process.exitcode or 0)

    def stopped(self, signalled: KeyboardInterrupt | Terminated) -> Record | None:
        """Return the record of the run when all runs are to end; None at ^C, unless the run has just ended."""
        if not self.spec:
            return None
        if (self.answered or self.pipe.poll()) and isinstance(answered := self._received(), Record):
            return answered
        if not isinstance(signalled, Terminated):
            return None
        return Record.failed(self.spec, self.started, f"{schema.STOPPED}{signalled}")

    def _received(self) -> Record | BenchError | None:
        """Return what the process sends back; None if it died."""
        with held_back():  # so that a signal does not lose what is measured
            if self.answered is None:
                with suppress(EOFError, OSError):
                    self.answered = self.pipe.recv()
        return self.answered

    def end(self) -> None:
        """End the process and its run, with some time to clean up."""
        if self.spec or not self.greeted:
            self.process.terminate()
        self.pipe.close()  # an idle process ends at this
        self.process.join(_GRACE_PERIOD)
        self.process.kill()
        self.process.join()


def _serve(
    pipe: Connection, execute: Execute, options: RunOptions, share: int, threads: int | None, jobs: int, level: int
) -> None:
    """Take runs from the pipe and send back their records, until the pipe is closed.

    An exception of `execute` other than a BenchError ends the process, with a traceback on stderr.
    """
    child_processes.begin()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, so that no partial files remain
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("bench").setLevel(level)
    cpus.limit_to(share)
    global _jobs
    _jobs = jobs
    set_quiet(True)  # bars of several processes would overwrite each other
    pipe.send("ready")
    while True:
        try:
            spec = pipe.recv()
        except EOFError:  # the parent is gone
            return
        answer: Record | BenchError
        try:
            answer = execute(spec, options, threads)
        except BenchError as error:
            answer = error
        pipe.send(answer)


def _resident_memory(pid: int | None) -> int:
    """Return the resident memory of a process and its descendants, in bytes."""
    import psutil

    try:
        process = psutil.Process(pid)
        return sum(member.memory_info().rss for member in (process, *process.children(recursive=True)))
    except psutil.Error:  # it has just ended
        return 0


def _lost(spec: Spec, started: str, exit_code: int) -> Record:
    """Return the record of a run whose process died."""
    ending = (
        f"by signal {-exit_code}, {signal.strsignal(-exit_code)}" if exit_code < 0 else f"with exit code {exit_code}"
    )
    reason = f"its worker process ended {ending}; if memory ran short, use fewer --jobs"
    if exit_code == -signal.SIGKILL:  # how a kernel or a container takes memory back
        reason = (
            f"out of memory, as it seems: its worker process ended {ending}; fewer --jobs need less, and {NEEDS_LESS}"
        )
    return replace(Record.failed(spec, started, reason), finished=schema.now())
