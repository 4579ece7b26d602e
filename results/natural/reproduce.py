"""Do the runs of results/natural: `.venv/bin/python results/natural/reproduce.py --media DIR --encoders DIR`.

It is to be called from the checkout's root. Stage by stage, it searches the learning rates that a stage needs, where
that is not done, and then does its runs. Finished trials and runs are skipped, so the same command continues after an
interruption. Further arguments are those of `bench run`: `--stage main` does one stage, `--dry-run` shows the runs once
rates are there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cli import main
from bench.cli.shared_arguments import add_list, split_list
from bench.config.experiment import read_experiment
from bench.config.suite import load_suite, read_toml
from bench.config.tuned_settings import read_tuned
from bench.datasets.natural.media import located
from bench.errors import UsageError
from bench.records import store
from bench.report.finding.measured import planned

FOLDER = Path(os.path.relpath(Path(__file__).parent))  # relative, since records name the folders of their encoders
EXPERIMENT = FOLDER / "experiment.toml"
ENCODERS = FOLDER / "encoders"
DOCUMENT = "docs/how-to/natural.md"

TASKS = ("refcoco", "avs")
TUNING_SEED = 100  # not one of the seeds that are compared
TRIALS = 3

SEARCHES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tuned.toml": (("head", "lora", "dora", "cola"), ()),
    "tuned-cola-size.toml": (("lora", "dora"), ("--budget", "cola")),
    "tuned-more.toml": (("adalora", "cola-dora", "full", "lora-plus"), ()),
}
"""Methods and further arguments of `bench tune`, by the file that it writes."""


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
    models = [Path(values["model"]).name for values in read_toml(EXPERIMENT)["set"].values()]
    if absent := [name for name in models if not (place / name / "config.json").is_file()]:
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


def models() -> list[str]:
    """Return the arguments that name the encoders of the experiment, as its runs name them."""
    sources = {stream: Path(values["model"]).name for stream, values in read_toml(EXPERIMENT)["set"].items()}
    return ["--set", *(f"{stream}.model={ENCODERS / name}" for stream, name in sources.items())]


def is_complete(file: str) -> bool:
    """Return whether a file has the rates of all its methods on all tasks, found on the present data.

    Raises:
        UsageError: The file is wrong, or its rates were found on another version of the data.
    """
    path, (methods, _) = FOLDER / file, SEARCHES[file]
    if not path.exists():
        return False
    tuned, version = read_tuned(path), load_suite("natural").data.version
    if tuned.tuning.data_version not in (0, version):
        raise UsageError(
            f"{path} was tuned on version {tuned.tuning.data_version} of the data, which is {version} now: move it, "
            "tuning/ and records/ away"
        )
    return all((task, method) in tuned.values for task in TASKS for method in methods)


def tune(file: str, arguments: Sequence[str]) -> int:
    """Do the search whose results are in a file, and return the exit code.

    Args:
        file: Name of the file.
        arguments: Further arguments of `bench tune`.
    """
    methods, budget = SEARCHES[file]
    plan = ["--suite", "natural", "--methods", *methods, "--tasks", *TASKS, *models()]
    search = ["--seeds", str(TUNING_SEED), "--trials", str(TRIALS), *budget]
    return main(["tune", *plan, *search, "--out", str(FOLDER / file), "--results", str(FOLDER), *arguments])


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
        unsearched = [file for file in files_of(args.stage) if not is_complete(file)]
    except UsageError as error:
        problems += error.problems
    else:
        if unsearched and args.results != FOLDER:  # rates are searched where they are published, on one kind of machine
            problems += [
                f"--results {args.results}: {', '.join(unsearched)} not searched yet: run `make natural` first"
            ]
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
    """Do the stages, each after the searches for it that are not done yet, and return the exit code."""
    common = ["--jobs", args.jobs, *(["--data-root", str(args.media)] if args.media else [])]
    run = ["run", str(EXPERIMENT), "--results", str(args.results), *common, *further]
    if "--dry-run" in further:
        return main([*run, "--stage", *args.stage])
    worst = 0
    for stage, file in zip(args.stage, files_of(args.stage), strict=True):
        if not is_complete(file) and (code := tune(file, common)):
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


def files_of(stages: Sequence[str]) -> list[str]:
    """Return the file of tuned rates of each stage."""
    content = read_toml(EXPERIMENT)
    files = {stage["name"]: stage.get("settings", content["settings"]) for stage in content["stages"]}
    return [files[stage] for stage in stages]


if __name__ == "__main__":
    sys.exit(reproduce(sys.argv[1:]))
