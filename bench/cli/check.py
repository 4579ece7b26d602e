"""`bench check`: rerun a small subset of runs and compare it with a baseline, or write a new baseline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.executor_arguments import add_executor, executor_of
from bench.cli.printing import print
from bench.cli.shared_arguments import add_list, add_place, check_target, split_list
from bench.config.plan import RunRequest
from bench.config.reference import REFERENCE
from bench.config.run_options import RunOptions
from bench.config.shipped import baseline_path
from bench.errors import BenchError, Mistakes, UsageError

if TYPE_CHECKING:
    from bench.check.baseline import Baseline
    from bench.check.compare import Row
    from bench.config.spec import Spec
    from bench.records.schema import Record

METHODS = ("lora", "dora", "cola", "cola-dora")
TASKS = ("ave", "avs")
BASELINE = Path("results/mini/baseline.json")
SEEDS = 10  # of a new baseline
JOBS = 2  # runs at a time
ROUNDS, ROUNDS_OF_BASELINE = 15, 50  # rounds of training steps, in which the methods take turns

GOING_ON = "finished runs are kept, and the same command with --resume continues"
"""As of `bench.cli`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench check`."""
    parser.add_argument(
        "--baseline",
        type=Path,
        default=BASELINE,
        metavar="FILE",
        help="baseline to compare with or to write (default: %(default)s, or the package's if there is none)",
    )
    add_list(parser, "--methods", "NAME", f"methods, separated by commas or spaces (default: {','.join(METHODS)})")
    add_list(parser, "--tasks", "NAME", f"tasks, separated by commas or spaces (default: {','.join(TASKS)})")
    add_list(
        parser,
        "--seeds",
        "N",
        "seeds, separated by commas or spaces, or a range such as 0-4 (default: the first that is not in the baseline)",
    )
    parser.add_argument("--suite", default="check", help="name of a suite, or a .toml file (default: %(default)s)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="append the tables to this file as Markdown")
    parser.add_argument(
        "--update", action="store_true", help=f"write a new baseline, by default from seeds 0 to {SEEDS - 1}"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="reuse records of the same code instead of repeating their runs",
    )
    add_place(parser)
    add_executor(parser, jobs=JOBS)
    parser.set_defaults(results=Path("results/check"))


def main(args: argparse.Namespace) -> int:
    """Run the command; return 1 if anything is outside its margin, else 0."""
    from bench.check.baseline import read
    from bench.execution.planning import plan_runs

    args.executor = executor_of(args, jobs=JOBS)
    if args.report:
        check_target(args.report, "--report", args.results)
    if args.update and args.baseline != BASELINE:
        check_target(args.baseline, "--baseline", args.results)
    if not args.update:
        args.baseline = baseline_path(args.baseline)
    baseline = None if args.update else read(args.baseline)
    methods, tasks = split_list(args.methods) or [*METHODS], split_list(args.tasks) or [*TASKS]
    seeds = split_list(args.seeds) or ([str(max(baseline.seeds) + 1)] if baseline else [str(n) for n in range(SEEDS)])
    plan, _ = plan_runs(RunRequest(args.suite, methods, tasks, seeds), args.data_root)
    if baseline:
        _check_contains(baseline, args.baseline, plan)
    if args.update and len({spec.seed for spec in plan}) < 2:
        raise UsageError("--update: a baseline needs at least 2 seeds, to know their spread")
    if not args.quiet:
        purpose = f"against {args.baseline}, seeds {_listed(baseline.seeds)}" if baseline else "for a new baseline"
        print(f"{len(plan)} runs of suite {args.suite}, seed {_listed(seeds)}, {purpose}", flush=True)
    if baseline is None:
        return _update(plan, args)
    rows, notes = _compare(baseline, plan, args)
    return _report(rows, notes, args)


def _check_contains(baseline: Baseline, path: Path, plan: Sequence[Spec]) -> None:
    """Check that the baseline covers the planned runs.

    Raises:
        UsageError: Lists everything that the baseline does not cover.
    """
    mistakes = Mistakes()
    if baseline.suite != plan[0].suite:
        mistakes.add(f"{path} is a baseline of suite {baseline.suite}, not of {plan[0].suite}: name it with --suite")
    for spec in plan:
        if spec.task not in baseline.tasks or spec.method not in baseline.tasks[spec.task].methods:
            mistakes.add(f"{path} has no {spec.method} on {spec.task}: leave it out, or write a new one with --update")
    mistakes.raise_if_any()


def _run(plan: Sequence[Spec], args: argparse.Namespace) -> list[Record]:
    """Do the runs, and return their records in the order of the plan."""
    from bench.execution.finished_runs import look_up
    from bench.execution.sweep import sweep
    from bench.records import store

    store.check_writable(args.results)
    existing = look_up(plan, args.results, args.data_root, rerun=not args.resume, retry_failed=True)
    records_by_id = existing.finished
    todo = [spec for spec in plan if spec.id not in records_by_id]
    options = RunOptions(args.data_root, args.device)
    sweeping = sweep(todo, args.results, options, args.executor, superseded=existing.superseded)
    for number, record in enumerate(sweeping, start=1):
        records_by_id[record.id] = record
        if not args.quiet:
            outcome = f"{record.times.total:.0f} s" if record.times else f"failed: {record.reason}"
            print(f"[{number}/{len(todo)}] {record.label}: {outcome}", flush=True)
    return [records_by_id[spec.id] for spec in plan]


def _measure(plan: Sequence[Spec], records: Sequence[Record], args: argparse.Namespace, rounds: int) -> Baseline:
    """Return fresh measurements of the runs, the data readers and a training step of each method."""
    import torch

    from bench.check.baseline import gather
    from bench.check.costs import costs_of
    from bench.check.reader_probe import probe
    from bench.records.environment import processor

    options = RunOptions(args.data_root, args.device)
    readers, costs = {}, {}
    for task, base in _bases(plan, args).items():
        specs = {base.method: base, **{spec.method: spec for spec in plan if spec.task == task}}
        if not args.quiet:
            print(f"{task}: {rounds} rounds of training steps, in turn: {', '.join(specs)}", flush=True)
        readers[task] = probe(base, options)
        costs[task] = costs_of(list(specs.values()), options, rounds)
    environment = records[0].environment
    assert environment, "every finished run has one"
    environment = replace(environment, threads=torch.get_num_threads())
    return gather(records, costs, readers, environment, processor())


def _bases(plan: Sequence[Spec], args: argparse.Namespace) -> dict[str, Spec]:
    """Return a run of the reference method for each task, whether or not it is requested."""
    from bench.execution.planning import plan_runs

    tasks = list(dict.fromkeys(spec.task for spec in plan))
    bases, _ = plan_runs(RunRequest(args.suite, [REFERENCE], tasks, [plan[0].seed]), args.data_root)
    return {spec.task: spec for spec in bases}


def _records(plan: Sequence[Spec], args: argparse.Namespace) -> tuple[list[Record], list[Row]]:
    """Return the records of the runs, and faults in these records and in those of the sanity runs."""
    from bench.check.integrity import check_records
    from bench.check.sanity_run import sanity_run

    records = _run(plan, args)
    if not args.quiet:
        print("a sanity run on a few samples of each task", flush=True)
    sanity_records = [sanity_run(base, RunOptions(args.data_root, args.device)) for base in _bases(plan, args).values()]
    return records, check_records([*records, *sanity_records])


def _compare(baseline: Baseline, plan: Sequence[Spec], args: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Return all comparisons, and notes on them."""
    from bench.check.compare import compare, incomparable

    records, rows = _records(plan, args)
    if any(record.outcome == "failed" for record in records):
        return rows, ["nothing else is compared, since runs failed"]
    fresh = _measure(plan, records, args, ROUNDS)
    skip = incomparable(baseline, fresh)
    rows += compare(baseline, fresh, skip)
    names = {"peaks": "peak memory", "time": "speed", "bytes": "memory of a step"}
    notes = [f"{names[kind]} is not compared; in the baseline and here: {reason}" for kind, reason in skip.items()]
    if repeated := sorted({*baseline.seeds} & {*fresh.seeds}):
        notes.append(f"these seeds are part of the baseline, so they differ less than new ones: {_listed(repeated)}")
    return rows, notes


def _update(plan: Sequence[Spec], args: argparse.Namespace) -> int:
    from bench.check.baseline import write

    records, rows = _records(plan, args)
    if faults := [row for row in rows if row.failed]:
        lines = [f"  {row.task} {row.method} {row.quantity}: {row.fresh}, not {row.baseline}" for row in faults]
        raise BenchError("\n".join(["no baseline is written, since records have faults:", *lines]))
    write(_measure(plan, records, args, ROUNDS_OF_BASELINE), args.baseline)
    print(f"baseline: {args.baseline}")
    return 0


def _report(rows: Sequence[Row], notes: Sequence[str], args: argparse.Namespace) -> int:
    """Print the comparisons, append them to the report, and return the exit code."""
    from bench.check.table import markdown, terminal, verdict

    print("\n" + terminal(rows, show_all=args.verbose), *notes, verdict(rows), sep="\n\n", flush=True)
    if args.report:
        try:
            args.report.parent.mkdir(parents=True, exist_ok=True)
            with args.report.open("a", encoding="utf-8") as file:
                file.write(markdown(rows, notes))
        except OSError as error:
            print(f"the report {args.report} cannot be written: {error}", file=sys.stderr)
            return 1
    return int(any(row.failed for row in rows))


def _listed(seeds: Sequence[object]) -> str:
    return ", ".join(map(str, seeds))
