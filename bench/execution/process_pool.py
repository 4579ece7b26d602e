"""Runs side by side: worker processes that do one run at a time each, and send its record back."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from bench.config.instantiate import task_of
from bench.config.spec import Spec
from bench.errors import BenchError, Terminated, UsageError
from bench.progress import set_quiet
from bench.records import schema
from bench.records.schema import Record
from bench.system import child_processes, cpus
from bench.system.memory_errors import NEEDS_LESS
from bench.system.signals import held_back

if TYPE_CHECKING:
    from bench.config.run_options import RunOptions

_LOOK = 0.25  # seconds between two looks at the limits of runs
_TIDYING = 10.0  # seconds that a process has from the request to end until it is killed

Execute = Callable[[Spec, "RunOptions", int], Record]
"""Does a run with so many threads; it is sent to the workers by its name, so they must be able to import it."""


def run_all(
    take: Callable[[], Spec | None], options: RunOptions, jobs: int, specs: Sequence[Spec]
) -> Generator[Record]:
    """Does the runs that `take` gives in `jobs` processes; yields each record as it comes back.

    A run whose process dies, or is killed for its limits, is recorded as failed, and the others go on. Whatever ends
    this ends the processes too.

    Args:
        take: gives the next run, or None where there is none to begin now; called where a process is free.
        options: what the command says of its runs.
        jobs: number of processes, which share the CPUs and threads of this one.
        specs: the runs that `take` may give.

    Raises:
        UsageError: the release or the device is not there. As this ends every run alike no other one is begun; the
            records of those under way are yielded first. Or a process cannot be started.
        Terminated: this process is asked to end; the runs under way are recorded as failed first.
    """
    make_data(specs, options)
    share = max(1, cpus.available_cpus() // jobs), share_of_threads(jobs)
    error: BenchError | None = None
    idle = [_Worker(options, *share) for _ in specs[:jobs]]
    workers = [*idle]
    busy: list[_Worker] = []
    try:
        while idle or busy:
            for worker in idle:
                if not error and (spec := take()):
                    busy.append(worker)  # first: a signal may come at any point
                    worker.begin(spec)
                else:
                    worker.end()
            answered = wait([worker.pipe for worker in busy], _LOOK if options.limits else None) if busy else []
            idle = [worker for worker in busy if worker.pipe in answered or worker.over_its_limits()]
            for worker in idle:
                answer = worker.answer()
                if isinstance(answer, Record):
                    yield answer
                else:
                    error = error or answer
                worker.spec = None
                busy.remove(worker)
    except (KeyboardInterrupt, Terminated) as asked:
        for worker in busy:
            if record := worker.stopped(asked):
                yield record
        raise
    finally:
        for worker in workers:
            worker.end()
    if error:
        raise error


def execute_run(spec: Spec, options: RunOptions, threads: int) -> Record:
    """Does a run in this process, as `bench.execution.single_run.execute` does, with so many threads."""
    import torch

    torch.set_num_threads(threads)
    from bench.execution.single_run import execute

    return execute(spec, options)


def make_data(specs: Sequence[Spec], options: RunOptions) -> None:
    """Generates the data that the runs need and that is not there yet: once, and not in each worker that wants it."""
    from bench.data import release

    for spec in {spec.task: spec for spec in specs if spec.data["source"] == "generated"}.values():
        with suppress(BenchError):  # the run meets it again, and it is the run's to tell
            task = task_of(spec)
            release.generated(task, spec.data, options.data_root)


def share_of_threads(jobs: int) -> int:
    """Threads of each worker: together they have as many as this process would have alone, but each at least one."""
    import torch

    return max(1, torch.get_num_threads() // jobs)


class _Worker:
    """A process that does one run at a time.

    Spawned, not forked: forking a process that holds torch's threads is not safe. Pipes, not an executor: of a worker
    that died one can tell which run it had and how it ended, and the others do not end with it.
    """

    def __init__(self, options: RunOptions, share: int, threads: int) -> None:
        self.options, self.share, self.threads = options, share, threads
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        level = logging.getLogger("bench").level
        told = (theirs, execute_run, self.options, self.share, self.threads, level)
        self.process = context.Process(target=_serve, args=told)
        self.process.start()
        theirs.close()  # so that the pipe ends with the process
        self.greeted = False
        self.spec: Spec | None = None

    def begin(self, spec: Spec) -> None:
        """Hands it a run; starts it again where it died over the last one.

        Raises:
            UsageError: the process did not come to life.
        """
        if not self.process.is_alive() and self.greeted:
            self._start()
        if not self.greeted:
            try:
                self.pipe.recv()  # it says that it is there
            except (EOFError, OSError):
                raise UsageError(child_processes.NOT_STARTED) from None
            self.greeted = True
        self.spec, self.started, self.begun, self.killed = spec, schema.now(), time.monotonic(), ""
        self.answered: Record | BenchError | None = None
        with suppress(OSError):  # it died in between: the answer will tell
            self.pipe.send(spec)

    def over_its_limits(self) -> bool:
        """Whether the run took more than it may; its process is then killed, and `answer` tells why."""
        time_limit, memory_limit = self.options.time_limit, self.options.memory_limit
        if time_limit is not None and (took := time.monotonic() - self.begun) > time_limit:
            self.killed = f"took {took:.0f} s, over its limit of {time_limit:.0f} s"
        elif memory_limit is not None and (held := _held(self.process.pid)) > memory_limit:
            self.killed = f"held {held / 1e9:.2f} GB, over its limit of {memory_limit / 1e9:.2f} GB"
        if self.killed:
            self.process.kill()
        return bool(self.killed)

    def answer(self) -> Record | BenchError:
        """What came of the run: its record, also where the process died over it, or an error that ends all runs."""
        if answered := self._received():
            return answered
        assert self.spec, "nothing was begun"
        self.process.join()
        if self.killed:
            return replace(Record.failed(self.spec, self.started, self.killed), finished=schema.now())
        return _lost(self.spec, self.started, self.process.exitcode or 0)

    def stopped(self, asked: KeyboardInterrupt | Terminated) -> Record | None:
        """The record of the run where all runs are to end: it may be there by now. ^C leaves no other."""
        if not self.spec:
            return None
        if (self.answered or self.pipe.poll()) and isinstance(answered := self._received(), Record):
            return answered
        if not isinstance(asked, Terminated):
            return None
        return Record.failed(self.spec, self.started, f"{schema.STOPPED}{asked}")

    def _received(self) -> Record | BenchError | None:
        """What the process sends back; None where it died."""
        with held_back():  # what is measured is not lost to a signal
            if self.answered is None:
                with suppress(EOFError, OSError):
                    self.answered = self.pipe.recv()
        return self.answered

    def end(self) -> None:
        """Ends the process, and the run that it may be doing; leaves it some time to tidy up."""
        if self.spec or not self.greeted:
            self.process.terminate()
        self.pipe.close()  # at which an idle one ends
        self.process.join(_TIDYING)
        self.process.kill()
        self.process.join()


def _serve(pipe: Connection, execute: Execute, options: RunOptions, share: int, threads: int, level: int) -> None:
    """A worker's life: takes runs from the pipe and sends back what came of them.

    What `execute` raises and is no BenchError ends the process, with a traceback on stderr.
    """
    child_processes.begin()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, so that nothing half done is left on the disk
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("bench").setLevel(level)
    cpus.limit_to(share)
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


def _held(pid: int | None) -> int:
    """The resident memory of a process and of those that it started, in bytes."""
    import psutil

    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.Error:  # it has just ended
        return 0


def _lost(spec: Spec, started: str, exit_code: int) -> Record:
    """The record of a run whose process died."""
    how = f"by signal {-exit_code}, {signal.strsignal(-exit_code)}" if exit_code < 0 else f"with exit code {exit_code}"
    reason = f"its worker process ended {how}; where memory was short, fewer --jobs need less"
    if exit_code == -signal.SIGKILL:  # how a kernel or a container takes memory back
        reason = f"out of memory, as it seems: its worker process ended {how}; fewer --jobs need less, and {NEEDS_LESS}"
    return replace(Record.failed(spec, started, reason), finished=schema.now())
