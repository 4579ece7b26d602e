"""The runs of a plan, one after another or side by side, each record kept as soon as it is there."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.errors import BenchError
from bench.execution.claims import ClaimLostError, Claims
from bench.execution.executor import Executor
from bench.execution.local_executor import LocalExecutor
from bench.execution.run_queue import Waiting
from bench.records import schema, store
from bench.records.schema import Record
from bench.system import child_processes, distributed
from bench.system.signals import held_back

_log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two looks at runs that other commands do


def sweep(
    specs: Sequence[Spec],
    results: Path,
    options: RunOptions,
    executor: Executor | None = None,
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
        executor: does the runs; None to do one after another in this process.
        superseded: records, by id, of runs that are done again; one that another command has written since counts.

    Raises:
        UsageError: the device is not there, or the release; this ends every run alike.
        BenchError: a record cannot be written; it is part of the message, so that it is not lost. Or a run failed that
            several processes did together: the others wait for this one, and go no further.
    """
    child_processes.refuse_unguarded()
    executor = executor or LocalExecutor()
    if executor != LocalExecutor():
        name = f"--jobs {executor.jobs}" if isinstance(executor, LocalExecutor) else type(executor).__name__
        distributed.refuse_several(name)
    if distributed.count() > 1:
        yield from _together(specs, results, options, superseded)
        return
    with Claims(results) as claims:
        options = replace(options, claimed_by=claims.token)
        waiting = Waiting(specs, results, claims, superseded)
        while waiting.specs:
            with closing(executor.execute(waiting.take, options, waiting.specs)) as done:
                for record in done:
                    with held_back():
                        kept = _keep_if_claimed(record, results, options, claims, waiting)
                    if kept:
                        yield kept
            yield from waiting.elsewhere()
            if waiting.specs:
                waiting.announce()
                time.sleep(_LOOK)


def _keep_if_claimed(
    record: Record, results: Path, options: RunOptions, claims: Claims, waiting: Waiting
) -> Record | None:
    """Keep a record, unless another command has taken its run over and does it: then its record counts."""
    spec = record.spec
    try:
        with claims.holder(spec).writing():
            record = _keep(record, results, options)
    except ClaimLostError as lost:
        _log.warning("%s", lost)
        waiting.give_back(spec)
        if record.status == "failed" or not waiting.take_this(spec):
            return None
        record = _keep(record, results, options)  # nobody does it any more, and it is measured
    claims.release(spec)
    return record


def _keep(record: Record, results: Path, options: RunOptions) -> Record:
    """Writes a record, and lets go of what a run needs no more once it is there."""
    if record.environment:
        record = replace(record, environment=replace(record.environment, jobs=record.environment.jobs or 1))
    if options.tuned:
        record = replace(record, tuned=options.tuned.record_entry(record.spec))
    try:
        store.write(record, results)
    except OSError as error:
        raise BenchError(
            f"\n{schema.dumps(record)}\nthe record of {record.label}, printed above, cannot be written: {error}"
        ) from error
    if record.status == "ok":  # what failed may go on from there
        with suppress(OSError):
            store.checkpoint(results, record.spec).unlink(missing_ok=True)
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
            record = _keep(record, results, options)
    if failed:
        raise BenchError(
            f"{record.label} failed in a process that the others wait for: {record.reason}; the record is "
            "written, and the same command goes on with the other runs"
        )
    if claims:
        claims.release(spec)
    return record
