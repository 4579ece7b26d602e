"""AVE, audio-visual event localization (Tian et al., ECCV 2018), as its official release unpacks.

AVE_Dataset/Annotations.txt and {train,val,test}Set.txt with lines `category&video id&quality&start&end`, and the frames
and sound of each video, extracted to video_frames/<video id>/*.jpg and raw_audio/<video id>.wav.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import media
from bench.datasets.layout import locate
from bench.datasets.logmel import log_mel
from bench.errors import DataError

SECONDS = 10
FOLDER = "AVE_Dataset"
_SPLITS = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}


@dataclass(frozen=True)
class Event:
    """One sample: a line of the annotation files. Two events of one video are two samples that share its files.

    The event `category` is seen and heard from second `start` up to, not including, second `end`.
    """

    video: str
    category: str
    start: int
    end: int


class Release:
    """One split of the release.

    Args:
        root: the folder that holds AVE_Dataset, or AVE_Dataset itself.
        split: "train", "val" or "test".

    Attributes:
        categories: all event categories of the release, sorted; a segment's label is its category's place among them,
            or `len(categories)` for background.
        events: the samples of the split, in the order of its file.

    Raises:
        DataError: an annotation file is missing or a line of it is not as it should be.
    """

    def __init__(self, root: Path, split: str) -> None:
        self.folder = locate(root, FOLDER, "Annotations.txt")
        everything = _read_events(self.folder / "Annotations.txt")
        self.categories = tuple(sorted({event.category for event in everything}))
        self.events = _read_events(self.folder / _SPLITS[split])
        if unknown := {event.category for event in self.events} - set(self.categories):
            raise DataError(
                f"{self.folder / _SPLITS[split]}: categories that Annotations.txt has not: {sorted(unknown)}"
            )

    def labels(self, event: Event) -> NDArray[np.int64]:
        """The label of each second: (SECONDS,)."""
        seconds = np.arange(SECONDS)
        inside = (seconds >= event.start) & (seconds < event.end)
        return np.where(inside, self.categories.index(event.category), len(self.categories))

    def frames(self, event: Event, size: int) -> NDArray[np.uint8]:
        """One frame a second, at places spread evenly over the frames that exist: (SECONDS, 3, size, size)."""
        folder = self.folder / "video_frames" / event.video
        paths = sorted(path for path in folder.glob("*.jpg"))
        if not paths:
            raise DataError(f"sample {event.video}: no frames (*.jpg) in {folder}")
        places = ((np.arange(SECONDS) + 0.5) * len(paths) / SECONDS).astype(int)
        return np.stack([media.read_image(paths[place], event.video, size) for place in places])

    def log_mels(self, event: Event, rate: int, bins: int, frames: int) -> NDArray[np.float32]:
        """The log-mel energies of each second by itself: (SECONDS, frames, bins)."""
        wave = media.read_audio(self.folder / "raw_audio" / f"{event.video}.wav", event.video, rate)
        return log_mel(media.seconds(wave, rate, SECONDS), rate, bins, frames)


def _read_events(path: Path) -> list[Event]:
    """The events of an annotation file, with or without a header line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    events = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and line.lower().startswith("category&")):
            continue
        fields = line.strip().split("&")
        try:
            category, video, _, start, end = fields
            event = Event(video, category, int(start), int(end))
        except ValueError:
            raise DataError(
                f"{path}, line {number}: expected category&video id&quality&start&end, found {line!r}"
            ) from None
        if not video or Path(video).name != video or not 0 <= event.start < event.end <= SECONDS:
            raise DataError(
                f"{path}, line {number}: a video id without slashes and 0 <= start < end <= 10, found {line!r}"
            )
        events.append(event)
    if not events:
        raise DataError(f"{path}: holds no events")
    return events
