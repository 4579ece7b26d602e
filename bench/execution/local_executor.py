"""Runs on this machine: one after another in this process, or several at a time in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.config.quantities import jobs
from bench.config.run_options import MEASURED, RunOptions
from bench.config.spec import Spec
from bench.errors import Terminated, UsageError
from bench.execution.executor import option
from bench.system.cpus import MAX_JOBS
from bench.system.garbage import uncollected

if TYPE_CHECKING:
    from bench.records.schema import Record


@dataclass(frozen=True)
class LocalExecutor:
    """This machine (the default): one run at a time, or several in worker processes with --jobs.

    Attributes:
        jobs: Number of runs at a time. A single one is done in this process unless it has a time or memory limit,
            several in as many worker processes (see `bench.execution.process_pool`).
    """

    jobs: int = option(
        1, "--jobs", "N", "runs at a time, each in its own process with an equal share of the CPU threads", jobs
    )

    def check(self) -> None:
        """Check the number of runs at a time.

        Raises:
            UsageError: It is out of range.
        """
        if not 1 <= self.jobs <= MAX_JOBS:
            raise UsageError(f"jobs must be a whole number from 1 to {MAX_JOBS}, not {self.jobs}")

    def execute(
        self, take: Callable[[], Spec | None], options: RunOptions, specs: Sequence[Spec]
    ) -> Generator[Record, None, None]:
        """Do the runs; see `bench.execution.executor.Executor.execute`."""
        if self.jobs > 1 or options.limits:
            from bench.execution.process_pool import run_all

            records = run_all(take, options, self.jobs, specs)
        else:
            records = _run_here(take, options)
        for record in records:
            if record.environment:
                record = replace(record, environment=replace(record.environment, jobs=self.jobs))
            yield record


def _run_here(take: Callable[[], Spec | None], options: RunOptions) -> Generator[Record, None, None]:
    from bench.records import schema

    while spec := take():
        with uncollected():
            from bench.execution.single_run import execute  # imports torch, which finished sweeps do not need

        started = schema.now()
        try:
            record = execute(spec, options)
        except (KeyboardInterrupt, Terminated) as signal:
            if measured := getattr(signal, MEASURED, None):
                yield measured
            elif isinstance(signal, Terminated):
                yield schema.Record.failed(spec, started, f"{schema.STOPPED}{signal}")
            raise
        yield record
