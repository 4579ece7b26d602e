"""`bench status`: show which runs of a results folder or an experiment are finished, failed, in progress or left."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.chosen_runs import add_chosen_runs, has_chosen, plan_of
from bench.cli.printing import print
from bench.text import escape

if TYPE_CHECKING:
    from bench.execution.planning import PlannedRun, RunPlan
    from bench.records.schema import Record

_STATES = ("ok", "failed", "running", "left")
"""What a planned run is: recorded as finished or failed, in progress without a record, or none of these."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench status`."""
    add_chosen_runs(parser)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> int:
    """Show the runs that the arguments plan; without any, all that have a record or are in progress."""
    plan = plan_of(args, ready=False) if has_chosen(args) else None
    from bench.execution import claims
    from bench.records import store

    records = {record.id: record for record in store.read_all(args.results)}
    held = claims.read_all(args.results)
    if plan:
        records = {run.spec.id: records[run.spec.id] for run in plan.runs if run.spec.id in records}
        _print_plan(plan, records, {stem for stem, (_, silence) in held.items() if silence <= claims.STALE_AFTER})
    elif records:
        _print_records(records.values())
    elif args.results.is_dir():
        print(escape.line(f"{args.results} contains no records"))
    else:
        store.check_exists(args.results)
    if extra := sum(len(record.file.earlier) + len(record.file.unequal) for record in records.values()):
        print(f"not counted: {extra} other record{'s' * (extra != 1)} of these runs")
    for claim, silence in held.values():
        doubt = f"; no sign of life for {silence:.0f} s" if silence > claims.STALE_AFTER else ""
        process = f"process {claim.pid} on {claim.host}"
        print(escape.line(f"in progress: {claim.run}, since {claim.started}, by {process}{doubt}"))
    return 0


def _print_records(records: Iterable[Record]) -> None:
    """Print how many runs of each method on each task are recorded."""
    from bench.report.text_table import text_table

    rows: dict[tuple[str, str], Counter[str]] = {}
    for record in records:
        rows.setdefault((record.spec.task, record.spec.method), Counter())[record.outcome] += 1
    lines = [[*names, *(count[state] for state in _STATES[:2])] for names, count in sorted(rows.items())]
    print(text_table(["task", "method", *_STATES[:2]], lines, "llr"))


def _print_plan(plan: RunPlan, records: dict[str, Record], held: Collection[str]) -> None:
    """Print a line for each stage, task and method, then which runs of a line have failed or are left, and the totals.

    Args:
        plan: The runs.
        records: The records of its runs, by id.
        held: The stems of the claims that are touched.
    """
    from bench.records.schema import stem
    from bench.report.formatting import runs
    from bench.report.text_table import text_table

    def state(run: PlannedRun) -> str:
        record = records.get(run.spec.id)
        if record and record.outcome == "ok":
            return "ok"
        return "running" if stem(run.spec) in held else "failed" if record else "left"

    groups: dict[tuple[str, str, str], dict[str, list[PlannedRun]]] = {}
    for run in plan.runs:
        states = groups.setdefault((run.stage, run.spec.task, run.label), {})
        states.setdefault(state(run), []).append(run)
    in_stages = any(run.stage for run in plan.runs)
    lines = []
    for names, states in groups.items():
        counts = [len(states.get(name, ())) for name in _STATES]
        lines.append([*names[not in_stages :], *counts, sum(counts)])
    header = ["stage", "task", "method", *_STATES, "planned"][not in_stages :]
    print(text_table(header, lines, "l" * (2 + in_stages) + "r"))
    print()
    for name in ("failed", "left"):
        for states in groups.values():
            if name in states and len(states) > 1:  # otherwise the line of the table says it
                print(escape.line(f"{name}, of a line with others: {_named(states[name])}"))
    totals = [sum(len(states.get(name, ())) for states in groups.values()) for name in _STATES]
    summary = ", ".join(f"{total:,} {name}" for total, name in zip(totals, _STATES, strict=True))
    print(f"{runs(len(plan.runs))}: {summary}")
    if plan.repeated:
        print(f"requested again by a later stage or under another label, and counted once: {runs(len(plan.repeated))}")


def _named(members: list[PlannedRun]) -> str:
    """Return runs that differ in the seed or the world, as in "main: ave lora seeds 0-2, 4"."""
    from bench.report.formatting import ranges

    by_world: dict[int | None, list[int]] = {}
    for run in members:
        by_world.setdefault(run.world, []).append(run.spec.seed)
    parts = [
        ("" if world is None else f"world {world} ") + f"seed{'s' * (len(seeds) > 1)} {ranges(seeds)}"
        for world, seeds in by_world.items()
    ]
    return f"{members[0].name} {'; '.join(parts)}"
