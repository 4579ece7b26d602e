"""`bench export`: write records in formats of other tools."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.printing import print
from bench.cli.shared_arguments import check_target

_FORMATS = "csv|parquet|peft|model-index"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench export`."""
    parser.add_argument("--format", required=True, metavar=_FORMATS, help="format to write")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="a file for csv and parquet, otherwise a folder with one file per finished run (default: in RESULTS)",
    )


def main(args: argparse.Namespace) -> int:
    """Write the records and print the path."""
    from bench.report.export.write import export

    if args.out:
        check_target(args.out, "--out", args.results)
    path, runs = export(args.results, args.format, args.out)
    print(f"{args.format} of {runs} {'run' if runs == 1 else 'runs'}: {path}")
    return 0
