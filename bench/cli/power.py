"""`bench power`: compute how many seeds a gain needs to be detected, and which gain a number of seeds detects."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.printing import print
from bench.cli.shared_arguments import add_reference
from bench.config.quantities import number, whole
from bench.config.reference import check_reference
from bench.errors import BenchError, Mistakes
from bench.text import escape

_LEGEND = """
Paired two-sided t-test over seeds, at level 0.05 over all comparisons of a table, with power {power:g}.
deviation: standard deviation of the differences to {reference}, in points
for {gain:g}: seeds needed to detect a gain of {gain:g} points; between: for the ends of the deviation's 95% interval
with N: the smallest gain, in points, that N seeds can detect"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench power`."""
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )
    parser.add_argument(
        "--gain",
        type=lambda text: number(text, "--gain"),
        default=1.0,
        metavar="POINTS",
        help="true gain over the reference, in points (default: %(default)s)",
    )
    parser.add_argument(
        "--power",
        type=lambda text: number(text, "--power"),
        default=0.8,
        metavar="P",
        help="probability of detecting it (default: %(default)s)",
    )
    parser.add_argument(
        "--comparisons",
        metavar="N",
        help="number of methods compared with the reference in one table, for Holm's correction (default: as many "
        "as it has)",
    )
    add_reference(parser)


def main(args: argparse.Namespace) -> int:
    """Print one line for each method and task."""
    from bench.records.store import FOLDER, check_exists, read_all
    from bench.report.formatting import NONE
    from bench.report.grouping import row_labels
    from bench.report.power import SEEDS, powers
    from bench.report.standings import compute_standings
    from bench.report.text_table import text_table

    comparisons = _checked_comparisons(args)
    check_exists(args.results)
    records = read_all(args.results)
    check_reference(args.reference, row_labels(records))
    standings = compute_standings(records, reference=args.reference, samples=False)
    rows = list(powers(standings, args.gain, args.power, comparisons))
    if not rows:
        folder = escape.line(str(args.results / FOLDER))
        raise BenchError(
            f"{folder} has no variance to compute from: this needs at least two seeds of {args.reference} and another "
            f"method on one task: bench run --methods {args.reference},... --seeds 0,1,2"
        )

    def seed_count(seeds: int | None) -> str:
        return str(seeds) if seeds else ">1000"

    lines = [
        [
            power.task,
            power.method,
            str(power.seeds),
            f"{power.deviation:.2f}",
            seed_count(power.needed),
            " to ".join(seed_count(end) for end in power.needed_between) if power.deviation else NONE,
            *(f"{gain:.2f}" for gain in power.smallest.values()),
        ]
        for power in rows
    ]
    header = ["task", "method", "seeds", "deviation", f"for {args.gain:g}", "between"]
    header += [f"with {seeds}" for seeds in SEEDS]
    print(text_table(header, lines, "llr"))
    print(_LEGEND.format(reference=args.reference, gain=args.gain, power=args.power))
    return 0


def _checked_comparisons(args: argparse.Namespace) -> int | None:
    """Check the arguments, and return the number of comparisons, or None.

    Raises:
        UsageError: Every mistake in the arguments.
    """
    mistakes = Mistakes()
    if args.gain <= 0:
        mistakes.add(f"--gain must be a number of points above 0, not {args.gain:g}")
    if not 0.05 < args.power < 1:
        mistakes.add(f"--power must be between 0.05 and 1, not {args.power:g}")
    comparisons = None
    if args.comparisons is not None:
        with mistakes.gathered():
            comparisons = whole(args.comparisons, "--comparisons")
    mistakes.raise_if_any()
    return comparisons
