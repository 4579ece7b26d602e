"""`bench plot`: draw the records of a results folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.printing import print
from bench.cli.shared_arguments import add_list, add_reference, check_target, split_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench plot`."""
    parser.add_argument(
        "--kind",
        default="forest",
        metavar="forest|pareto|curves",
        help="gains over the reference with intervals, scores against a cost, or validation scores by epoch "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )
    add_list(parser, "--tasks", "NAME", "tasks, separated by commas or spaces (default: all)")
    parser.add_argument(
        "--cost",
        default="parameters",
        metavar="parameters|time|memory",
        help="cost of --kind pareto (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="a .svg or .png file (default: RESULTS/KIND.svg)")
    add_reference(parser)


def main(args: argparse.Namespace) -> int:
    """Write the figure and print its path."""
    from bench.records.store import read_existing
    from bench.report.plots import check_format, plot, save_figure

    path = args.out or args.results / f"{args.kind}.svg"
    check_format(path)
    check_target(path, "--out", args.results)
    tasks = split_list(args.tasks) or None
    figure = plot(read_existing(args.results), args.kind, reference=args.reference, tasks=tasks, cost=args.cost)
    save_figure(figure, path)
    print(f"{args.kind}: {path}")
    return 0
