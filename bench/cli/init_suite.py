"""`bench init-suite`: write a suite for a user's own data."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.cli.printing import print
from bench.cli.shared_arguments import check_target
from bench.errors import DataError, Mistakes, UsageError

if TYPE_CHECKING:
    from bench.datasets.user_samples import UserData

_TASKS = ("classification", "retrieval")
_MAX_WINDOWS = 4
_RECORDINGS = 50  # whose length is looked up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench init-suite`."""
    parser.add_argument("path", type=Path, metavar="SUITE", help="the .toml file to write")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="data: a CSV with columns among image, audio, text, label, split, group",
    )
    data.add_argument(
        "--images", type=Path, metavar="DIR", help="data: a folder with CLASS/*.jpg, or train, val and test with these"
    )
    parser.add_argument(
        "--task", choices=_TASKS, help="task (default: classification if the data has labels, else retrieval)"
    )
    for stream, modality in (("vision", "images"), ("audio", "recordings"), ("text", "texts")):
        parser.add_argument(
            f"--{stream}", metavar="MODEL", help=f"encoder of {modality}: a folder or a hub id (default: embedded)"
        )


def main(args: argparse.Namespace) -> int:
    """Write the suite and print a command that runs it.

    Raises:
        UsageError: Every mistake in the arguments and the data.
    """
    try:
        return _write(args)
    except DataError as error:  # here the data is an argument, and no run has failed
        raise UsageError(error.problems) from error


def _write(args: argparse.Namespace) -> int:
    from bench.config.plan import RunRequest
    from bench.config.suite_template import EMBEDDED, SuiteTemplate, suite_name
    from bench.datasets.user_data import examine_user_data
    from bench.execution.planning import plan_runs
    from bench.files import create_text
    from bench.tasks.own_data import COLUMNS

    path, source = args.path, args.csv or args.images
    _check_arguments(args)
    data = examine_user_data(source, ())
    mistakes = Mistakes()
    with mistakes.gathered():
        task, streams = _task(data, args.task)
        if unused := [name for name in EMBEDDED if getattr(args, name) and name not in streams]:
            raise UsageError(f"--{unused[0]}: {task} of {source} has only the streams {', '.join(streams)}")
    if mistakes.problems:  # nothing can be planned
        raise UsageError([*mistakes.problems, *map(str, data.problems), *map(str, data.faults)])
    encoders = {stream: getattr(args, stream) or EMBEDDED[stream] for stream in streams}
    windows = 1
    with mistakes.gathered():
        windows = _windows(data) if "audio" in streams else 1
    template = SuiteTemplate(suite_name(source.stem), f"own-{task}", encoders, windows)
    with tempfile.TemporaryDirectory() as folder:  # a suite that does not run is not written
        trial = Path(folder, path.name)
        trial.write_text(template.text(str(source.absolute())), encoding="utf-8")
        with mistakes.gathered():  # messages name the data as the user does
            plan_runs(RunRequest(str(trial), template.methods, [template.task]), source)
    mistakes.raise_if_any()
    try:
        create_text(path, template.text(_relative(source, path.parent)))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error
    print(f"{path}: {template.task} with {' and '.join(streams)}; {_counts(data, task)}")
    if unread := [column for stream, column in COLUMNS.items() if column in data.columns and stream not in streams]:
        print(f"not read: {', '.join(unread)}; retrieval pairs two inputs: for others, change the suite's streams")
    methods = ",".join(template.methods)
    print(f"next: bench run --suite {shlex.quote(str(path))} --methods {methods} --tasks {template.task}")
    return 0


def _check_arguments(args: argparse.Namespace) -> None:
    """Check the names of the suite's file and of the data.

    Raises:
        UsageError: Every mistake in them.
    """
    mistakes = Mistakes()
    if args.path.suffix != ".toml":
        mistakes.add(f"{args.path}: the name of a suite's file ends in .toml")
    elif args.path.exists():
        mistakes.add(f"{args.path} exists: choose another name, or remove it first")
    with mistakes.gathered():
        check_target(args.path, "SUITE")
    option, source = ("--csv", args.csv) if args.csv else ("--images", args.images)
    if not source.exists():
        mistakes.add(f"{option} {source} does not exist")
    elif source.is_dir() != (option == "--images"):
        mistakes.add(f"{option} {source}: --csv takes a file and --images a folder")
    elif option == "--csv" and source.suffix.lower() != ".csv":
        mistakes.add(f"{option} {source}: expected a CSV file, whose name ends in .csv")
    mistakes.raise_if_any()


def _task(data: UserData, requested: str | None) -> tuple[str, list[str]]:
    """Return the task, and the streams that it has.

    Raises:
        UsageError: The data does not suit the requested task, or any.
    """
    from bench.tasks.own_data import COLUMNS

    streams = [stream for stream, column in COLUMNS.items() if column in data.columns]
    task = requested or ("classification" if "label" in data.columns else "retrieval")
    if not streams:
        raise UsageError(f"{data.path} has no column with inputs: expected image, audio or text")
    if task == "classification" and "label" not in data.columns:
        raise UsageError(f"classification needs a column label, which {data.path} lacks; or use --task retrieval")
    if task == "retrieval" and len(streams) < 2:
        raise UsageError(
            f"retrieval needs two columns among image, audio and text; {data.path} has {COLUMNS[streams[0]]}"
        )
    if task == "retrieval" and len(streams) == 3:
        streams = ["vision", "text"]
    return task, streams


def _windows(data: UserData) -> int:
    """Return a number of windows of a second that covers most of a recording of median length.

    Raises:
        DataError: A recording cannot be read. Missing ones are left to `Task.check_data`.
    """
    from bench.datasets import media

    with_audio = [sample for sample in data.samples if sample.audio and (data.folder / sample.audio).is_file()]
    step = max(1, len(with_audio) // _RECORDINGS)
    seconds = [media.audio_seconds(data.folder / sample.audio, sample.name) for sample in with_audio[::step]]
    return min(_MAX_WINDOWS, max(1, round(median(seconds)))) if seconds else 1


def _relative(source: Path, folder: Path) -> str:
    """Return the path of the data for a suite in a folder: relative if it is below that folder, else absolute."""
    source = source.absolute()
    folder = folder.absolute()
    return source.relative_to(folder).as_posix() if source.is_relative_to(folder) else str(source)


def _counts(data: UserData, task: str) -> str:
    """Return the number of samples of each split and, for classification, of classes."""
    from bench.datasets.user_samples import SPLITS

    counts = Counter(sample.split for sample in data.samples)
    classes = f"; {len(data.classes)} classes" if task == "classification" else ""
    return ", ".join(f"{split} {counts[split]:,}" for split in SPLITS) + classes
