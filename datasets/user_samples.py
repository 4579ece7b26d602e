"""The samples of a user's own data, and their splits.

Without splits, each group is drawn by a hash of its name: 70% of the groups for train, 15% for val and 15% for test. If
only val is missing, 15% of the groups of train become val. A class without a training sample gets one of its groups
moved to train. A sample without a group has the first of its image, audio and text as its group, so that samples which
share an image stay together, and adding samples changes the split of no other group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from bench.errors import DataError, Mistakes, shortened

MEDIA = ("image", "audio")
SPLITS = ("train", "val", "test")
MAX_CLASSES = 10_000  # a column with more labels is one of texts or numbers
_TRAIN, _TRAIN_AND_VAL = 0.7, 0.85  # shares of the groups


@dataclass(frozen=True)
class Sample:
    """One sample; "" stands for what it does not have.

    Attributes:
        name: Its line in the CSV ("line 12"), or its path in an image folder.
        split: "train", "val" or "test"; "" until it is drawn.
        group: Name of the group that stays in one split.
        image: Path of its image, relative to the data's folder, with slashes.
        audio: Path of its recording.
        text: Its text.
        label: Its class.
    """

    name: str
    split: str
    group: str
    image: str = ""
    audio: str = ""
    text: str = ""
    label: str = ""

    @property
    def inputs(self) -> tuple[str, str, str]:
        """Its image, audio and text."""
        return self.image, self.audio, self.text


@dataclass(frozen=True)
class UserData:
    """All samples of a CSV or an image folder.

    Attributes:
        path: The CSV, or the folder.
        columns: The columns that it has.
        samples: The valid samples, each with its split.
        problems: Errors of invalid rows, which are no samples.
        ignored: Names of columns that are not read.
        faults: Errors of the data as a whole: empty or overlapping splits, and labels that cannot be learned.
    """

    path: Path
    columns: tuple[str, ...]
    samples: tuple[Sample, ...]
    problems: tuple[DataError, ...] = ()
    ignored: tuple[str, ...] = ()
    faults: tuple[DataError, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder that paths of media are relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of the training split, sorted."""
        return tuple(sorted({sample.label for sample in self.samples if sample.split == "train" and sample.label}))

    def samples_of(self, split: str) -> list[Sample]:
        """Return the samples of a split, in their order."""
        return [sample for sample in self.samples if sample.split == split]

    def media(self, samples: Iterable[Sample], columns: Sequence[str] = MEDIA) -> Iterator[Path]:
        """Yield the files of the images and recordings of samples."""
        for sample in samples:
            yield from (self.folder / path for column in columns if (path := getattr(sample, column, "")))

    def files(self, split: str) -> Iterator[Path]:
        """Yield the files that a split is read from: the CSV, and its images and recordings."""
        if self.path.is_file():
            yield self.path
        yield from self.media(self.samples_of(split))

    def shared_media(self) -> dict[str, tuple[str, ...]]:
        """Return the splits of each image or recording that several splits share, by its path."""
        splits: dict[str, set[str]] = defaultdict(set)
        for sample in self.samples:
            for path in filter(None, (sample.image, sample.audio)):
                splits[path].add(sample.split)
        return {path: tuple(s for s in SPLITS if s in names) for path, names in splits.items() if len(names) > 1}


def with_splits(data: UserData, labelled: bool) -> UserData:
    """Return the data with the split of every sample, and the faults of splits and labels.

    Args:
        data: The data, whose samples have splits or none.
        labelled: Whether labels are predicted, which training samples must then cover.
    """
    present = {sample.split for sample in data.samples}
    if "" in present:
        data = replace(data, samples=_drawn(data.samples, ("train", "val", "test")))
    elif "val" not in present:
        data = replace(data, samples=_drawn(data.samples, ("train", "train", "val")))
    mistakes = Mistakes()
    for problem in (*_empty(data, drawn="" in present), *_overlaps(data), *(_unlearnable(data) if labelled else ())):
        mistakes.add(f"{data.path}: {problem}")
    return replace(data, faults=tuple(map(DataError, mistakes.problems)))


def _empty(data: UserData, drawn: bool) -> Iterator[str]:
    """Yield what is wrong with splits that have no samples."""
    empty = [split for split in SPLITS if not data.samples_of(split)]
    is_folder, valid = data.path.is_dir(), "valid " * bool(data.problems)
    if drawn and empty:
        place = "folders train, val and test" if is_folder else "a column split of train, val and test"
        yield (
            f"splits cannot be drawn from {len(data.samples)} {valid}{'image' if is_folder else 'row'}"
            f"{'s' * (len(data.samples) != 1)}: {' and '.join(empty)} would be empty; add more, or give the splits by "
            f"{place}"
        )
        return
    for split in empty:
        advice = f"add images in {data.path / split}/CLASS" if is_folder else f"name the split of some rows {split}"
        yield f"the {split} split has no {valid}samples: {advice}"


def _drawn(samples: Sequence[Sample], splits: tuple[str, str, str]) -> tuple[Sample, ...]:
    """Return samples of the split "" or "train" with splits drawn by their groups; those of "test" are unchanged.

    Args:
        samples: The samples.
        splits: The splits of the first 70% of the hash's range, of the next 15% and of the last 15%.
    """
    fractions = {sample.group: _fraction(sample.group) for sample in samples if sample.split != "test"}
    first, second, third = splits
    by_group = {
        group: first if fraction < _TRAIN else second if fraction < _TRAIN_AND_VAL else third
        for group, fraction in fractions.items()
    }
    groups_of_class: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.label and sample.split != "test":
            groups_of_class[sample.label].add(sample.group)
    for _, groups in sorted(groups_of_class.items()):
        if all(by_group[group] != "train" for group in groups):
            by_group[min(groups, key=lambda group: (fractions[group], group))] = "train"
    return tuple(s if s.split == "test" else replace(s, split=by_group[s.group]) for s in samples)


def _fraction(name: str) -> float:
    """Return a hash of a name, from 0 to 1."""
    return int.from_bytes(sha256(name.encode(errors="surrogateescape")).digest()[:8], "big") / 2**64


def _overlaps(data: UserData) -> Iterator[str]:
    """Yield each group, and each whole sample, that is in several splits."""
    has_groups = "group" in data.columns
    first: dict[object, Sample] = {}
    reported: set[object] = set()
    for sample in data.samples:
        for key in filter(any, [sample.inputs, sample.group] if has_groups else [sample.inputs]):
            previous = first.setdefault(key, sample)
            if previous.split != sample.split and key not in reported:
                reported.add(key)
                subject = f"group {sample.group!r}" if key == sample.group else "the same sample"
                yield (
                    f"{subject} is in {previous.split} ({previous.name}) and in {sample.split} ({sample.name}): scores "
                    "would be too high; remove one, or name a group for both"
                )


def _unlearnable(data: UserData) -> Iterator[str]:
    """Yield why there is nothing to classify, or each class that has no training samples."""
    classes = set(data.classes)
    if len(classes) < 2:
        yield f"expected samples of two or more labels in train, found {', '.join(classes)!r}"
    if len(classes) > MAX_CLASSES:
        yield f"has {len(classes):,} labels, more than {MAX_CLASSES:,}: is `label` a class?"
    for sample in data.samples:
        if sample.label not in classes:
            classes.add(sample.label)  # each is reported once
            yield (
                f"label {sample.label!r} of {sample.split} ({sample.name}) does not occur in train: nothing can learn "
                f"it; known: {shortened(', '.join(data.classes))}"
            )
