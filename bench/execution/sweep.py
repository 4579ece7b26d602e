"""The runs of a plan, one after another or side by side, each record kept as soon as it is there."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.run_options import MEASURED, RunOptions
from bench.config.spec import Spec
from bench.errors import BenchError, Terminated
from bench.execution.claims import ClaimLostError, Claims
from bench.execution.run_queue import Waiting
from bench.records import schema, store
from bench.records.schema import Record
from bench.system import child_processes, distributed
from bench.system.signals import held_back

if TYPE_CHECKING:
    from bench.execution.ray_resources import Cluster

_log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two looks at runs that other commands do


def sweep(
    specs: Sequence[Spec],
    results: Path,
    options: RunOptions,
    jobs: int = 1,
    cluster: Cluster | None = None,
    superseded: Mapping[str, Record | None] | None = None,
) -> Iterator[Record]:
    """Does the runs, begun in their order; yields each record when it is written.

    Of several commands that share a results folder each does other runs, and yields the records of all (see
    `bench.execution.claims`).
    Where a launcher started several processes, they do each run together, and the main one claims and writes.

    Args:
        specs: the runs.
        results: folder for the records.
        options: what the command says of its runs.
        jobs: runs that are done at a time: one in this process, or several in as many others (see
            `bench.execution.process_pool`).
        cluster: a Ray cluster that does them instead (see `bench.execution.ray_executor`).
        superseded: records, by id, of runs that are done again; one that another command has written since counts.

    Raises:
        UsageError: the device is not there, or the release; this ends every run alike.
        BenchError: a record cannot be written; it is part of the message, so that it is not lost. Or a run failed that
            several processes did together: the others wait for this one, and go no further.
    """
    child_processes.refuse_unguarded()
    if jobs > 1:
        distributed.refuse_several(f"--jobs {jobs}")
    if cluster:
        distributed.refuse_several("--executor ray")
    if distributed.count() > 1:
        yield from _together(specs, results, options, superseded)
        return
    with Claims(results) as claims:
        options = replace(options, claimed_by=claims.token)
        waiting = Waiting(specs, results, claims, superseded)
        while waiting.specs:
            with closing(_run_all(waiting, options, jobs, cluster)) as done:
                for record in done:
                    with held_back():
                        kept = _keep_if_claimed(record, results, options, jobs, claims, waiting)
                    if kept:
                        yield kept
            yield from waiting.elsewhere()
            if waiting.specs:
                waiting.announce()
                time.sleep(_LOOK)


def _keep_if_claimed(
    record: Record, results: Path, options: RunOptions, jobs: int, claims: Claims, waiting: Waiting
) -> Record | None:
    """Keep a record, unless another command has taken its run over and does it: then its record counts."""
    spec = Spec(**record.spec)
    try:
        with claims.holder(spec).writing():
            record = _keep(record, results, options, jobs)
    except ClaimLostError as lost:
        _log.warning("%s", lost)
        waiting.give_back(spec)
        if record.status == "failed" or not waiting.take_this(spec):
            return None
        record = _keep(record, results, options, jobs)  # nobody does it any more, and it is measured
    claims.release(spec)
    return record


def _keep(record: Record, results: Path, options: RunOptions, jobs: int) -> Record:
    """Writes a record, and lets go of what a run needs no more once it is there."""
    if record.environment:
        record = replace(record, environment=replace(record.environment, jobs=record.environment.jobs or jobs))
    if options.tuned:
        record = replace(record, tuned=options.tuned.told(Spec(**record.spec)))
    try:
        store.write(record, results)
    except OSError as error:
        raise BenchError(
            f"\n{schema.dumps(record)}\nthe record of {record.label}, printed above, cannot be written: {error}"
        ) from error
    if record.status == "ok":  # what failed may go on from there
        with suppress(OSError):
            store.checkpoint(results, Spec(**record.spec)).unlink(missing_ok=True)
    return record


def _together(
    specs: Sequence[Spec], results: Path, options: RunOptions, superseded: Mapping[str, Record | None] | None
) -> Iterator[Record]:
    """Does the runs with the other processes of a launcher. The main one claims them, and says which is next."""
    from bench.execution.single_run import execute

    distributed.connect(options.device)
    with Claims(results) if distributed.is_main() else nullcontext() as claims:
        waiting = Waiting(specs, results, claims, superseded) if claims else None
        options = replace(options, claimed_by=claims.token if claims else None)
        while True:
            spec = waiting.take() if waiting else None
            spec, elsewhere = distributed.broadcast((spec, bool(waiting and waiting.specs)))
            if spec:
                yield _done_together(execute(spec, options), spec, results, options, claims)
            if waiting:
                yield from waiting.elsewhere()
            if not spec and not elsewhere:
                return
            if not spec:
                if waiting:
                    waiting.announce()
                time.sleep(_LOOK)


def _done_together(record: Record, spec: Spec, results: Path, options: RunOptions, claims: Claims | None) -> Record:
    """Keeps a record that all processes of a launcher have; they end where the run failed in this one."""
    failed = record.status == "failed"
    if failed or claims:
        with claims.holder(spec).writing() if claims else nullcontext():
            record = _keep(record, results, options, jobs=1)
    if failed:
        raise BenchError(
            f"{record.label} failed in a process that the others wait for: {record.reason}; the record is "
            "written, and the same command goes on with the other runs"
        )
    if claims:
        claims.release(spec)
    return record


def _run_all(waiting: Waiting, options: RunOptions, jobs: int, cluster: Cluster | None) -> Generator[Record]:
    # Heavy imports: not needed where everything is finished.
    if cluster:
        from bench.execution import ray_executor

        yield from ray_executor.run_all(waiting.take, options, cluster, waiting.specs)
        return
    if jobs > 1 or options.limits:
        from bench.execution.process_pool import run_all

        yield from run_all(waiting.take, options, jobs, waiting.specs)
        return
    while spec := waiting.take():
        from bench.execution.single_run import execute

        started = schema.now()
        try:
            record = execute(spec, options)
        except (KeyboardInterrupt, Terminated) as asked:
            if measured := getattr(asked, MEASURED, None):
                yield measured
            elif isinstance(asked, Terminated):
                yield Record.failed(spec, started, f"{schema.STOPPED}{asked}")
            raise
        yield record
