"""`bench show`: draw samples of a run with ground truth and predictions."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.printing import print
from bench.cli.shared_arguments import check_target
from bench.config.quantities import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench show`."""
    parser.add_argument("--run", required=True, metavar="ID", help="id of the run, or its first characters")
    parser.add_argument(
        "--n", type=lambda text: whole(text, "--n"), default=8, metavar="N", help="samples (default: %(default)s)"
    )
    parser.add_argument(
        "--split", metavar="NAME", help="a test split of the task, e.g. testB of refcoco (default: the first one)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="a .png file (default: RESULTS/pictures/ID.png, or ID-SPLIT.png)"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder of the official releases, of media to compose data from, or of generated data",
    )


def main(args: argparse.Namespace) -> int:
    """Write the picture and print its path."""
    from bench.errors import UsageError
    from bench.files import atomic_file
    from bench.report.prediction_images import FOLDER, show

    if args.out:
        check_target(args.out, "--out", args.results)
    picture, record = show(args.run, args.results, args.data_root, args.n, args.split)
    name = f"{record.id}-{args.split}" if args.split else record.id
    path = args.out or args.results / FOLDER / f"{name}.png"
    try:
        with atomic_file(path) as file:
            picture.save(file, "png")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}; choose another path with --out") from error
    print(f"{record.label}: {path}")
    return 0
