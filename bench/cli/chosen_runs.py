"""The arguments that choose the runs of a command: an experiment file, or options in its place."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.shared_arguments import add_budget, add_list, add_plan, add_worlds, run_request, split_list
from bench.errors import Mistakes, UsageError

if TYPE_CHECKING:
    from bench.execution.planning import RunPlan

OPTIONS = ("methods", "tasks", "suite", "seeds", "worlds", "set", "budget", "settings", "streams")
"""The options that choose runs, whose place an experiment file takes."""


def add_chosen_runs(parser: argparse.ArgumentParser) -> None:
    """Add the experiment file with its stages, and the options of `OPTIONS`."""
    parser.add_argument(
        "experiment",
        nargs="?",
        type=Path,
        metavar="FILE.toml",
        help="an experiment file, which takes the place of the options that choose runs: "
        f"{', '.join(f'--{name}' for name in OPTIONS)}",
    )
    add_list(parser, "--stage", "NAME", "only these stages of the experiment file")
    add_plan(parser)
    add_worlds(parser)
    add_list(
        parser,
        "--streams",
        "NAME",
        "as a control, feed only these streams (e.g. vision); the others get the same input for every sample",
    )
    add_budget(parser)
    parser.add_argument(
        "--settings",
        metavar="NAME|FILE",
        help="tuned settings: a .toml file that `bench tune` wrote, or the name of one in this package, e.g. mini; "
        "they override the suite's settings, and --set overrides them",
    )


def has_chosen(args: argparse.Namespace) -> bool:
    """Return whether the arguments choose any runs."""
    return bool(args.experiment or args.stage or any(getattr(args, name) for name in OPTIONS))


def plan_of(args: argparse.Namespace, data_root: Path | None = None, *, ready: bool = True) -> RunPlan:
    """Return the runs of the experiment file, or those that the options choose.

    Args:
        args: The arguments of `add_chosen_runs`.
        data_root: The folder of --data-root.
        ready: Whether the runs are to be done, so that their data and encoders must be there.

    Raises:
        UsageError: All mistakes in the file or the options, and what is missing.
    """
    from bench.execution.planning import plan_experiment, plan_request

    path: Path | None = args.experiment
    if path is None:
        if args.stage:
            command = f"bench {args.command}"
            raise UsageError(f"--stage: only with an experiment file, as in `{command} FILE.toml --stage NAME`")
        mistakes, request = Mistakes(), run_request(args)
        if args.settings:
            from bench.config.shipped import tuned_path
            from bench.config.tuned_settings import read_tuned

            with mistakes.gathered():
                request = replace(request, tuned=read_tuned(tuned_path(args.settings)))
        if names := split_list(args.streams):
            streams = f"data.streams={json.dumps(names)}"
            request = replace(request, overrides=[*request.overrides, streams])
        elif args.streams:
            mistakes.add("--streams: name the streams to feed, as in --streams vision")
        return mistakes.checked(lambda: plan_request(request, data_root, ready=ready))
    if path.suffix != ".toml":
        raise UsageError(f"{path} is not an experiment file, which ends in .toml; name methods with --methods")
    if conflicting := [f"--{name}" for name in OPTIONS if getattr(args, name)]:
        raise UsageError(f"{', '.join(conflicting)}: not with an experiment file; {path} chooses the runs")
    from bench.config.experiment import read_experiment

    return plan_experiment(read_experiment(path), split_list(args.stage), data_root, ready=ready)
