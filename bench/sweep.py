"""The runs of a plan, one after another or side by side, each record kept as soon as it is there."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import child_processes, processes, records, schema
from bench.claims import ClaimLostError, Claims
from bench.errors import BenchError, Mistakes, Terminated
from bench.official import check_official
from bench.plan import Spec, make_plan
from bench.preflight import check_encoders
from bench.record_check import check_recordable
from bench.schema import Record
from bench.signals import held_back
from bench.waiting import Waiting

if TYPE_CHECKING:
    from bench.budget import Fit
    from bench.cluster import Cluster
    from bench.tuned import Tuned

_log = logging.getLogger(__name__)

MEASURED = "measured"  # attribute of what a signal raises: the record of the run that had just ended
_LOOK = 1.0  # seconds between two looks at runs that other commands do


@dataclass(frozen=True)
class RunOptions:
    """What a command says of its runs that does not alter what they measure.

    Attributes:
        data_root: folder of the official releases, or of the generated data's cache; None for the user's cache folder.
        device: "auto", "cpu" or "cuda".
        results: results folder in which predictions of a few samples are kept, and adapters; None to keep nothing.
        save_adapters: keep the trained adapter and head as well.
        tuned: the file that settings were taken from, for the records of the runs that have them.
        validate_only: train and validate and score no test split, as in a trial of `bench tune`.
        time_limit: seconds that a run may take; None for any.
        memory_limit: bytes of resident memory that a run may take; None for any.
        track: names of the trackers that are told of each run (see `bench.tracking`).
        claimed_by: token of the command's claims, without which a run writes nothing (see `bench.claims`); None where
            no run is claimed.
    """

    data_root: Path | None = None
    device: str = "auto"
    results: Path | None = None
    save_adapters: bool = False
    tuned: Tuned | None = None
    validate_only: bool = False
    time_limit: float | None = None
    memory_limit: int | None = None
    track: tuple[str, ...] = ()
    claimed_by: str | None = None

    @property
    def limits(self) -> bool:
        """Whether a run has to be watched, from another process."""
        return self.time_limit is not None or self.memory_limit is not None


def plan_runs(
    suite: str,
    methods: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[str | int],
    overrides: Sequence[str],
    budget: str | None = None,
    data_root: Path | None = None,
    tuned: Tuned | None = None,
) -> tuple[list[Spec], list[Fit]]:
    """The runs that a command asks for, and what its budget came to for each method and task.

    Args:
        suite: as for `make_plan`, as are the next four.
        methods: names of methods.
        tasks: names of tasks.
        seeds: whole numbers, or their text.
        overrides: changed settings.
        budget: as for `bench.budget.plan_within`; None to leave the methods as they are.
        data_root: where the data is to be.
        tuned: as for `make_plan`; what it has no settings for, and another budget, is warned of.

    Raises:
        UsageError: with all that is wrong in the arguments, and the data and encoders that are not there.
    """
    asked = suite, methods, tasks, seeds, overrides, tuned
    fits: list[Fit] = []
    if budget:
        from bench.budget import plan_within  # brings torch

        plan, fits = plan_within(budget, *asked)
    else:
        plan = make_plan(*asked)
    mistakes = Mistakes()
    if official := dict.fromkeys(spec.task for spec in plan if spec.data["source"] == "official"):
        with mistakes.gathered():
            check_official(official, data_root)
    with mistakes.gathered():
        check_recordable(plan)
    with mistakes.gathered():
        check_encoders(plan)
    mistakes.raise_if_any()
    if tuned:
        tuned.check_budget(budget)
    if tuned and (missing := tuned.missing(plan)):
        told = ", ".join(f"{method} on {task}" for task, method in missing)
        _log.warning("%s has no settings for %s: run with the suite's own, beside tuned ones", tuned.file, told)
    return plan, fits


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
    `bench.claims`).
    Where a launcher started several processes, they do each run together, and the main one claims and writes.

    Args:
        specs: the runs.
        results: folder for the records.
        options: what the command says of its runs.
        jobs: runs that are done at a time: one in this process, or several in as many others (see `bench.pool`).
        cluster: a Ray cluster that does them instead (see `bench.ray_executor`).
        superseded: records, by id, of runs that are done again; one that another command has written since counts.

    Raises:
        UsageError: the device is not there, or the release; this ends every run alike.
        BenchError: a record cannot be written; it is part of the message, so that it is not lost. Or a run failed that
            several processes did together: the others wait for this one, and go no further.
    """
    child_processes.refuse_unguarded()
    if jobs > 1:
        processes.refuse_several(f"--jobs {jobs}")
    if cluster:
        processes.refuse_several("--executor ray")
    if processes.count() > 1:
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
        records.write(record, results)
    except OSError as error:
        raise BenchError(
            f"\n{schema.dumps(record)}\nthe record of {record.label}, printed above, cannot be written: {error}"
        ) from error
    if record.status == "ok":  # what failed may go on from there
        with suppress(OSError):
            records.checkpoint(results, Spec(**record.spec)).unlink(missing_ok=True)
    return record


def _together(
    specs: Sequence[Spec], results: Path, options: RunOptions, superseded: Mapping[str, Record | None] | None
) -> Iterator[Record]:
    """Does the runs with the other processes of a launcher. The main one claims them, and says which is next."""
    from bench.runner import execute

    processes.connect(options.device)
    with Claims(results) if processes.is_main() else nullcontext() as claims:
        waiting = Waiting(specs, results, claims, superseded) if claims else None
        options = replace(options, claimed_by=claims.token if claims else None)
        while True:
            spec = waiting.take() if waiting else None
            spec, elsewhere = processes.agreed((spec, bool(waiting and waiting.specs)))
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
        from bench import ray_executor

        yield from ray_executor.run_all(waiting.take, options, cluster, waiting.specs)
        return
    if jobs > 1 or options.limits:
        from bench.pool import run_all

        yield from run_all(waiting.take, options, jobs, waiting.specs)
        return
    while spec := waiting.take():
        from bench.runner import execute

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
