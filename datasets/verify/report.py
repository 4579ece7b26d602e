"""The result of checking a release: counts, faults and remarks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from bench.datasets.base import Card
from bench.errors import DataError

MAX_SHOWN = 20  # faults of a kind; the others are only counted

COUNT = "counts that differ from the published ones"
MALFORMED = "invalid entries"
MISSING = "missing files"
UNUSABLE = "files that cannot be used"
UNREADABLE = "unreadable files"
TWICE = "duplicate samples"
SIZE = "pictures and masks of the wrong size"
EMPTY = "empty masks"
ABSENT = "masks of objects that are not there"
ALIKE = "masks that are all empty or all full"
SAME = "splits in which everything has the same answer"
LENGTH = "recordings of the wrong length"
TIMING = "seconds without their own frame or sound"
CATEGORY = "wrong categories"
BOX = "boxes that do not match their masks"
WORDLESS = "sentences without a word"

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """One fault of a release.

    Attributes:
        kind: The kind of fault, one of the constants above.
        text: The file, the entry, what was found and what was expected, in one line.
    """

    kind: str
    text: str


@dataclass
class Faults:
    """A collection of faults, of one sample or of a whole release."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, kind: str, file: Path, entry: str, message: str) -> None:
        """Add a fault."""
        self.faults.append(Fault(kind, f"{file}: {entry}: {message}"))

    def attempt(self, read: Callable[[], T], kind: str = UNREADABLE) -> T | None:
        """Return the result of `read`; if it raises a DataError, add that as a fault and return None."""
        try:
            return read()
        except DataError as error:
            self.faults.append(Fault(kind, str(error)))
            return None

    def check_exists(self, path: Path, entry: str) -> bool:
        """Return whether a file exists; add a fault if it does not."""
        if not path.is_file():
            self.add(MISSING, path, entry, "the file is missing")
        return path.is_file()


@dataclass(kw_only=True)
class Report(Faults):
    """The result of checking a release.

    Attributes:
        name: The name of the release's layout.
        root: The folder that was checked.
        counts: Its counts, as in `Card.counts`.
        files: The file of each split's counts, if splits have files of their own.
        categories: The names of its categories, if the published names are known.
        remarks: Notes that are not faults.
        checked: Number of files that were checked.
    """

    name: str
    root: Path
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    categories: frozenset[str] = frozenset()
    remarks: list[str] = field(default_factory=list)
    checked: int = 0

    def take(self, problems: Iterable[DataError]) -> None:
        """Add the errors of entries that readers skipped, each once, since several splits share files."""
        self.faults += [Fault(MALFORMED, text) for text in dict.fromkeys(map(str, problems))]

    def compare(self, card: Card, file: Path) -> None:
        """Compare counts and categories with the published ones; `file` is that of splits without one in `files`."""
        for split, published in card.counts.items():
            for kind, count in published.items():
                actual = self.counts.get(split, {}).get(kind, 0)
                if actual != count:
                    source = self.files.get(split, file)
                    self.add(COUNT, source, f"split {split}", f"{actual:,} {kind}, expected {count:,} as published")
        for name in sorted(self.categories.difference(card.categories)):
            hint = "".join(f"; did you mean {match!r}?" for match in get_close_matches(name, card.categories, 1))
            message = f"is not one of the {len(card.categories)} published ones{hint}"
            self.add(CATEGORY, file, f"category {name!r}", message)

    def text(self) -> str:
        """Return the report for the terminal: counts, remarks, the number of faults of each kind and the first ones."""
        counts = "; ".join(
            f"{split} " + ", ".join(f"{count:,} {kind}" for kind, count in split_counts.items())
            for split, split_counts in self.counts.items()
        )
        lines = [f"{self.name} in {self.root}: {counts or 'nothing could be counted'}; {self.checked:,} files checked"]
        lines += [f"note: {remark}" for remark in self.remarks]
        for kind in dict.fromkeys(fault.kind for fault in self.faults):
            texts = [fault.text for fault in self.faults if fault.kind == kind]
            lines += ["", f"{kind}: {len(texts):,}", *(f"  {text}" for text in texts[:MAX_SHOWN])]
            if len(texts) > MAX_SHOWN:
                lines.append(f"  and {len(texts) - MAX_SHOWN:,} more")
        total = len(self.faults)
        return "\n".join([*lines, "", "no faults" if not total else f"{total:,} fault{'s' * (total > 1)}"])
