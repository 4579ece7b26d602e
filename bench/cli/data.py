"""`bench data describe|verify|prepare`: show where to get official releases, verify one, or prepare one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.cli.printing import print
from bench.cli.shared_arguments import check_target
from bench.config.instantiate import datasets_of
from bench.config.quantities import jobs
from bench.datasets.base import MEDIA, Dataset, describe, load_dataset
from bench.errors import UsageError, did_you_mean
from bench.system.cpus import available_cpus

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench data`."""
    parser.add_argument(
        "action",
        metavar="|".join(_ACTIONS),
        help="describe: show where to get the release, its license, layout and published counts; "
        "verify: report what is wrong with the release in a folder; "
        "prepare: extract videos, as those of AVE, then decode all samples into the cache",
    )
    parser.add_argument(
        "task", metavar="TASK", help=f"task, as for `bench run --tasks`; or {MEDIA}, for the media of that suite"
    )
    both = parser.add_argument_group("with verify and prepare")
    both.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help=f"folder of the release, which is only read ({MEDIA}: where it is installed)",
    )
    verify = parser.add_argument_group("with verify")
    verify.add_argument(
        "--quick",
        action="store_true",
        help="read only media headers, and only enough masks to see whether all are empty or full",
    )
    verify.add_argument(
        "--counts",
        choices=("published", "any"),
        default="published",
        help="the number of samples to expect; any for a part of a release (default: %(default)s)",
    )
    prepare = parser.add_argument_group("with prepare")
    prepare.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for what is extracted, such as frames and sound of AVE's videos, to be used as --data-root",
    )
    prepare.add_argument(
        "--suite", default="mini", help="suite whose streams samples are decoded for (default: %(default)s)"
    )
    prepare.add_argument(
        "--jobs",
        type=jobs,
        default=available_cpus(),
        metavar="N",
        help="number of videos to extract at a time (default: %(default)s, one per available CPU)",
    )


def main(args: argparse.Namespace) -> int:
    """Run the command; return 1 if the release has faults, else 0."""
    if args.action not in _ACTIONS:
        raise UsageError(f"bench data cannot {args.action}: {did_you_mean(args.action, _ACTIONS)}")
    return _ACTIONS[args.action](args, _datasets(args.task))


def _datasets(task: str) -> list[Dataset]:
    """Return the datasets of a task, or the media of that name, from which a suite composes its data."""
    return [load_dataset(task)] if task == MEDIA else datasets_of(task)


def _describe(args: argparse.Namespace, datasets: list[Dataset]) -> int:
    print("\n\n".join(describe(dataset) for dataset in datasets))
    return 0


def _verify(args: argparse.Namespace, datasets: list[Dataset]) -> int:
    _check_root(args)
    from bench.datasets.verify import verify

    reports = []
    for name in (dataset.name for dataset in datasets):
        progress = partial(_progress, f"verifying {name}")
        reports.append(verify(name, args.root, progress, quick=args.quick, published=args.counts == "published"))
        print(reports[-1].text(), flush=True)
    return int(any(report.faults for report in reports))


def _prepare(args: argparse.Namespace, datasets: list[Dataset]) -> int:
    if args.task == MEDIA:
        raise UsageError(
            f"there is nothing to prepare of {MEDIA}: `bench run --suite {MEDIA}` composes its data itself"
        )
    _check_root(args)
    root = args.root
    if args.out:
        check_target(args.out, "--out")
        progress = partial(_progress, "extracting")
        failures = [failure for d in datasets for failure in d.extract(root, args.out, args.jobs, progress)]
        root = args.out
        print(f"extracted data of {args.task}: --data-root {root}", flush=True)
        if failures:
            print("\n".join([f"{len(failures):,} videos could not be extracted:", *failures]), file=sys.stderr)
            return 1

    from bench.data.prepare import decode

    counts = ", ".join(f"{split} {count:,}" for split, count in decode(args.suite, args.task, root).items())
    print(f"samples of {args.task} decoded for suite {args.suite}: {counts}")
    return 0


def _check_root(args: argparse.Namespace) -> None:
    """Check the folder of the release; without one, take that of media that are installed.

    Raises:
        UsageError: It is needed, or not a folder.
    """
    if args.root is None and args.task == MEDIA:
        from bench.datasets.natural import media

        args.root = media.located(None)
    if args.root is None:
        raise UsageError(f"bench data {args.action} needs --root DIR, the folder of the release")
    if not args.root.is_dir() and not (args.root.suffix == ".csv" and args.root.is_file()):
        raise UsageError(f"--root {args.root} is not a folder")


def _progress(description: str, items: Iterable[T], total: int, unit: str) -> Iterable[T]:
    from bench.progress import bar

    return bar(items, description, total=total, unit=unit)


_ACTIONS = {"describe": _describe, "verify": _verify, "prepare": _prepare}
