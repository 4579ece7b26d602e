"""`bench run`: plan runs, do those that have no record yet, and show all of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.executor_arguments import add_executor, executor_of
from bench.cli.printing import print
from bench.cli.shared_arguments import add_budget, add_list, add_place, add_plan, add_reference, run_request, split_list
from bench.config.quantities import seconds, size
from bench.config.reference import REFERENCE, check_reference
from bench.config.run_options import RunOptions
from bench.config.shipped import tuned_path
from bench.config.spec import Spec
from bench.config.tuned_settings import read_tuned
from bench.errors import BenchError, Terminated
from bench.execution import tracking
from bench.execution.finished_runs import look_up
from bench.execution.planning import plan_runs
from bench.execution.sweep import sweep
from bench.records import store
from bench.records.schema import Record
from bench.system import distributed
from bench.system.signals import held_back

if TYPE_CHECKING:
    from bench.config.budget import BudgetFit


_MAX_FAILURES_LISTED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench run`."""
    add_plan(parser)
    add_list(
        parser,
        "--streams",
        "NAME",
        "as a control, feed only these streams (e.g. vision); the others get the same input for every sample",
    )
    add_budget(parser)
    parser.add_argument(
        "--settings",
        metavar="NAME|FILE",
        help="tuned settings: a .toml file that `bench tune` wrote, or the name of one in this package, e.g. mini; "
        "they override the suite's settings, and --set overrides them",
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
    tuned = read_tuned(tuned_path(args.settings)) if args.settings else None
    executor = executor_of(args)
    tracking.check(split_list(args.track))
    args.quiet = args.quiet or not distributed.is_main()
    request = replace(run_request(args), tuned=tuned)
    if args.streams:
        streams = f"data.streams={json.dumps(split_list(args.streams))}"
        request = replace(request, overrides=[*request.overrides, streams])
    plan, fits = plan_runs(request, args.data_root)
    _check_reference(args.reference, plan, args.results)
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
    todo = [spec for spec in plan if spec.id not in records]
    if not args.quiet:
        _introduce(plan, todo, fits)
    options = RunOptions(
        args.data_root,
        args.device,
        args.results,
        args.save_adapters,
        tuned,
        time_limit=args.time_limit,
        memory_limit=args.memory_limit,
        track=tuple(dict.fromkeys(split_list(args.track))),
    )
    interrupted = reported = False
    try:
        for number, record in enumerate(sweep(todo, args.results, options, executor, existing.superseded), start=1):
            records[record.id] = record
            if not args.quiet:
                print(f"[{number}/{len(todo)}] {_outcome(record)}", flush=True)
    except (KeyboardInterrupt, Terminated):
        interrupted = True
    finally:
        if distributed.is_main():
            with held_back():
                finished = [records[spec.id] for spec in plan if spec.id in records]
                reported = _conclude(finished, args.results, args.reference)
    failed = [record for record in records.values() if record.outcome == "failed"]
    if failed and distributed.is_main():
        labels = ", ".join(record.label for record in failed[:_MAX_FAILURES_LISTED])
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
    from bench.report.grouping import row_labels

    check_reference(reference, methods | row_labels(store.read_all(results)))


def _same_command(rerun: bool, retry: bool) -> str:
    """Return, in words, the command that continues; `--rerun` and `--retry-failed` exclude each other."""
    if retry:
        return "the same command with --retry-failed" + " instead of --rerun" * rerun
    return "the same command" + " without --rerun" * rerun


def _introduce(plan: Sequence[Spec], todo: Sequence[Spec], fits: Sequence[BudgetFit]) -> None:
    for fit in fits:
        print(fit.summary)
    skipped = len(plan) - len(todo)
    runs = "1 run" if len(plan) == 1 else f"{len(plan)} runs"
    print(runs + (f", {skipped} of them finished earlier and skipped (--rerun repeats them)" if skipped else ""))
    if plan[0].data["source"] == "generated":
        print(
            f"The data of suite {plan[0].suite} is generated, not the benchmarks' own; "
            "for official releases: --data-root DIR --set data.source=official"
        )
    sys.stdout.flush()


def _outcome(record: Record) -> str:
    if record.scores is None or record.test_score is None:
        return f"{record.label} failed: {record.failure}"
    return f"{record.label}: {record.scores.metric} {record.test_score:.2f}"


def _conclude(finished: Sequence[Record], results: Path, reference: str) -> bool:
    """Show the finished runs and update the leaderboard; return whether that succeeded.

    It does not raise an error, which would hide the one that ended the runs and contains what was measured.
    """
    if not finished:
        return True
    from bench.report.terminal import run_table
    from bench.report.write import write_leaderboard

    print(f"\n{run_table(finished)}\n\nrecords: {results / store.FOLDER}", flush=True)
    try:
        leaderboard = ", ".join(map(str, write_leaderboard(results, reference=reference)))
    except (BenchError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return False
    print(f"leaderboard: {leaderboard}", flush=True)
    return True
