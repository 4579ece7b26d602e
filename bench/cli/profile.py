"""`bench profile`: measure memory and speed of methods at full size, on random weights and samples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import files
from bench.cli.printing import print
from bench.cli.shared_arguments import add_list, add_reference, split_list
from bench.config.plan import RunRequest, make_plan
from bench.config.preflight import check_encoders, check_methods
from bench.config.quantities import whole
from bench.config.reference import check_reference
from bench.config.spec import Spec
from bench.errors import BenchError, Mistakes, UsageError
from bench.records import store
from bench.system import distributed

if TYPE_CHECKING:
    from bench.profiling.record import Efficiency

GOING_ON = "tasks whose table is shown are recorded; name the others with --tasks"
"""As of `bench.cli`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench profile`."""
    add_list(parser, "--methods", "NAME", "methods, separated by commas or spaces; see `bench list methods`")
    add_list(parser, "--tasks", "NAME", "tasks, separated by commas or spaces; see `bench list tasks`")
    parser.add_argument("--suite", default="full", help="name of a suite, or a .toml file (default: %(default)s)")
    add_list(
        parser,
        "--set",
        "KEY=VALUE",
        "change settings, as for `bench run`, e.g. cola.r=8, train.gradient_checkpointing=true, ...",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="device to compute on (default: %(default)s)"
    )
    parser.add_argument(
        "--batch",
        type=lambda text: whole(text, "--batch"),
        metavar="N",
        help="samples per step (default: the recipe's on a GPU, 1 elsewhere)",
    )
    parser.add_argument(
        "--rounds",
        type=lambda text: whole(text, "--rounds"),
        default=5,
        metavar="N",
        help="number of rounds, in which the methods take turns (default: %(default)s)",
    )
    parser.add_argument(
        "--suggest-batch",
        action="store_true",
        help="find the largest batch whose training step fits into memory; write no records",
    )
    add_reference(parser)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command; return 1 if a method could not be measured, else 0."""
    distributed.refuse_several("`bench profile`")
    if args.suggest_batch and args.batch:
        raise UsageError("--batch and --suggest-batch: give one or the other")
    plan = make_plan(RunRequest(args.suite, split_list(args.methods), split_list(args.tasks), overrides=args.set))
    mistakes = Mistakes()
    with mistakes.gathered():
        check_reference(args.reference, [spec.method for spec in plan])
    with mistakes.gathered():
        check_encoders(plan, weights=False)
        check_methods(plan)
    mistakes.raise_if_any()
    if args.suggest_batch:
        return _suggest(plan, args)
    store.check_writable(args.results)
    return _measure(plan, args)


def _measure(plan: Sequence[Spec], args: argparse.Namespace) -> int:
    from bench.profiling.measure import measure  # imports torch
    from bench.profiling.record import FOLDER
    from bench.report.profile_tables import LEGEND, MEMORY, terminal

    failures = []
    for task in dict.fromkeys(spec.task for spec in plan):
        specs = [spec for spec in plan if spec.task == task]
        if not args.quiet:
            methods = ", ".join(spec.method for spec in specs)
            print(f"{task}: measuring {methods} in turn, rounds: {args.rounds}", flush=True)
        records, failed = measure(specs, args.device, args.rounds, args.batch, args.reference)
        failures += [f"{task} {method} failed: {reason}" for method, reason in failed.items()]
        if records:
            print(f"\n{terminal(records)}\n", flush=True)
            failures += _write(records, args.results)
    print("\n".join([LEGEND, MEMORY, *failures]))
    print(
        f"Weights and samples are random; there are no scores. Records: {args.results / FOLDER}, {FOLDER}.md beside it"
    )
    return int(bool(failures))


def _write(records: Sequence[Efficiency], results: Path) -> list[str]:
    """Write the records and a page of all; return messages with each record that could not be written."""
    from bench.profiling.record import FOLDER, dumps, read_all, write
    from bench.report.profile_tables import page

    failures = []
    for record in records:
        try:
            write(record, results)
        except OSError as error:
            failures.append(f"{dumps(record)}the record {record.stem}, printed above, cannot be written: {error}")
    path = results / f"{FOLDER}.md"
    try:
        files.write_text(path, page(read_all(results)))
    except OSError as error:
        failures.append(f"{path} cannot be written: {error}")
    return failures


def _suggest(plan: Sequence[Spec], args: argparse.Namespace) -> int:
    from bench.measurement.memory import release_memory
    from bench.profiling.largest_batch import largest_batch  # imports torch

    failed = False
    for spec in plan:
        try:
            batch_size = largest_batch(spec, args.device)
        except UsageError:
            raise
        except BenchError as error:
            failed = True
            print(f"{spec.task} {spec.method} failed: {error}", flush=True)
        else:
            print(f"{spec.task} {spec.method}: {_samples(batch_size)}", flush=True)
            failed |= not batch_size
        release_memory()
    return int(failed)


def _samples(batch_size: int) -> str:
    from bench.profiling.largest_batch import MAX_BATCH_SIZE

    if batch_size >= MAX_BATCH_SIZE:
        return f"{MAX_BATCH_SIZE} samples or more"
    return {0: "not one sample", 1: "1 sample"}.get(batch_size, f"{batch_size} samples")
