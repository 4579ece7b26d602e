"""`bench check`: runs a small subset again and compares it with a baseline, or writes a new baseline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.executor_arguments import add_executor, executor_of
from bench.cli.printing import print
from bench.cli.shared_arguments import add_list, add_place, words
from bench.config.plan import RunRequest
from bench.config.reference import REFERENCE
from bench.config.run_options import RunOptions
from bench.config.shipped import baseline_path
from bench.config.spec import Spec
from bench.errors import BenchError, Mistakes, UsageError
from bench.execution.finished_runs import look_up
from bench.execution.planning import plan_runs
from bench.execution.sweep import sweep
from bench.records import store
from bench.records.schema import Record

if TYPE_CHECKING:
    from bench.check.baseline import Baseline
    from bench.check.compare import Row

METHODS = ("lora", "dora", "cola", "cola-dora")
TASKS = ("ave", "avs")
SEEDS = 10  # of a new baseline
JOBS = 2  # runs at a time
ROUNDS, ROUNDS_OF_BASELINE = 15, 50  # in which the methods take turns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench check`."""
    parser.add_argument(
        "--baseline",
        type=Path,
        default=Path("results/mini/baseline.json"),
        metavar="FILE",
        help="baseline to compare with or to write (default: %(default)s, or the package's if there is none)",
    )
    add_list(parser, "--methods", "NAME", f"methods, separated by commas or spaces (default: {','.join(METHODS)})")
    add_list(parser, "--tasks", "NAME", f"tasks, separated by commas or spaces (default: {','.join(TASKS)})")
    add_list(
        parser, "--seeds", "N", "seeds, separated by commas or spaces (default: the first that is not in the baseline)"
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
    """Does what the command asks for; 1 where anything is outside its margin."""
    from bench.check.baseline import read

    args.executor = executor_of(args, jobs=JOBS)
    if not args.update:
        args.baseline = baseline_path(args.baseline)
    baseline = None if args.update else read(args.baseline)
    methods, tasks = words(args.methods) or [*METHODS], words(args.tasks) or [*TASKS]
    seeds = words(args.seeds) or ([str(max(baseline.seeds) + 1)] if baseline else [str(n) for n in range(SEEDS)])
    plan, _ = plan_runs(RunRequest(args.suite, methods, tasks, seeds), args.data_root)
    if baseline:
        _check_asked(baseline, args.baseline, plan)
    if args.update and len(seeds) < 2:
        raise UsageError("--update: a baseline has a spread, which takes 2 seeds at least")
    if not args.quiet:
        against = f"against {args.baseline}, seeds {_listed(baseline.seeds)}" if baseline else "for a new baseline"
        print(f"{len(plan)} runs of suite {args.suite}, seed {_listed(seeds)}, {against}", flush=True)
    if baseline is None:
        return _update(plan, args)
    rows, notes = _compared(baseline, plan, args)
    return _tell(rows, notes, args)


def _check_asked(baseline: Baseline, path: Path, plan: Sequence[Spec]) -> None:
    """Checks that the baseline holds what is asked for.

    Raises:
        UsageError: with all that it does not hold.
    """
    mistakes = Mistakes()
    if baseline.suite != plan[0].suite:
        mistakes.add(f"{path} is a baseline of suite {baseline.suite}, not of {plan[0].suite}: name it with --suite")
    for spec in plan:
        if spec.task not in baseline.tasks or spec.method not in baseline.tasks[spec.task].methods:
            mistakes.add(f"{path} has no {spec.method} on {spec.task}: leave it out, or write a new one with --update")
    mistakes.raise_if_any()


def _run(plan: Sequence[Spec], args: argparse.Namespace) -> list[Record]:
    """The records of the runs, in the order of the plan."""
    store.check_writable(args.results)
    existing = look_up(plan, args.results, args.data_root, rerun=not args.resume, retry_failed=True)
    done = existing.finished
    todo = [spec for spec in plan if spec.id not in done]
    options = RunOptions(args.data_root, args.device)
    sweeping = sweep(todo, args.results, options, args.executor, superseded=existing.superseded)
    for number, record in enumerate(sweeping, start=1):
        done[record.id] = record
        if not args.quiet:
            took = f"{record.times.total:.0f} s" if record.times else f"failed: {record.reason}"
            print(f"[{number}/{len(todo)}] {record.label}: {took}", flush=True)
    return [done[spec.id] for spec in plan]


def _measured(plan: Sequence[Spec], done: Sequence[Record], args: argparse.Namespace, rounds: int) -> Baseline:
    """What the runs measured, what the readers give now, and what a step of each method costs now."""
    import torch

    from bench.check.baseline import gather
    from bench.check.costs import costs_of
    from bench.check.reader_probe import probe
    from bench.records.environment import processor

    options = RunOptions(args.data_root, args.device)
    seen, costs = {}, {}
    for task, base in _bases(plan, args).items():
        own = {base.method: base, **{spec.method: spec for spec in plan if spec.task == task}}
        if not args.quiet:
            print(f"{task}: {rounds} rounds of training steps of {', '.join(own)} by turns", flush=True)
        seen[task] = probe(base, options)
        costs[task] = costs_of(list(own.values()), options, rounds)
    environment = done[0].environment
    assert environment, "every run that came to its end has one"
    environment = replace(environment, threads=torch.get_num_threads())
    return gather(done, costs, seen, environment, processor())


def _bases(plan: Sequence[Spec], args: argparse.Namespace) -> dict[str, Spec]:
    """A run of LoRA for each task, whether or not it is among those asked for."""
    tasks = list(dict.fromkeys(spec.task for spec in plan))
    bases, _ = plan_runs(RunRequest(args.suite, [REFERENCE], tasks, [plan[0].seed]), args.data_root)
    return {spec.task: spec for spec in bases}


def _records(plan: Sequence[Spec], args: argparse.Namespace) -> tuple[list[Record], list[Row]]:
    """Return the records of the runs, and what is wrong in them and in those of the sanity runs."""
    from bench.check.integrity import check_records
    from bench.check.sanity_run import sanity_run

    done = _run(plan, args)
    if not args.quiet:
        print("a sanity run on a few samples of each task", flush=True)
    sanity_records = [sanity_run(base, RunOptions(args.data_root, args.device)) for base in _bases(plan, args).values()]
    return done, check_records([*done, *sanity_records])


def _compared(baseline: Baseline, plan: Sequence[Spec], args: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """All comparisons, and what to tell besides."""
    from bench.check.compare import compare, incomparable

    done, rows = _records(plan, args)
    if any(record.outcome == "failed" for record in done):
        return rows, ["nothing else is compared before all runs come to their end"]
    found = _measured(plan, done, args, ROUNDS)
    skip = incomparable(baseline, found)
    rows += compare(baseline, found, skip)
    names = {"peaks": "peak memory", "time": "speed", "bytes": "memory of a step"}
    notes = [f"{names[what]} is not compared; in the baseline and here: {why}" for what, why in skip.items()]
    if both := sorted({*baseline.seeds} & {*found.seeds}):
        notes.append(f"seeds of the baseline itself, which are nearer to it than fresh ones: {_listed(both)}")
    return rows, notes


def _update(plan: Sequence[Spec], args: argparse.Namespace) -> int:
    from bench.check.baseline import write

    done, rows = _records(plan, args)
    if wrong := [row for row in rows if row.failed]:
        told = "\n".join(f"  {row.task} {row.method} {row.quantity}: {row.fresh}, not {row.baseline}" for row in wrong)
        raise BenchError(f"no baseline is written, since records do not hold what they must:\n{told}")
    write(_measured(plan, done, args, ROUNDS_OF_BASELINE), args.baseline)
    print(f"baseline: {args.baseline}")
    return 0


def _tell(rows: Sequence[Row], notes: Sequence[str], args: argparse.Namespace) -> int:
    """Prints what was found and appends it to the report."""
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
