"""`bench compare`: compare two methods of a results folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.printing import print
from bench.cli.shared_arguments import add_list, split_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench compare`."""
    parser.add_argument("a", metavar="A", help='label of a row of the leaderboard, e.g. cola or "lora (r=12)"')
    parser.add_argument("b", metavar="B", help="label of the row that it is compared with")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )
    add_list(parser, "--tasks", "NAME", "tasks, separated by commas or spaces (default: all)")


def main(args: argparse.Namespace) -> int:
    """Print the comparison."""
    from bench.records.store import read_existing
    from bench.report.comparison import compare

    print(compare(read_existing(args.results), args.a, args.b, split_list(args.tasks) or None))
    return 0
