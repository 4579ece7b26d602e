"""The runs of a plan, one after another or side by side, each record kept as soon as it is there."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import processes, records
from bench.errors import BenchError, Mistakes, UsageError
from bench.official import check_official
from bench.plan import Spec, make_plan
from bench.records import Record
from bench.streams.sources import find_encoder

if TYPE_CHECKING:
    from bench.budget import Fit
    from bench.tuned import Tuned

_log = logging.getLogger(__name__)


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
    """

    data_root: Path | None = None
    device: str = "auto"
    results: Path | None = None
    save_adapters: bool = False
    tuned: Tuned | None = None
    validate_only: bool = False


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
        tuned: as for `make_plan`; what it has no settings for is warned of.

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
    for model, stream in {source["model"]: name for spec in plan for name, source in spec.streams.items()}.items():
        try:
            find_encoder(model)
        except UsageError as error:
            mistakes.add(f"{error}; or name a folder that holds one: --set {stream}.model=DIR")
    mistakes.raise_if_any()
    if tuned and (missing := tuned.missing(plan)):
        told = ", ".join(f"{method} on {task}" for task, method in missing)
        _log.warning("%s has no settings for %s: run with the suite's own, beside tuned ones", tuned.file, told)
    return plan, fits


def finished(plan: Sequence[Spec], results: Path, with_adapters: bool = False) -> dict[str, Record]:
    """The records of those runs that have one, by id; where adapters are asked for, of those that have one too."""
    paths = {spec.id: records.find(results, spec) for spec in plan}
    found = {id_: records.read(path) for id_, path in paths.items() if path}
    if not with_adapters:
        return found
    return {
        id_: record
        for id_, record in found.items()
        if record.status == "failed" or (record.adapter and (results / record.adapter).is_dir())
    }


def sweep(specs: Sequence[Spec], results: Path, options: RunOptions, jobs: int = 1) -> Iterator[Record]:
    """Does the runs, begun in their order; yields each record when it is written.

    Args:
        specs: the runs.
        results: folder for the records.
        options: what the command says of its runs.
        jobs: runs that are done at a time: one in this process, or several in as many others (see `bench.pool`).

    Where a launcher started several processes, each goes through all the runs with the others, and the main one writes.

    Raises:
        DataError, UsageError: the data or the device is not there; this ends every run alike.
        BenchError: a record cannot be written; it is part of the message, so that it is not lost. Or a run failed that
            several processes did together: the others wait for this one, and go no further.
    """
    if jobs > 1:
        processes.refuse_several(f"--jobs {jobs}")
    with closing(_run_all(specs, options, jobs)) as done:
        for record in done:
            if record.environment:
                record = replace(record, environment=replace(record.environment, jobs=jobs))
            if options.tuned:
                record = replace(record, tuned=options.tuned.told(Spec(**record.spec)))
            failed_together = record.status == "failed" and processes.count() > 1
            if not (processes.is_main() or failed_together):
                yield record
                continue
            try:
                records.write(record, results)
            except OSError as error:
                raise BenchError(
                    f"{records.dumps(record)}\nthe record of {record.label}, printed above, cannot be written: {error}"
                ) from error
            if record.status == "ok":  # what failed may go on from there
                records.checkpoint(results, Spec(**record.spec)).unlink(missing_ok=True)
            if failed_together:
                raise BenchError(
                    f"{record.label} failed in a process that the others wait for: {record.reason}; the record is "
                    "written, and the same command goes on with the other runs"
                )
            yield record


def _run_all(specs: Sequence[Spec], options: RunOptions, jobs: int) -> Generator[Record]:
    # Heavy imports: not needed where everything is finished.
    if jobs > 1 and specs:
        from bench.pool import run_all

        yield from run_all(specs, options, jobs)
        return
    for spec in specs:
        from bench.runner import execute

        yield execute(spec, options)
