"""`bench leaderboard`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the folder."""
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s")


def main(args: argparse.Namespace) -> int:
    """Writes the leaderboard and says where."""
    from bench.report import write_leaderboard

    print(f"leaderboard: {write_leaderboard(args.results)}")
    return 0
