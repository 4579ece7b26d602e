"""The samples that runs saw. Runs that saw other ones stand in other tables, so none is compared with them by mistake.

Older records do not have the checksums of their splits: they count as equal to those of the same fingerprint and as
many samples. A run that failed before its data was read counts as one of the most frequent data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.records.schema import DataInfo, Record

_HEX_DIGITS = 8  # hex digits of a checksum


@dataclass(frozen=True)
class Split:
    """The samples of one split: how many, and the checksum over them; empty where the record has none."""

    count: int
    checksum: str = ""

    def __str__(self) -> str:
        return f"{self.count} samples {self.checksum[:_HEX_DIGITS]}".rstrip()


@dataclass(frozen=True)
class RunData:
    """The data of a run: the checksum of all that was read, and the samples by split."""

    fingerprint: str
    splits: tuple[tuple[str, Split], ...]
    skipped: int = 0

    @classmethod
    def of(cls, data: DataInfo) -> RunData:
        """That of a record."""
        checksums = data.splits or {}
        return cls(
            data.fingerprint,
            tuple((name, Split(n, checksums.get(name, ""))) for name, n in data.counts.items()),
            data.skipped,
        )

    @property
    def source(self) -> dict[str, Any]:
        """The fingerprint, and how many samples could not be read, for a table's condition."""
        skipped = {"data.skipped": self.skipped} if self.skipped else {}
        return {"data.fingerprint": self.fingerprint[:_HEX_DIGITS], **skipped}

    @property
    def samples(self) -> dict[str, str]:
        """The splits, for a table's condition."""
        return {f"data.{name}": str(split) for name, split in self.splits}

    def without_checksums(self) -> RunData:
        """Return what an older record has of the same data."""
        return replace(self, splits=tuple((name, Split(split.count)) for name, split in self.splits))

    def same_test(self, data: RunData) -> bool:
        """Return whether the test splits are the same: by checksum, else by fingerprint and number of samples."""
        own_splits, splits = (
            {name: split for name, split in run.splits if name not in ("train", "val")} for run in (self, data)
        )
        if all(split.checksum for split in (*own_splits.values(), *splits.values())):
            return own_splits == splits
        counts = [{name: split.count for name, split in named.items()} for named in (own_splits, splits)]
        return self.fingerprint == data.fingerprint and counts[0] == counts[1]


class DataOfRuns:
    """What each of several runs saw, where some records do not tell it.

    Args:
        records: of one task.
        alike: equal for runs that are to be compared.
    """

    def __init__(self, records: Sequence[Record], alike: Callable[[Record], Hashable]) -> None:
        self._alike = alike
        self._whole: dict[RunData, RunData] = {}  # by what older records have of it, the most frequent
        frequencies = Counter(RunData.of(record.data) for record in records if record.data and record.data.splits)
        for run, _ in frequencies.most_common():
            self._whole.setdefault(run.without_checksums(), run)
        self._usual: dict[Hashable, Counter[RunData]] = {}
        if all(record.data for record in records):
            return
        for record in records:
            if run_data := self.of(record):
                for key in (alike(record), None):
                    self._usual.setdefault(key, Counter())[run_data] += 1

    def of(self, record: Record) -> RunData | None:
        """Return what a run saw; None where no run of its task tells it."""
        if record.data:
            run = RunData.of(record.data)
            return run if record.data.splits else self._whole.get(run, run)
        usual = self._usual.get(self._alike(record)) or self._usual.get(None)
        return usual.most_common(1)[0][0] if usual else None
