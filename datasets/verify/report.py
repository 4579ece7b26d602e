"""What a release is found to hold: counts, faults and remarks, and how they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from bench.datasets.releases import Card
from bench.errors import DataError

SHOWN = 20  # faults of a kind; the rest are counted

COUNT = "counts that are not the published ones"
MALFORMED = "entries that are not as they should be"
MISSING = "missing files"
UNREADABLE = "unreadable files"
TWICE = "samples that are there twice"
SIZE = "pictures and masks of the wrong size"
EMPTY = "empty masks"
ALIKE = "masks that are all empty or all full"
LENGTH = "recordings of the wrong length"
TIMING = "seconds without a frame or sound of their own"
CATEGORY = "wrong categories"
BOX = "boxes beside their masks"
WORDLESS = "sentences without a word"

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        kind: what it is counted with.
        text: the file, the entry, what was found there and what was expected, in a line.
    """

    kind: str
    text: str


@dataclass
class Faults:
    """Gathers faults: of one sample, or of a whole release."""

    found: list[Fault] = field(default_factory=list)

    def add(self, kind: str, file: Path, entry: str, wrong: str) -> None:
        """Note one."""
        self.found.append(Fault(kind, f"{file}: {entry}: {wrong}"))

    def attempt(self, read: Callable[[], T], kind: str = UNREADABLE) -> T | None:
        """Return what `read` returns; where it raises a DataError, which names file and entry, None."""
        try:
            return read()
        except DataError as error:
            self.found.append(Fault(kind, str(error)))
            return None

    def is_there(self, path: Path, entry: str) -> bool:
        """Return whether a file exists; where not, that is a fault."""
        if not path.is_file():
            self.add(MISSING, path, entry, "is missing")
        return path.is_file()


@dataclass(kw_only=True)
class Report(Faults):
    """What was found in a release.

    Attributes:
        name: of the release, a key of `RELEASES`.
        root: the folder that was looked into.
        counts: what it holds.
        categories: the names of those it has, if the published names are known.
        remarks: what is worth knowing and no fault.
        checked: how many files were looked at.
    """

    name: str
    root: Path
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    categories: frozenset[str] = frozenset()
    remarks: list[str] = field(default_factory=list)
    checked: int = 0

    def take(self, problems: Iterable[DataError]) -> None:
        """Note what a reader left out; the same only once, since the readers of several splits share files."""
        self.found += [Fault(MALFORMED, text) for text in dict.fromkeys(map(str, problems))]

    def compare(self, card: Card, file: Path) -> None:
        """Compare counts and categories with the published ones; `file` is what they were found in."""
        for split, its in card.counts.items():
            for kind, count in its.items():
                found = self.counts.get(split, {}).get(kind, 0)
                if found != count:
                    self.add(COUNT, file, f"split {split}", f"{found:,} {kind}, published are {count:,}")
        for name in sorted(self.categories.difference(card.categories)):
            close = "".join(f"; is it {known!r}?" for known in get_close_matches(name, card.categories, 1))
            self.add(CATEGORY, file, f"category {name!r}", f"none of the {len(card.categories)} published ones{close}")

    def text(self) -> str:
        """Return all of it for a terminal; of each kind of fault the first, and how many there are."""
        counted = "; ".join(
            f"{split} " + ", ".join(f"{count:,} {kind}" for kind, count in its.items())
            for split, its in self.counts.items()
        )
        lines = [f"{self.name} in {self.root}: {counted or 'nothing could be counted'}; {self.checked:,} files checked"]
        lines += [f"note: {remark}" for remark in self.remarks]
        for kind in dict.fromkeys(fault.kind for fault in self.found):
            its = [fault.text for fault in self.found if fault.kind == kind]
            lines += ["", f"{kind}: {len(its):,}", *(f"  {text}" for text in its[:SHOWN])]
            if len(its) > SHOWN:
                lines.append(f"  and {len(its) - SHOWN:,} more")
        total = len(self.found)
        return "\n".join([*lines, "", "no faults" if not total else f"{total:,} fault{'s' * (total > 1)}"])
