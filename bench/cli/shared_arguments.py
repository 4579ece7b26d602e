"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.config.plan import RunRequest
from bench.config.reference import REFERENCE
from bench.config.suite import DEFAULT_SUITE
from bench.errors import UsageError


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the runs: methods, tasks, suite, seeds and changed settings."""
    add_list(parser, "--methods", "NAME", "methods, separated by commas or spaces; see `bench list methods`")
    add_list(parser, "--tasks", "NAME", "tasks, separated by commas or spaces; see `bench list tasks`")
    parser.add_argument("--suite", help=f"name of a suite, or a .toml file (default: {DEFAULT_SUITE})")
    add_list(parser, "--seeds", "N", "seeds, separated by commas or spaces, or a range such as 0-4 (default: 0)")
    add_list(
        parser,
        "--set",
        "KEY=VALUE",
        "change settings, e.g. cola.r=8, ave.epochs=2, train.batch_size=16, data.source=official",
    )


def add_worlds(parser: argparse.ArgumentParser) -> None:
    """Add the option that varies the world of generated and composed data."""
    add_list(
        parser,
        "--worlds",
        "N",
        "seeds of generated or composed data (data.seed), separated by commas or spaces, or a range such as 0-4: each "
        "is a world with its own samples (default: the suite's)",
    )


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Add the option that gives all methods the same size."""
    parser.add_argument(
        "--budget",
        metavar="SIZE",
        help="set each method's rank so that it trains this many adapter parameters: 2%% (of the streams'), 400k, or "
        "the name of a method, for as many as it has",
    )


def add_reference(parser: argparse.ArgumentParser) -> None:
    """Add the method that the others are compared with."""
    parser.add_argument(
        "--reference",
        default=REFERENCE,
        metavar="METHOD",
        help="the method that the others are compared with (default: %(default)s)",
    )


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the results folder, the data folder and the device."""
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (default: %(default)s)"
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder of the official releases, of media to compose data from, or of generated data",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="device to compute on (default: %(default)s)"
    )


def check_target(path: Path, option: str, results: Path | None = None) -> None:
    """Check that the folder exists which is to contain a file or folder that the user names.

    A mistyped folder would otherwise be made without a word. The results folder is made, and folders in it.

    Args:
        path: What is to be written.
        option: How the user names it, such as "--out".
        results: The results folder, if the command has one.

    Raises:
        UsageError: There is no such folder.
    """
    in_results = results is not None and path.is_relative_to(results)
    if not (path.parent.is_dir() or in_results):
        raise UsageError(f"{option} {path}: there is no folder {path.parent}: make it first, or choose another one")


def run_request(args: argparse.Namespace) -> RunRequest:
    """Return the runs that the arguments of `add_plan`, and of `add_budget` and `add_worlds`, request."""
    more = {name: vars(args).get(name) for name in ("budget", "worlds")}  # not every command has them
    return RunRequest(
        args.suite or DEFAULT_SUITE,
        split_list(args.methods),
        split_list(args.tasks),
        split_list(args.seeds) or ["0"],
        args.set,
        more["budget"],
        worlds=split_list(more["worlds"] or ()),
    )


def add_list(parser: argparse.ArgumentParser, option: str, metavar: str, about: str) -> None:
    """Add an option that takes a list, which `split_list` splits."""
    parser.add_argument(option, metavar=metavar, nargs="+", action="extend", default=[], help=about)


def split_list(arguments: Sequence[str]) -> list[str]:
    """Return the items of a list that is separated by commas, spaces or both."""
    return [item for argument in arguments for item in argument.replace(",", " ").split()]
