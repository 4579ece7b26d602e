"""`bench run`: plan runs, do those that have no record yet, and show all of them.

The runs are those of the options, or of an experiment file.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.chosen_runs import add_chosen_runs, plan_of
from bench.cli.executor_arguments import add_executor, executor_of
from bench.cli.printing import print
from bench.cli.shared_arguments import add_list, add_place, add_reference, split_list
from bench.config.quantities import seconds, size
from bench.config.reference import REFERENCE, check_reference
from bench.config.run_options import RunOptions
from bench.errors import BenchError, Mistakes, Terminated
from bench.system import distributed
from bench.system.signals import held_back

if TYPE_CHECKING:
    from bench.config.spec import Spec
    from bench.execution.executor import Executor
    from bench.execution.planning import PlannedRun, RunPlan
    from bench.records.schema import Record

# What does the runs is imported once they are planned: help and mistakes are shown at once.

_MAX_FAILURES_LISTED = 5

GOING_ON = "what is finished is kept, and the same command continues"
"""As of `bench.cli`, for a signal before or after the runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench run`."""
    add_chosen_runs(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the runs, which of them are finished, and an estimate of time from earlier records; run nothing",
    )
    add_reference(parser)
    add_place(parser)
    add_executor(parser)
    parser.add_argument("--save-adapters", action="store_true", help="save adapters and heads in RESULTS/adapters")
    repeat = parser.add_mutually_exclusive_group()
    repeat.add_argument("--rerun", action="store_true", help="repeat runs that already have a record")
    repeat.add_argument("--retry-failed", action="store_true", help="repeat runs that failed")
    parser.add_argument(
        "--time-limit",
        type=lambda text: seconds(text, "--time-limit"),
        metavar="TIME",
        help="fail a run that takes longer than this (e.g. 90s, 30m, 2h)",
    )
    parser.add_argument(
        "--memory-limit",
        type=lambda text: size(text, "--memory-limit"),
        metavar="SIZE",
        help="fail a run that uses more memory than this (e.g. 500MB, 8GB)",
    )
    add_list(parser, "--track", "NAME", "log runs to tensorboard, wandb, mlflow or trackio, in RESULTS/tracking")


def main(args: argparse.Namespace) -> int:
    """Run the command; return its exit code, which `bench.cli` describes."""
    mistakes = Mistakes()
    executor: Executor | None = None
    with mistakes.gathered():
        executor = executor_of(args)
    if args.track:
        from bench.execution import tracking

        with mistakes.gathered():
            tracking.check(split_list(args.track))
    args.quiet = args.quiet or not distributed.is_main()
    run_plan = mistakes.checked(lambda: plan_of(args, args.data_root))
    from bench.execution.finished_runs import look_up
    from bench.execution.sweep import sweep
    from bench.records import store

    plan = run_plan.specs
    _check_reference(args.reference, plan, args.results)
    if not args.dry_run:
        store.check_writable(args.results)
    existing = look_up(
        plan,
        args.results,
        args.data_root,
        rerun=args.rerun,
        retry_failed=args.retry_failed,
        with_adapters=args.save_adapters,
    )
    records = existing.finished
    if args.dry_run:
        if distributed.is_main():
            from bench.cli.dry_run import print_plan

            _print_budgets(run_plan)
            print_plan(run_plan, records, args.results, getattr(executor, "jobs", 1))
        return 0
    todo = [spec for spec in plan if spec.id not in records]
    if not args.quiet:
        _introduce(run_plan, [records[spec.id] for spec in plan if spec.id in records])
    options = RunOptions(
        args.data_root,
        args.device,
        args.results,
        args.save_adapters,
        tuned=run_plan.tuned,
        time_limit=args.time_limit,
        memory_limit=args.memory_limit,
        track=tuple(dict.fromkeys(split_list(args.track))),
    )
    planned = {run.spec.id: run for run in run_plan.runs}
    remaining = Counter(planned[spec.id].stage for spec in todo)
    interrupted = reported = False
    try:
        for number, record in enumerate(sweep(todo, args.results, options, executor, existing.superseded), start=1):
            records[record.id] = record
            if not args.quiet:
                print(f"[{number}/{len(todo)}] {_outcome(planned[record.id], record)}", flush=True)
            stage = planned[record.id].stage
            remaining[stage] -= 1
            if not remaining[stage] and number < len(todo) and distributed.is_main():
                _update_leaderboard(args.results, args.reference)
    except (KeyboardInterrupt, Terminated):
        interrupted = True
    finally:
        if distributed.is_main():
            with held_back():
                finished = [records[spec.id] for spec in plan if spec.id in records]
                reported = _conclude(finished, args.results, args.reference)
    failed = [record for record in records.values() if record.outcome == "failed"]
    if failed and distributed.is_main():
        labels = ", ".join(planned[record.id].title for record in failed[:_MAX_FAILURES_LISTED])
        labels += ", ..." * (len(failed) > _MAX_FAILURES_LISTED)
        summary = f"{len(failed)} of {len(plan)} runs failed ({labels})"
        print(f"{summary}; {_same_command(args.rerun, retry=True)} repeats them", file=sys.stderr)
    if interrupted and distributed.is_main():
        advice = f"{_same_command(args.rerun, retry=any(record.was_stopped for record in failed))} continues"
        if args.rerun and any(spec.id in existing.superseded and spec.id not in records for spec in plan):
            advice = "the others keep their earlier records; the same command repeats all runs"
        print(f"stopped: {len(records) - len(failed)} of {len(plan)} runs finished; {advice}", file=sys.stderr)
    unsaved = args.save_adapters and any(record.status == "ok" and not record.adapter for record in records.values())
    return int(bool(interrupted or unsaved or failed or (distributed.is_main() and not reported)))


def _check_reference(reference: str, plan: Sequence[Spec], results: Path) -> None:
    """Check that the reference is a planned method, or the label of a row of the existing records.

    Raises:
        UsageError: It is neither.
    """
    methods = {spec.method for spec in plan}
    if reference in {REFERENCE, *methods}:
        return
    from bench.records import store
    from bench.report.grouping import row_labels

    check_reference(reference, methods | row_labels(store.read_all(results)))


def _same_command(rerun: bool, retry: bool) -> str:
    """Return, in words, the command that continues; `--rerun` and `--retry-failed` exclude each other."""
    if retry:
        return "the same command with --retry-failed" + " instead of --rerun" * rerun
    return "the same command" + " without --rerun" * rerun


def _print_budgets(plan: RunPlan) -> None:
    for fit in plan.fits:
        print(fit.summary)


def _introduce(plan: RunPlan, records: Sequence[Record]) -> None:
    """Print how many runs there are, how many of them have records that count, and what the data are."""
    from bench.report.formatting import runs

    _print_budgets(plan)
    failed = sum(record.outcome == "failed" for record in records)
    finished = len(records) - failed
    earlier = f", {finished} of them finished earlier and skipped (--rerun repeats them)" if finished else ""
    earlier += f", {failed} of them failed earlier and skipped (--retry-failed repeats them)" if failed else ""
    print(runs(len(plan.runs)) + earlier)
    spec = plan.runs[0].spec
    if spec.data["source"] == "generated":
        print(
            f"The data of suite {spec.suite} is generated, not the benchmarks' own; "
            "for official releases: --data-root DIR --set data.source=official"
        )
    elif spec.data["source"] == "composed":
        print(f"The data of suite {spec.suite} is composed from natural pictures and sounds, not the benchmarks' own")
    elif spec.data["source"] == "own":
        print(f"The data of suite {spec.suite} is your own, not a benchmark's: the tables say so")
    sys.stdout.flush()


def _outcome(run: PlannedRun, record: Record) -> str:
    if record.scores is None or record.test_score is None:
        return f"{run.title} failed: {record.failure}"
    return f"{run.title}: {record.scores.metric} {record.test_score:.2f}"


def _conclude(finished: Sequence[Record], results: Path, reference: str) -> bool:
    """Show the finished runs and update the leaderboard; return whether that succeeded."""
    if not finished:
        return True
    from bench.records import store
    from bench.report.terminal import memory_note, run_table

    print(f"\n{run_table(finished, results, reference)}\n")
    if note := memory_note(finished):
        print(note)
    print(f"records: {results / store.FOLDER}", flush=True)
    return _update_leaderboard(results, reference)


def _update_leaderboard(results: Path, reference: str) -> bool:
    """Write the leaderboard; return whether that succeeded.

    It does not raise an error, which would hide the one that ended the runs and contains what was measured.
    """
    from bench.report.write import write_leaderboard

    try:
        leaderboard = ", ".join(map(str, write_leaderboard(results, reference=reference)))
    except (BenchError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return False
    print(f"leaderboard: {leaderboard}", flush=True)
    return True
