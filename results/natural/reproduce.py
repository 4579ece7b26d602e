"""Do the runs of results/natural: `.venv/bin/python results/natural/reproduce.py --media DIR --encoders DIR`.

It is to be called from the checkout's root. Stage by stage, it searches the learning rates that a stage needs and then
does its runs. Finished trials and runs are skipped, so the same command continues after an interruption. Further
arguments are those of `bench run`: `--stage main` does one stage, `--dry-run` shows the runs once rates are there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from study import EXPERIMENT, FOLDER, MODELS

from bench.cli import main
from bench.cli.shared_arguments import add_list, split_list
from bench.config.experiment import read_experiment
from bench.datasets.natural.media import located
from bench.errors import UsageError
from bench.records import store
from bench.report.finding.measured import planned

ENCODERS = FOLDER / "encoders"
DOCUMENT = "docs/how-to/natural.md"


def missing(media: Path | None, encoders: Path | None) -> list[str]:
    """Return what is not there, in a message each.

    Args:
        media: The folder of the media; None for the installed packages.
        encoders: The folder that contains those of the experiment; None for that which an earlier call linked.
    """
    problems = []
    try:
        located(media)
    except UsageError as error:
        problems += [f"MEDIA={media or ''}, or --media: {problem}" for problem in error.problems]
    place = encoders or ENCODERS
    if absent := [name for name in MODELS.values() if not (place / name / "config.json").is_file()]:
        problems.append(
            f"ENCODERS={encoders or ''}, or --encoders: {', '.join(absent)} missing in {place}: pass the folder "
            f"that has them; {DOCUMENT} describes them"
        )
    if encoders and ENCODERS.exists() and not ENCODERS.is_symlink() and encoders.resolve() != ENCODERS.resolve():
        problems.append(
            f"ENCODERS={encoders}, or --encoders: {ENCODERS} is a folder of its own: leave it out, or move that away"
        )
    return problems


def link(encoders: Path | None) -> None:
    """Let the experiment's encoders be those in a folder; None for no folder."""
    ENCODERS.unlink(missing_ok=True)
    if encoders:
        ENCODERS.symlink_to(encoders, target_is_directory=True)


def reproduce(arguments: Sequence[str]) -> int:
    """Do the searches that are not done yet, then the runs, and return the exit code.

    It is 2 if media or encoders are missing, which one message tells.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, help="folder of the media; by default the installed packages")
    parser.add_argument("--encoders", type=Path, help="folder of the encoders, which is linked from here")
    parser.add_argument("--jobs", default="1", help="runs at a time (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the runs' records (default: this one)")
    add_list(parser, "--stage", "NAME", "do only these stages of the experiment")
    args, further = parser.parse_known_args(arguments)
    problems = missing(args.media, args.encoders)
    try:
        args.stage = [stage.name for stage in read_experiment(EXPERIMENT).selected(split_list(args.stage))]
    except UsageError as error:
        problems += error.problems
    if problems:
        print("\n".join(("natural:", *problems)), file=sys.stderr)
        return 2
    if not args.encoders or args.encoders.resolve() == ENCODERS.resolve():
        return search_and_run(args, further)
    earlier = ENCODERS.readlink() if ENCODERS.is_symlink() else None
    link(args.encoders.resolve())
    if (code := search_and_run(args, further)) == 2:
        link(earlier)  # a refused command changes nothing
    return code


def search_and_run(args: argparse.Namespace, further: Sequence[str]) -> int:
    """Do the stages, each after the searches for it, and return the exit code."""
    common = ["--jobs", args.jobs, *(["--data-root", str(args.media)] if args.media else [])]
    run = ["run", str(EXPERIMENT), "--results", str(args.results), *common, *further]
    if "--dry-run" in further:
        return main([*run, "--stage", *args.stage])
    worst = 0
    for stage in args.stage:
        # Rates are searched where they are published, on one kind of machine.
        tune = ["tune", str(EXPERIMENT), "--results", str(FOLDER), *common, "--stage", stage]
        if args.results == FOLDER and (code := main(tune)):
            return code
        code = main([*run, "--stage", stage])
        if code and not has_ended(stage, args.results):
            return code
        worst = max(worst, code)  # a run that failed does not hold later stages up
    return worst


def has_ended(stage: str, results: Path) -> bool:
    """Return whether all runs of a stage have records, of runs that failed too."""
    runs = planned(EXPERIMENT)[stage].values()
    return all(store.record_of(results, spec) for by_seed in runs for spec in by_seed.values())


if __name__ == "__main__":
    sys.exit(reproduce(sys.argv[1:]))
