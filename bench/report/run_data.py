"""The samples of runs. Runs with different samples are in different tables, so that they are never compared by mistake.

Older records lack the checksums of their splits: they count as equal to records with the same fingerprint and numbers
of samples. A run that failed before its data was read is assigned the most frequent data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.config.spec import Spec
from bench.records.schema import DataInfo, Record

_HEX_DIGITS = 8  # of a checksum, in titles


@dataclass(frozen=True)
class Split:
    """The samples of one split: their number and checksum, which is empty if the record has none."""

    count: int
    checksum: str = ""

    def __str__(self) -> str:
        return f"{self.count} samples {self.checksum[:_HEX_DIGITS]}".rstrip()


@dataclass(frozen=True)
class RunData:
    """The data of a run: the checksum of all files read, and the samples by split."""

    fingerprint: str
    splits: tuple[tuple[str, Split], ...]
    skipped: int = 0

    @classmethod
    def from_run(cls, spec: Spec, data: DataInfo) -> RunData:
        """Return the data of a run, without the training split if every seed draws its own part of it."""
        checksums = data.splits or {}
        names = [name for name in data.counts if name != "train" or spec.recipe.get("train_draw") != "seed"]
        return cls(
            data.fingerprint,
            tuple((name, Split(data.counts[name], checksums.get(name, ""))) for name in names),
            data.skipped,
        )

    @property
    def source(self) -> dict[str, Any]:
        """The fingerprint, and the number of skipped samples if there are any, for a table's condition."""
        skipped = {"data.skipped": self.skipped} if self.skipped else {}
        return {"data.fingerprint": self.fingerprint[:_HEX_DIGITS], **skipped}

    @property
    def samples(self) -> dict[str, str]:
        """The splits, for a table's condition."""
        return {f"data.{name}": str(split) for name, split in self.splits}

    def without_checksums(self) -> RunData:
        """Return the same data as an older record would describe it."""
        return replace(self, splits=tuple((name, Split(split.count)) for name, split in self.splits))

    def same_test(self, data: RunData) -> bool:
        """Return whether the test splits are the same: by checksum, else by fingerprint and number of samples."""
        a, b = ({name: split for name, split in run.splits if name not in ("train", "val")} for run in (self, data))
        if all(split.checksum for split in (*a.values(), *b.values())):
            return a == b
        counts = [{name: split.count for name, split in splits.items()} for splits in (a, b)]
        return self.fingerprint == data.fingerprint and counts[0] == counts[1]


class DataOfRuns:
    """The data of several runs, inferred for records that do not describe it completely.

    Args:
        records: Records of one task.
        alike: Returns a key that is equal for runs to be compared.
    """

    def __init__(self, records: Sequence[Record], alike: Callable[[Record], Hashable]) -> None:
        self._alike = alike
        self._whole: dict[RunData, RunData] = {}  # by its form in older records: the most frequent one
        frequencies = Counter(
            RunData.from_run(record.spec, record.data) for record in records if record.data and record.data.splits
        )
        for run, _ in frequencies.most_common():
            self._whole.setdefault(run.without_checksums(), run)
        self._usual: dict[Hashable, Counter[RunData]] = {}
        if all(record.data for record in records):
            return
        for record in records:
            if run_data := self.data_of(record):
                for key in (alike(record), None):
                    self._usual.setdefault(key, Counter())[run_data] += 1

    def data_of(self, record: Record) -> RunData | None:
        """Return the data of a run; None if no record of its task describes it."""
        if record.data:
            run = RunData.from_run(record.spec, record.data)
            return run if record.data.splits else self._whole.get(run, run)
        if not self._usual:
            return None
        usual = self._usual.get(self._alike(record)) or self._usual.get(None)
        return usual.most_common(1)[0][0] if usual else None
