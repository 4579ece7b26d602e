"""The command line: one module per subcommand, with `add_arguments` and `main`. Only this package prints.

Exit codes: 0 for success; 1 if a run failed, something is missing, a score differs from the recorded one, standard
output cannot be written, or a signal ended the command; 2 if the command line is wrong.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module

import bench
from bench.cli.printing import LogFormatter, print
from bench.errors import BenchError, Terminated, UsageError, did_you_mean
from bench.progress import set_quiet
from bench.system import distributed, memory_errors, signals

COMMANDS = {
    "run": "train and score methods on tasks, and compare them",
    "status": "show which runs of a results folder or an experiment are finished, failed, in progress or left",
    "eval": "score an adapter that `bench run --save-adapters` saved",
    "show": "draw samples of a run, with ground truth and predictions, into one picture",
    "list": "list methods, tasks, suites, families of encoders, executors, or the types for peft:<type>",
    "leaderboard": "compare the records of a results folder: leaderboard.md and leaderboard.html",
    "compare": "compare two methods of a results folder: gains, intervals and verdicts",
    "plot": "draw gains, trade-offs or validation curves of a results folder, as SVG or PNG",
    "power": "compute from recorded variance how many seeds are needed to detect a gain",
    "profile": "measure the memory and speed of methods at full size, on random weights and samples",
    "tune": "search each method's learning rate by validation score, with equally many trials",
    "data": "show where to get official releases, verify one, or prepare one",
    "check-method": "check what every method must satisfy, on tiny models: a table of what holds",
    "check": "rerun a small subset of runs and compare it with a baseline, for CI",
    "export": "write records as CSV, Parquet, PEFT's method comparison or a model card's model-index",
    "init-suite": "write a suite for your own data: a CSV, or folders of images",
    "pretrain": "pretrain an embedded encoder on generated media of one modality",
}
"""What each command does. Only the module of the requested command is imported, since some take long to import."""

_BEGINS_AGAIN = "the same command begins again"
"""What a signal that ends a command keeps, and how to go on, unless the command's module says it in `GOING_ON`."""


def main(argv: Sequence[str]) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name.

    Returns:
        The exit code.
    """
    parser = _parser(argv[0] if argv else None)
    going_on = _BEGINS_AGAIN
    try:
        args = _parse(parser, argv)
        distributed.refuse_missing_processes()
        if args.command != "run":
            distributed.refuse_several(f"bench {args.command}")
        _set_up_output(args)
        going_on = args.going_on
        # A run that a scheduler ends is recorded as failed. Other commands stop as at ^C.
        with signals.raised(Terminated if args.command == "run" else KeyboardInterrupt):
            return _ended(args.main, args)
    except (KeyboardInterrupt, Terminated):
        print(f"bench: stopped; {going_on}", file=sys.stderr)
        return 1
    except BenchError as error:
        if isinstance(error, UsageError) and not distributed.is_main():
            return error.exit_code  # all processes have the same error, and one reports it
        count = len(error.problems)
        heading = f"bench: {count} mistakes:\n  " if count > 1 else "bench: "
        print(heading + "\n  ".join(error.problems), file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if not memory_errors.ran_out(error):
            raise
        print(f"bench: {memory_errors.reason(error)}", file=sys.stderr)
        return 1


def _ended(command: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Return the exit code of a command, which code of a third party must not end early: it would seem to succeed.

    Raises:
        BenchError: Code has raised SystemExit.
    """
    try:
        return command(args)
    except SystemExit as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise BenchError(
            f"code that the command called ended it, by SystemExit: {error} ({place.filename}, line {place.lineno})"
        ) from error


def _parser(requested: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description=bench.__doc__,
        epilog="example: bench run --methods lora,cola --tasks ave,avs",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bench {bench.__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        if name != requested:
            continue
        module = import_module(f"bench.cli.{name.replace('-', '_')}")
        module.add_arguments(command)
        output = command.add_mutually_exclusive_group()
        output.add_argument("--quiet", action="store_true", help="show results and errors only, no progress")
        output.add_argument("--verbose", action="store_true", help="show more detail")
        going_on = getattr(module, "GOING_ON", _BEGINS_AGAIN)
        command.set_defaults(main=module.main, parser=command, going_on=going_on)
    return parser


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse arguments as `parse_args` does, but propose the nearest names for an unknown command or option."""
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        raise UsageError(f"unknown command {argv[0]}: {did_you_mean(argv[0], COMMANDS)}")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        known = set(re.findall(r"--[a-z-]+", args.parser.format_help()))
        raise UsageError([f"unknown option {option}: {did_you_mean(option, known)}" for option in options or unknown])
    return args


def _set_up_output(args: argparse.Namespace) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    level = logging.DEBUG if args.verbose else logging.NOTSET
    logging.getLogger("bench").setLevel(level if distributed.is_main() else logging.ERROR)
    set_quiet(args.quiet or not distributed.is_main())
