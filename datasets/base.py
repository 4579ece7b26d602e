"""What a layout of data brings besides the samples that a task reads: a card, checks, floors and generated data.

Nothing heavy is imported, so that a command can report what is missing before heavy imports.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench import registry
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.datasets.generator import Generator
    from bench.datasets.verify.report import Report

Counts = Mapping[str, Mapping[str, int]]
"""Numbers of videos, events, expressions and the like, by split; "all" stands for all splits together."""

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Wraps an iterable for a progress bar, given the number of items and the name of one."""


MEDIA = "natural"
"""The name of the media that the suite of that name composes its data from."""


@dataclass(frozen=True)
class Card:
    """Facts about an official release.

    Attributes:
        title: The benchmark's name.
        paper: Its publication.
        pages: The authors' pages with instructions to get it.
        license: Its license, as far as known.
        layout: The files within the folder that is passed as --data-root, as a tree.
        counts: The published counts.
        required: The paths below --data-root that are needed to read it: any one of each tuple.
        categories: The names of all categories, if they are part of the annotations.
        mirrors: Copies hosted by others.
    """

    title: str
    paper: str
    pages: tuple[str, ...]
    license: str
    layout: str
    counts: Counts
    required: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()

    def missing(self, root: Path) -> list[str]:
        """Return the required paths that are missing below `root`; of several alternatives, the first."""
        return [paths[0] for paths in self.required if not any((root / path).exists() for path in paths)]


class Dataset:
    """A layout of data. An entry point of the group `bench.datasets` registers the class under the layout's name.

    Every member is optional: a layout without an official release has no card, for example.

    Args:
        name: The layout's name, which tasks have as their `layout`.
    """

    card: ClassVar[Card | None] = None
    """What `bench data describe` shows of the official release."""
    benchmarks: ClassVar[tuple[str, ...]] = ()
    """The benchmarks whose scores the floors are; empty for those of all tasks with this layout."""
    metric: ClassVar[str | None] = None
    """The primary metric whose scores the floors are; None for any."""

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
        """Check a release for `bench data verify`: add its counts and faults to a report.

        Args:
            root: The folder that would be passed as --data-root.
            report: Receives counts, faults and remarks.
            progress: Wraps the samples, for a progress bar; see `bench.datasets.verify.media.check_all`.
            quick: Whether reading only a part of each file is enough.

        Returns:
            The file that the counts come from; None if nothing was counted.

        Raises:
            DataError: A file is missing without which nothing can be checked.
            UsageError: No checks are defined.
        """
        raise UsageError(f"no checks of {self.name} are defined: define `check` of {type(self).__qualname__}")

    def floors(self, root: Path) -> Mapping[str, float]:
        """Return test scores, in percent, that are possible without combining the streams, by the baseline's name.

        These are the floors of official releases, such as that of the most frequent answer; generated data also has
        those of its generator. None by default.

        Args:
            root: Folder of the data.

        Raises:
            DataError: An annotation file is missing or broken.
        """
        return {}

    def generator(self) -> Generator | None:
        """Return the generator of data in this layout; None if there is none."""
        return None

    def composer(self, media: Path | None, sounds: str = "calls") -> Generator | None:
        """Return the generator of data in this layout that is composed from the user's media; None if there is none.

        The media are not looked at before the generator is used.

        Args:
            media: The folder of the media (--data-root); None for where they are installed.
            sounds: What is heard of a thing, `data.sounds`: its "calls" or its "names".
        """
        return None

    def extract(self, root: Path, out: Path, jobs: int, progress: Progress) -> list[str]:
        """Extract the media of a release into another folder, for `bench data prepare --out`.

        Args:
            root: Folder of the release.
            out: Output folder, to be used as --data-root.
            jobs: Number of processes.
            progress: Wraps the samples, for a progress bar.

        Returns:
            Messages about samples that could not be extracted.

        Raises:
            UsageError: The release is read as it was released.
        """
        raise UsageError(f"--out: {self.name} is read as it was released, and nothing of it is extracted")

    def advice(self, root: Path) -> str:
        """Return how to get the parts of the release that are missing below `root`, for a message."""
        return f"`bench data describe {self.name}` shows where to get it; name its folder with --data-root DIR"

    def has_floors_of(self, benchmark: str, metric: str) -> bool:
        """Return whether the floors are scores of a benchmark, or of several: "RefCOCO and RefCOCOg"."""
        known = {*self.benchmarks} or {benchmark}
        return self.metric in (None, metric) and (benchmark in known or {*re.split(", | and ", benchmark)} <= known)


def load_dataset(layout: str) -> Dataset:
    """Return the dataset of a layout; one without any members if none is registered.

    Raises:
        BenchError: Its class cannot be imported.
    """
    cls = registry.load("datasets", layout) if layout in registry.names("datasets") else Dataset
    return cls(layout)


def describe(dataset: Dataset) -> str:
    """Return a description of a dataset's release for the terminal.

    Raises:
        UsageError: No official release is known.
    """
    from tabulate import tabulate  # imported late, since most users of this module do not need it

    if (card := dataset.card) is None:
        raise UsageError(f"no official release of {dataset.name} is known")
    kinds = list(dict.fromkeys(kind for counts in card.counts.values() for kind in counts))
    rows = [[split, *(counts.get(kind) for kind in kinds)] for split, counts in card.counts.items()]
    table = tabulate(rows, ["split", *kinds], tablefmt="simple", intfmt=",")
    return "\n".join(
        [
            f"{dataset.name}: {card.title}",
            f"  paper:    {card.paper}",
            *(f"  {'get it:' if not index else '':<10}{page}" for index, page in enumerate(card.pages)),
            *(f"  {'mirrors:' if not index else '':<10}{mirror}" for index, mirror in enumerate(card.mirrors)),
            f"  license:  {card.license}",
            "",
            "  below --data-root:",
            *(f"    {line}" for line in card.layout.splitlines()),
            "",
            "  published:",
            *(f"    {line}" for line in table.splitlines()),
        ]
    )
