"""The arguments that choose the searches of `bench tune`: an experiment file, or options in its place."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.shared_arguments import add_budget, add_list, add_plan, check_target, run_request, split_list
from bench.config.experiment_keys import DEFAULT_TRIALS
from bench.config.quantities import whole
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.config.experiment import Experiment, SettingsSearch

_log = logging.getLogger(__name__)

OPTIONS = ("methods", "tasks", "suite", "seeds", "set", "budget", "trials", "epochs", "out")
"""The options that choose searches, whose place an experiment file takes."""


def add_chosen_searches(parser: argparse.ArgumentParser) -> None:
    """Add the experiment file with its stages, and the options of `OPTIONS`."""
    parser.add_argument(
        "experiment",
        nargs="?",
        type=Path,
        metavar="FILE.toml",
        help="an experiment file, whose searches take the place of the options that choose one: "
        f"{', '.join(f'--{name}' for name in OPTIONS)}",
    )
    add_list(parser, "--stage", "NAME", "only the searches for these stages of the experiment file")
    add_plan(parser)
    add_budget(parser)
    parser.add_argument(
        "--trials",
        type=lambda text: whole(text, "--trials"),
        metavar="N",
        help=f"trials of each method on each task; the first has the suite's values (default: {DEFAULT_TRIALS})",
    )
    parser.add_argument(
        "--epochs",
        type=lambda text: whole(text, "--epochs"),
        metavar="N",
        help="epochs of each trial (default: the suite's)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write the settings (default: RESULTS/tuned.toml)"
    )


def searches_of(args: argparse.Namespace) -> list[SettingsSearch]:
    """Return the searches of the experiment file, or the one that the options choose; none if its stages need none.

    Args:
        args: The arguments of `add_chosen_searches`, and the results folder.

    Raises:
        UsageError: The file has mistakes, or no searches; options choose runs beside a file; or there is no folder for
            what is to be written.
    """
    from bench.config.experiment import SettingsSearch, read_experiment

    path: Path | None = args.experiment
    if path is None:
        if args.stage:
            raise UsageError("--stage: only with an experiment file, as in `bench tune FILE.toml --stage NAME`")
        out: Path = args.out or args.results / "tuned.toml"
        check_target(out, "--out", args.results)
        return [SettingsSearch("", run_request(args), out, args.trials or DEFAULT_TRIALS, args.epochs)]
    if path.suffix != ".toml":
        raise UsageError(f"{path} is not an experiment file, which ends in .toml; name methods with --methods")
    if conflicting := [f"--{name}" for name in OPTIONS if getattr(args, name)]:
        raise UsageError(f"{', '.join(conflicting)}: not with an experiment file; {path} has the searches")
    experiment = read_experiment(path)
    if experiment.problems:
        raise UsageError([f"{path}: {problem}" for problem in experiment.problems])
    if not experiment.searches:
        raise UsageError(f"{path}: there are no [[searches]]: `bench tune` has nothing to do")
    stages = experiment.selected(split_list(args.stage))
    chosen = experiment.searches_of(stages) if args.stage else experiment.searches
    for search in chosen:
        check_target(search.out, f"{path}: {search.place}:")
    _warn_of_seeds(experiment, chosen)
    return list(chosen)


def _warn_of_seeds(experiment: Experiment, searches: Sequence[SettingsSearch]) -> None:
    """Warn if searches have seeds of runs: rates that suit a seed by chance would count."""
    compared = {int(seed) for stage in experiment.stages for part in stage.parts for seed in part.request.seeds}
    for search in searches:
        if shared := sorted(compared & {int(seed) for seed in search.request.seeds}):
            _log.warning(
                "%s: %s.seeds: %s compared in stages too: search with other seeds",
                *(experiment.path, search.place, f"{', '.join(map(str, shared))} {'are' if shared[1:] else 'is'}"),
            )
