"""`bench status`: what is done in a results folder, what failed, and who does what just now."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.cli.printing import print
from bench.cli.shared_arguments import add_plan, run_request
from bench.config.plan import make_plan
from bench.config.spec import Spec
from bench.execution import claims
from bench.records import store
from bench.report.text_table import text_table
from bench.text import escape


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the folder, and the runs that are asked after."""
    add_plan(parser)
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s")


def main(args: argparse.Namespace) -> int:
    """Shows it: of the runs that the arguments plan, or else of all that have a record or are under way."""
    plan = make_plan(run_request(args)) if args.methods or args.tasks else None
    wanted = {spec.id for spec in plan} if plan else None
    found = [record for record in store.read_all(args.results) if wanted is None or record.id in wanted]
    rows: dict[tuple[str, str], Counter[str]] = {}
    for spec in plan or ():
        rows.setdefault((spec.task, spec.method), Counter())["planned"] += 1
    for record in found:
        rows.setdefault((record.spec.task, record.spec.method), Counter())[record.outcome] += 1
    if rows:
        lines = _lines(rows if plan else dict(sorted(rows.items())), plan)
        print(text_table([*lines[0]], [[*line.values()] for line in lines], "llr"))
    else:
        print(escape.line(f"{args.results} holds no records"))
    if aside := sum(len(record.file.earlier) + len(record.file.unequal) for record in found):
        print(f"not counted: {aside} other record{'s' * (aside != 1)} of these runs")
    for claim, silent in claims.read_all(args.results):
        doubt = f"; not heard of for {silent:.0f} s" if silent > claims.STALE_AFTER else ""
        where = f"since {claim.started}, by process {claim.pid} of {claim.host}"
        print(escape.line(f"under way: {claim.run}, {where}{doubt}"))
    return 0


def _lines(rows: dict[tuple[str, str], Counter[str]], plan: Sequence[Spec] | None) -> list[dict[str, object]]:
    lines = []
    for (task, method), count in rows.items():
        line: dict[str, object] = {"task": task, "method": method, "ok": count["ok"], "failed": count["failed"]}
        if plan:
            line |= {"left": count["planned"] - count["ok"] - count["failed"], "planned": count["planned"]}
        lines.append(line)
    return lines
