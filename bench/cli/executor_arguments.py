"""The arguments that choose an executor: this machine, a Ray cluster, or an executor of another package."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from bench.errors import BenchError, UsageError, shortened, wording
from bench.execution.executor import LOCAL, Executor, Option, executor_class, executor_names, make_executor, options_of


def add_executor(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Add `--executor` and the options that each executor declares.

    Args:
        parser: The command's parser.
        defaults: The command's own defaults of the local executor's options.
    """
    parser.add_argument(
        "--executor",
        default=LOCAL,
        metavar="NAME",
        help=f"executor that does the runs: {', '.join(executor_names())} (default: %(default)s)",
    )
    for name in executor_names():
        group = parser.add_argument_group(f"with --executor {name}")
        for option in _options(name):
            default = defaults.get(option.name, option.default) if name == LOCAL else option.default
            group.add_argument(
                option.flag,
                dest=_destination(name, option),
                type=partial(_parse, option),
                metavar=option.metavar,
                help=option.help if default is None else f"{option.help} (default: {default})",
            )


def executor_of(args: argparse.Namespace, **defaults: Any) -> Executor:
    """Return the executor that the arguments of `add_executor` request.

    Args:
        args: The command's arguments.
        defaults: As for `add_executor`.

    Raises:
        UsageError: There is no executor of that name, it cannot be used, or options are those of another one.
        BenchError: It cannot be imported.
    """
    executor_class(args.executor)
    for name in executor_names():
        flags = [option.flag for option in _options(name) if getattr(args, _destination(name, option)) is not None]
        if flags and name != args.executor:
            raise UsageError(f"{', '.join(flags)}: only with --executor {name}")
    values = dict(defaults) if args.executor == LOCAL else {}
    for option in _options(args.executor):
        value = getattr(args, _destination(args.executor, option))
        if value is not None:
            values[option.name] = value
    return make_executor(args.executor, **values)


def _options(name: str) -> list[Option]:
    try:
        return options_of(executor_class(name))
    except BenchError:  # its package is broken, which matters only if it is requested
        return []


def _parse(option: Option, text: str) -> Any:
    try:
        return option.parse(text, option.flag)
    except (TypeError, ValueError) as error:  # argparse would report the name of this function
        raise UsageError(f"{option.flag} cannot be {shortened(text) or 'empty'}: {wording(error)}") from error


def _destination(name: str, option: Option) -> str:
    return f"{name}.{option.name}"
