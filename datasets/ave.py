"""AVE, audio-visual event localization (Tian et al., ECCV 2018), in the layout of its official release.

AVE_Dataset contains Annotations.txt and {train,val,test}Set.txt, with lines `category&video id&quality&start&end`, and
each video's frames and sound, as video_frames/<video id>/<number>.jpg (or .jpeg, .png) and raw_audio/<video id>.wav.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import media, pictures
from bench.datasets.layout import MAX_TABLE_BYTES, is_plain, locate, none_usable, note, unreadable
from bench.errors import DataError
from bench.files import read_text

SECONDS = 10
FOLDER = "AVE_Dataset"
ANNOTATIONS = "Annotations.txt"
FRAMES, SOUNDS, VIDEOS = "video_frames", "raw_audio", "AVE"
TIMINGS = "extracted"  # the folder in which `bench data prepare` records each video's timing
SPLITS = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}


@dataclass(frozen=True)
class Event:
    """One sample: a line of the annotation files. Two events of one video are two samples that share its files.

    Attributes:
        video: The video's id.
        category: The event's category, which is visible and audible during the event.
        start: The first second of the event.
        end: The second after the event. It equals `start` in one line of the release, whose event is empty.
    """

    video: str
    category: str
    start: int
    end: int


class Release:
    """One split of the release.

    Args:
        root: The folder that contains AVE_Dataset, or AVE_Dataset itself.
        split: "train", "val" or "test".
        problems: A list that collects the errors of invalid lines, which are then skipped; None to raise the first.

    Attributes:
        categories: All event categories of the release, sorted; a second's label is the index of its category, or
            `len(categories)` for background.
        events: The samples of the split, in the order of its file.
        annotations: The annotation files.
        left_out: Errors of invalid lines of the split, if `problems` is given.

    Raises:
        DataError: An annotation file is missing, or a line of it is invalid.
    """

    def __init__(self, root: Path, split: str, problems: list[DataError] | None = None) -> None:
        self.folder = locate(root, FOLDER, ANNOTATIONS)
        all_events = read_events(self.folder / ANNOTATIONS, problems)
        self.categories = tuple(sorted({event.category for event in all_events}))
        path = self.folder / SPLITS[split]
        self.annotations = (self.folder / ANNOTATIONS, path)
        self.events = []
        self.left_out: list[DataError] = []
        split_problems = None if problems is None else self.left_out
        self._labels = {category: label for label, category in enumerate(self.categories)}
        for event in read_events(path, split_problems):
            if event.category in self._labels:
                self.events.append(event)
            else:
                message = f"category {event.category!r} does not occur in {ANNOTATIONS}"
                note(DataError(f"{path}: video {event.video}: {message}"), split_problems)
        if not self.events:
            raise none_usable(path, "events", self.left_out)
        if problems is not None:
            problems += self.left_out

    def labels(self, event: Event) -> NDArray[np.int64]:
        """Return the label of each second: (SECONDS,)."""
        seconds = np.arange(SECONDS)
        inside = (seconds >= event.start) & (seconds < event.end)
        return np.where(inside, self._labels[event.category], len(self.categories))

    def frames(self, event: Event, size: int) -> NDArray[np.uint8]:
        """Return one frame per second, spread evenly over the existing frames: (SECONDS, 3, size, size)."""
        return np.stack([media.read_image(path, event.video, size) for path in self.frame_paths(event)])

    def waves(self, event: Event, rate: int, window_s: float | None = None) -> NDArray[np.float32]:
        """Return the sound of each second separately: (SECONDS, samples).

        Args:
            event: The sample.
            rate: Sample rate to which the sound is resampled, in Hz.
            window_s: Length in seconds of the windows (`media.windows`) that represent the seconds; None to use the
                seconds themselves.
        """
        wave = media.read_audio(self.sound_path(event), event.video, rate)
        return media.pieces(wave, rate, SECONDS, window_s)

    def files(self) -> Iterator[Path]:
        """Yield the files of the split, annotations and media; a frames folder itself if it has no frames."""
        yield from self.annotations
        for event in self.events:
            yield from self._frames(event) or [self.folder / FRAMES / event.video]
            yield self.sound_path(event)

    def frame_paths(self, event: Event) -> list[Path]:
        """Return the file of each second's frame; files repeat if there are fewer frames than seconds.

        Raises:
            DataError: There are no frames.
        """
        if not (paths := self._frames(event)):
            endings = ", ".join(pictures.ENDINGS)
            raise DataError(f"sample {event.video}: no frames ({endings}) in {self.folder / FRAMES / event.video}")
        return paths

    def _frames(self, event: Event) -> list[Path]:
        paths = pictures.numbered(self.folder / FRAMES / event.video)
        return [paths[index] for index in spread(len(paths))] if paths else []

    def sound_path(self, event: Event) -> Path:
        """Return the file of the event's sound."""
        return self.folder / SOUNDS / f"{event.video}.wav"

    def timing_path(self, event: Event) -> Path:
        """Return the file of the video's timing, written by `bench data prepare`."""
        return self.folder / TIMINGS / f"{event.video}.json"


def spread(count: int) -> list[int]:
    """Return the indices, spread evenly, of SECONDS frames out of `count`."""
    return ((np.arange(SECONDS) + 0.5) * count / SECONDS).astype(int).tolist()


def read_events(path: Path, problems: list[DataError] | None = None) -> list[Event]:
    """Return the events of an annotation file, with or without a header line.

    Args:
        path: The file.
        problems: A list that collects the errors of invalid lines, which are then skipped; None to raise the first.

    Raises:
        DataError: The file cannot be read, or contains no valid event.
    """
    try:
        lines = read_text(path, MAX_TABLE_BYTES).splitlines()
    except (OSError, ValueError) as error:
        raise unreadable(path, "text in UTF-8", error) from error
    events, before = [], len(problems or ())
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and line.lower().startswith("category&")):
            continue
        try:
            events.append(_event(line, f"{path}, line {number}"))
        except DataError as error:
            note(error, problems)
    if not events:
        raise none_usable(path, "events", (problems or [])[before:])
    return events


def _event(line: str, location: str) -> Event:
    try:
        # Some copies have spaces around fields: `Bark ` must not become another category.
        category, video, _, start, end = (" ".join(field.split()) for field in line.split("&"))
        event = Event(video, category, int(start), int(end))
    except ValueError:
        raise DataError(f"{location}: expected category&video id&quality&start&end, found {line[:200]!r}") from None
    # The category is not part of a path, but it is printed on the terminal.
    if not is_plain(video) or not category or not category.isprintable():
        raise DataError(f"{location}: expected a category and a video id without slashes, found {line[:200]!r}")
    if not 0 <= event.start <= event.end <= SECONDS:
        raise DataError(f"{location}: expected 0 <= start <= end <= {SECONDS}, found {line[:200]!r}")
    return event
