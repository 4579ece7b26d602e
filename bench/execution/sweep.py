"""Do the runs of a plan, and write each record as soon as its run ends."""

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
from bench.execution.run_queue import RunQueue
from bench.records import schema, store
from bench.records.record_file import RecordFile
from bench.records.schema import Record
from bench.system import child_processes, distributed
from bench.system.signals import held_back

_log = logging.getLogger(__name__)

_POLL_INTERVAL = 1.0  # seconds between two checks for runs that other commands have done


def sweep(
    specs: Sequence[Spec],
    results: Path,
    options: RunOptions,
    executor: Executor | None = None,
    superseded: Mapping[str, Record | None] | None = None,
) -> Iterator[Record]:
    """Do the runs, starting them in their order, and yield each record once it is written.

    Several commands that share a results folder divide the runs among them, and each yields all records (see
    `bench.execution.claims`). The processes of a launcher do every run together; the main one claims runs and writes
    records.

    Args:
        specs: The runs.
        results: Folder for the records.
        options: Options that do not affect results.
        executor: What does the runs; None for one after another in this process.
        superseded: By id, the records of runs that are repeated. A newer record that another command writes counts.

    Raises:
        UsageError: The device or the release is missing, which every run needs.
        BenchError: A record cannot be written; the message contains the record. Or a run failed that several processes
            did together, since the other processes wait for this one.
    """
    child_processes.refuse_unguarded()
    executor = executor or LocalExecutor()
    if executor != LocalExecutor():
        name = f"--jobs {executor.jobs}" if isinstance(executor, LocalExecutor) else type(executor).__name__
        distributed.refuse_several(name)
    if distributed.count() > 1:
        yield from _sweep_with_launcher(specs, results, options, superseded)
        return
    with Claims(results) as claims:
        options = replace(options, claimed_by=claims.token)
        queue = RunQueue(specs, results, claims, superseded)
        while queue.specs:
            with closing(executor.execute(queue.take, options, queue.specs)) as records:
                for record in records:
                    with held_back():
                        written = _write_if_claimed(record, results, options, claims, queue)
                    if written:
                        yield written
            yield from queue.elsewhere()
            if queue.specs:
                queue.announce()
                time.sleep(_POLL_INTERVAL)


def _write_if_claimed(
    record: Record, results: Path, options: RunOptions, claims: Claims, queue: RunQueue
) -> Record | None:
    """Write a record, unless another command has taken over its run: then that command's record counts."""
    spec = record.spec
    try:
        with claims.holder(spec).writing():
            record = _write(record, results, options)
    except ClaimLostError as lost:
        _log.warning("%s", lost)
        queue.give_back(spec)
        if record.status == "failed" or not queue.take_this(spec):
            return None
        record = _write(record, results, options)  # no command does the run now, and this record has its measurements
    claims.release(spec)
    return record


def _write(record: Record, results: Path, options: RunOptions) -> Record:
    """Write a record, and delete the checkpoint of a finished run."""
    if record.environment:
        record = replace(record, environment=replace(record.environment, jobs=record.environment.jobs or 1))
    if tuned := options.tuned.get(record.id):
        record = replace(record, tuned=tuned.record_entry(record.spec))
    try:
        path = store.write(record, results)
    except OSError as error:
        raise BenchError(
            f"\n{schema.dumps(record)}\nthe record of {record.label}, printed above, cannot be written: {error}"
        ) from error
    if record.status == "ok":  # a failed run may resume from its checkpoint
        with suppress(OSError):
            store.checkpoint(results, record.spec).unlink(missing_ok=True)
    return record.with_file(RecordFile(path.stem, results=results))


def _sweep_with_launcher(
    specs: Sequence[Spec], results: Path, options: RunOptions, superseded: Mapping[str, Record | None] | None
) -> Iterator[Record]:
    """Do the runs with the other processes of a launcher. The main one claims them, and chooses the next one."""
    from bench.execution.single_run import execute

    distributed.connect(options.device)
    with Claims(results) if distributed.is_main() else nullcontext() as claims:
        queue = RunQueue(specs, results, claims, superseded) if claims else None
        options = replace(options, claimed_by=claims.token if claims else None)
        while True:
            spec = queue.take() if queue else None
            spec, elsewhere = distributed.broadcast((spec, bool(queue and queue.specs)))
            if spec:
                yield _write_from_main(execute(spec, options), spec, results, options, claims)
            if queue:
                yield from queue.elsewhere()
            if not spec and not elsewhere:
                return
            if not spec:
                if queue:
                    queue.announce()
                time.sleep(_POLL_INTERVAL)


def _write_from_main(record: Record, spec: Spec, results: Path, options: RunOptions, claims: Claims | None) -> Record:
    """Write a record that all processes of a launcher have; raise an error if the run failed in this process."""
    failed = record.status == "failed"
    if failed or claims:
        with claims.holder(spec).writing() if claims else nullcontext():
            record = _write(record, results, options)
    if failed:
        raise BenchError(
            f"{record.label} failed in a process that the others wait for: {record.reason}; the record is "
            "written, and the same command continues with the other runs"
        )
    if claims:
        claims.release(spec)
    return record
