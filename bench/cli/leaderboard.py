"""`bench leaderboard`: compare the records of a results folder."""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

from bench.cli.printing import print
from bench.cli.shared_arguments import add_reference


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench leaderboard`."""
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )
    parser.add_argument("--published", action="store_true", help="also show published figures, in a separate section")
    add_reference(parser)


def main(args: argparse.Namespace) -> int:
    """Write the leaderboard and print its paths."""
    from bench.report.write import write_leaderboard

    gc.disable()  # collection would take longer than reading thousands of records, and the command ends soon
    try:
        for path in write_leaderboard(args.results, args.published, args.reference):
            print(f"leaderboard: {path}")
    finally:
        gc.enable()
    return 0
