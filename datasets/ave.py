"""AVE, audio-visual event localization (Tian et al., ECCV 2018), as its official release unpacks.

AVE_Dataset/Annotations.txt and {train,val,test}Set.txt with lines `category&video id&quality&start&end`, and the frames
and sound of each video, extracted to video_frames/<video id>/<number>.jpg (.jpeg, .png) and raw_audio/<video id>.wav.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import media, pictures
from bench.datasets.layout import MAX_TABLE_BYTES, is_plain, locate, note
from bench.datasets.logmel import log_mel
from bench.errors import DataError
from bench.files import read_text

SECONDS = 10
FOLDER = "AVE_Dataset"
ANNOTATIONS = "Annotations.txt"
FRAMES, SOUNDS, VIDEOS = "video_frames", "raw_audio", "AVE"
TIMINGS = "extracted"  # where `bench data prepare` notes what each video has of each second
SPLITS = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}


@dataclass(frozen=True)
class Event:
    """One sample: a line of the annotation files. Two events of one video are two samples that share its files.

    The event `category` is seen and heard from second `start` up to, not including, second `end`. Where these are the
    same it is nowhere: the release has one such line.
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
        problems: gets what is wrong with lines, which are then left out; None to raise the first.

    Attributes:
        categories: all event categories of the release, sorted; a segment's label is its category's place among them,
            or `len(categories)` for background.
        events: the samples of the split, in the order of its file.
        annotations: the files that these are read from.
        left_out: what is wrong with lines of the split, if `problems` is given.

    Raises:
        DataError: an annotation file is missing or a line of it is not as it should be.
    """

    def __init__(self, root: Path, split: str, problems: list[DataError] | None = None) -> None:
        self.folder = locate(root, FOLDER, ANNOTATIONS)
        everything = read_events(self.folder / ANNOTATIONS, problems)
        self.categories = tuple(sorted({event.category for event in everything}))
        path = self.folder / SPLITS[split]
        self.annotations = (self.folder / ANNOTATIONS, path)
        self.events = []
        self.left_out: list[DataError] = []
        gathered = None if problems is None else self.left_out
        self._numbers = {category: number for number, category in enumerate(self.categories)}
        for event in read_events(path, gathered):
            if event.category in self._numbers:
                self.events.append(event)
            else:
                unknown = f"category {event.category!r}, which {ANNOTATIONS} has not"
                note(DataError(f"{path}: video {event.video}: {unknown}"), gathered)
        if problems is not None:
            problems += self.left_out

    def labels(self, event: Event) -> NDArray[np.int64]:
        """Return the label of each second: (SECONDS,)."""
        seconds = np.arange(SECONDS)
        inside = (seconds >= event.start) & (seconds < event.end)
        return np.where(inside, self._numbers[event.category], len(self.categories))

    def frames(self, event: Event, size: int) -> NDArray[np.uint8]:
        """Return one frame a second, at places spread evenly over the frames that exist: (SECONDS, 3, size, size)."""
        return np.stack([media.read_image(path, event.video, size) for path in self.frame_paths(event)])

    def log_mels(
        self, event: Event, rate: int, bins: int, frames: int, *, window_s: float | None = None, filler: float = 0.0
    ) -> NDArray[np.float32]:
        """Return the log-mel energies of each second by itself: (SECONDS, frames, bins).

        Args:
            event: whose sound.
            rate: samples a second.
            bins: of the filter bank.
            frames: length.
            window_s: seconds of each of the windows (`media.windows`) that stand for the seconds; None for these.
            filler: what shorter spectrograms are filled up with.
        """
        wave = media.read_audio(self.sound_path(event), event.video, rate)
        return log_mel(media.pieces(wave, rate, SECONDS, window_s), rate, bins, frames, filler)

    def files(self) -> Iterator[Path]:
        """Yield the files that the split is read from, annotations and media; a folder where it holds no frames."""
        yield from self.annotations
        for event in self.events:
            yield from self._frames(event) or [self.folder / FRAMES / event.video]
            yield self.sound_path(event)

    def frame_paths(self, event: Event) -> list[Path]:
        """Return the files of `frames`: one for each second, the same one again where there are fewer.

        Raises:
            DataError: there are none.
        """
        if not (paths := self._frames(event)):
            endings = ", ".join(pictures.ENDINGS)
            raise DataError(f"sample {event.video}: no frames ({endings}) in {self.folder / FRAMES / event.video}")
        return paths

    def _frames(self, event: Event) -> list[Path]:
        paths = pictures.numbered(self.folder / FRAMES / event.video)
        return [paths[place] for place in spread(len(paths))] if paths else []

    def sound_path(self, event: Event) -> Path:
        """Return the file of `log_mels`."""
        return self.folder / SOUNDS / f"{event.video}.wav"

    def timing_path(self, event: Event) -> Path:
        """Return the file that says what the video has of each second, where `bench data prepare` took it apart."""
        return self.folder / TIMINGS / f"{event.video}.json"


def spread(count: int) -> list[int]:
    """Return which of `count` frames stand for the seconds: SECONDS places, spread evenly."""
    return ((np.arange(SECONDS) + 0.5) * count / SECONDS).astype(int).tolist()


def read_events(path: Path, problems: list[DataError] | None = None) -> list[Event]:
    """Return the events of an annotation file, with or without a header line.

    An event may end where it starts, as one of the release does: then all of its video's seconds are background.

    Args:
        path: the file.
        problems: gets what is wrong with lines, which are then left out; None to raise the first.

    Raises:
        DataError: the file cannot be read, or holds no events.
    """
    try:
        lines = read_text(path, MAX_TABLE_BYTES).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as text in UTF-8: {error}") from error
    events = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and line.lower().startswith("category&")):
            continue
        try:
            events.append(_event(line, f"{path}, line {number}"))
        except DataError as error:
            note(error, problems)
    if not events:
        raise DataError(f"{path}: holds no events")
    return events


def _event(line: str, where: str) -> Event:
    try:
        # Copies have spaces before or behind a field: `Bark ` would be a category of its own.
        category, video, _, start, end = (" ".join(field.split()) for field in line.split("&"))
        event = Event(video, category, int(start), int(end))
    except ValueError:
        raise DataError(f"{where}: expected category&video id&quality&start&end, found {line[:200]!r}") from None
    # The category is no part of a path, but goes to the terminal.
    if not is_plain(video) or not category or not category.isprintable():
        raise DataError(f"{where}: expected a category, and a video id without slashes, found {line[:200]!r}")
    if not 0 <= event.start <= event.end <= SECONDS:
        raise DataError(f"{where}: expected 0 <= start <= end <= {SECONDS}, found {line[:200]!r}")
    return event
