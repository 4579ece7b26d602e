"""`bench status`: show which runs of a results folder are finished, failed or in progress."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.printing import print
from bench.cli.shared_arguments import add_plan, add_worlds, run_request
from bench.config.plan import make_plan
from bench.text import escape

if TYPE_CHECKING:
    from bench.config.spec import Spec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench status`."""
    add_plan(parser)
    add_worlds(parser)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> int:
    """Show the runs that the arguments plan; without any, all that have a record or are in progress."""
    chosen = (args.methods, args.tasks, args.suite, args.seeds, args.set, args.worlds)
    plan = make_plan(run_request(args)) if any(chosen) else None
    ids = {spec.id for spec in plan} if plan else None
    from bench.execution import claims
    from bench.records import store
    from bench.report.text_table import text_table

    records = [record for record in store.read_all(args.results) if ids is None or record.id in ids]
    rows: dict[tuple[str, str], Counter[str]] = {}
    for spec in plan or ():
        rows.setdefault((spec.task, spec.method), Counter())["planned"] += 1
    for record in records:
        rows.setdefault((record.spec.task, record.spec.method), Counter())[record.outcome] += 1
    if rows:
        lines = _lines(rows if plan else dict(sorted(rows.items())), plan)
        print(text_table([*lines[0]], [[*line.values()] for line in lines], "llr"))
    elif args.results.is_dir():
        print(escape.line(f"{args.results} contains no records"))
    else:
        store.check_exists(args.results)
    if extra := sum(len(record.file.earlier) + len(record.file.unequal) for record in records):
        print(f"not counted: {extra} other record{'s' * (extra != 1)} of these runs")
    for claim, silence in claims.read_all(args.results):
        doubt = f"; no sign of life for {silence:.0f} s" if silence > claims.STALE_AFTER else ""
        process = f"process {claim.pid} on {claim.host}"
        print(escape.line(f"in progress: {claim.run}, since {claim.started}, by {process}{doubt}"))
    return 0


def _lines(rows: dict[tuple[str, str], Counter[str]], plan: Sequence[Spec] | None) -> list[dict[str, object]]:
    lines = []
    for (task, method), count in rows.items():
        line: dict[str, object] = {"task": task, "method": method, "ok": count["ok"], "failed": count["failed"]}
        if plan:
            line |= {"left": count["planned"] - count["ok"] - count["failed"], "planned": count["planned"]}
        lines.append(line)
    return lines
