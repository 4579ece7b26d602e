"""Arguments that several commands take."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.config.plan import RunRequest
from bench.errors import UsageError, shortened
from bench.system.cpus import MAX_JOBS


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


def add_place(parser: argparse.ArgumentParser) -> None:
    """Adds where runs find and leave things, and what computes them."""
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="where official releases lie, or generated data is to be kept"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    parser.add_argument(
        "--jobs",
        type=jobs,
        default=1,
        metavar="N",
        help="runs at a time, each in a process of its own with its share of the CPU's threads (default: %(default)s)",
    )


def run_request(args: argparse.Namespace) -> RunRequest:
    """Return the runs that the arguments of `add_plan`, and of `add_budget`, request."""
    seeds = words(args.seeds) or ["0"]
    budget = vars(args).get("budget")  # not every command has it
    return RunRequest(args.suite, words(args.methods), words(args.tasks), seeds, args.set, budget)


def whole(text: str, option: str) -> int:
    """A whole number from 1.

    Raises:
        UsageError: the text is none.
    """
    if re.fullmatch("[0-9]{10,}", text):
        raise UsageError(f"{option} is a whole number from 1 to 999999999, not {shortened(text)}")
    if not re.fullmatch("[0-9]+", text) or not int(text):
        raise UsageError(f"{option} is a whole number from 1, not {shortened(text)}")
    return int(text)


def jobs(text: str) -> int:
    """How many processes, at `--jobs`.

    Raises:
        UsageError: the text is no number of processes that a machine may have.
    """
    count = whole(text, "--jobs")
    if count > MAX_JOBS:
        raise UsageError(f"--jobs is a whole number from 1 to {MAX_JOBS}, not {count}")
    return count


def number(text: str, option: str) -> float:
    """A finite number.

    Raises:
        UsageError: the text is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{option} is a finite number, not {shortened(text)}")
    return value


_TIMES = {"s": 1, "m": 60, "h": 3600}
_SIZES = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


def seconds(text: str, option: str) -> float:
    """A time in seconds.

    Raises:
        UsageError: the text is none above 0.
    """
    return _measured(text, _TIMES, f"{option} is a time, as in 90s, 30m or 2h")


def size(text: str, option: str) -> int:
    """A size in bytes.

    Raises:
        UsageError: the text is none above 0.
    """
    return int(_measured(text, _SIZES, f"{option} is a size, as in 500MB, 8GB or 8GiB"))


def _measured(text: str, units: Mapping[str, int], expected: str) -> float:
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]+)?)([A-Za-z]+)", text)
    if not found or found[2] not in units or not float(found[1]):
        raise UsageError(f"{expected}, not {shortened(text)}")
    return float(found[1]) * units[found[2]]


def add_list(parser: argparse.ArgumentParser, option: str, metavar: str, about: str) -> None:
    """Adds an option that takes several words; `words` takes them apart."""
    parser.add_argument(option, metavar=metavar, nargs="+", action="extend", default=[], help=about)


def words(arguments: Sequence[str]) -> list[str]:
    """What was given by commas, spaces or both."""
    return [word for argument in arguments for word in argument.replace(",", " ").split()]
