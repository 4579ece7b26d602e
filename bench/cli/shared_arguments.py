"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.config.plan import RunRequest
from bench.config.reference import REFERENCE


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Adds what says which runs: methods, tasks, suite, seeds, and what to change."""
    add_list(parser, "--methods", "NAME", "by commas or spaces; see `bench list methods`")
    add_list(parser, "--tasks", "NAME", "by commas or spaces; see `bench list tasks`")
    parser.add_argument("--suite", default="mini", help="a name or a .toml file (default: %(default)s)")
    add_list(parser, "--seeds", "N", "by commas or spaces (default: 0)")
    add_list(parser, "--set", "KEY=VALUE", "as in cola.r=8, ave.epochs=2, train.batch_size=16, data.source=official")


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Adds the size that all methods get."""
    parser.add_argument(
        "--budget",
        metavar="SIZE",
        help="choose each method's rank for so many trained adapter parameters: 2%% (of the streams'), 400k, or a "
        "method, as in cola: as many as it has",
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
    """Adds where runs find and leave things, and what computes them."""
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="where official releases lie, or generated data is to be kept"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")


def run_request(args: argparse.Namespace) -> RunRequest:
    """Return the runs that the arguments of `add_plan`, and of `add_budget`, request."""
    seeds = words(args.seeds) or ["0"]
    budget = vars(args).get("budget")  # not every command has it
    return RunRequest(args.suite, words(args.methods), words(args.tasks), seeds, args.set, budget)


def add_list(parser: argparse.ArgumentParser, option: str, metavar: str, about: str) -> None:
    """Adds an option that takes several words; `words` takes them apart."""
    parser.add_argument(option, metavar=metavar, nargs="+", action="extend", default=[], help=about)


def words(arguments: Sequence[str]) -> list[str]:
    """What was given by commas, spaces or both."""
    return [word for argument in arguments for word in argument.replace(",", " ").split()]
