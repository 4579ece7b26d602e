"""AVSBench, audio-visual segmentation (Zhou et al., ECCV 2022), as its releases unpack.

A video has five frames, one a second. The single-source set S4 is Single-source/s4_meta_data.csv and, under s4_data/,
visual_frames and gt_masks, both with files <split>/<category>/<name>/<name>_<n>.png, and audio_wav with
<split>/<category>/<name>.wav. Of a training video only the first frame is annotated.

The multi-source set MS3 is Multi-sources/ms3_meta_data.csv and, under ms3_data/, visual_frames with files
<name>/<name>.mp4_<n>.png, gt_masks with <split>/<name>/<name>_<n>.png, and audio_wav with <split>/<name>.wav. All five
frames are annotated in every split.

The masks of copies are stored as gray values, colors, palettes or 0 and 1: whatever is not black is foreground.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.datasets import media
from bench.datasets.layout import MAX_TABLE_BYTES, is_plain, locate, note
from bench.datasets.logmel import log_mel
from bench.errors import DataError
from bench.files import read_text

SECONDS = 5
MASK_SIZE = 224  # pixels a side at which masks are compared
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Video:
    """One sample: a row of the table. MS3 has no categories."""

    name: str
    category: str = ""


class Release:
    """One split of the single-source set.

    Args:
        root: the folder that holds Single-source, or Single-source itself.
        split: "train", "val" or "test".
        problems: gets what is wrong with rows of the table, which are then left out; None to raise the first.

    Attributes:
        table: the table's file.
        videos: the samples of the split, in the order of the table.
        annotated: how many of a video's first frames have a mask: 1 in training, 5 else.

    Raises:
        DataError: the table is missing or a row of it is not as it should be.
    """

    folder_name: ClassVar[str] = "Single-source"
    table_name: ClassVar[str] = "s4_meta_data.csv"
    media_name: ClassVar[str] = "s4_data"
    columns: ClassVar[Sequence[Sequence[str]]] = (("name",), ("category",))
    """What a `Video` is made of: of each, the names that its column may have."""

    def __init__(self, root: Path, split: str, problems: list[DataError] | None = None) -> None:
        self.table = locate(root, self.folder_name, self.table_name) / self.table_name
        self.media = self.table.parent / self.media_name
        self.split = split
        self.videos = [video for video, its in _read_table(self.table, self.columns, problems) if its == split]
        self.annotated = self._annotated()

    def frames(self, video: Video, size: int) -> NDArray[np.uint8]:
        """Return the annotated frames: (annotated, 3, size, size)."""
        return np.stack([media.read_image(path, video.name, size) for path in self.frame_paths(video)])

    def masks(self, video: Video) -> NDArray[np.bool_]:
        """Their masks: (annotated, MASK_SIZE, MASK_SIZE)."""
        return np.stack([media.read_mask(path, video.name, MASK_SIZE) for path in self.mask_paths(video)])

    def log_mels(
        self, video: Video, rate: int, bins: int, frames: int, *, window_s: float | None = None, filler: float = 0.0
    ) -> NDArray[np.float32]:
        """Return the log-mel energies of the second that each annotated frame stands for: (annotated, frames, bins).

        Args:
            video: whose sound.
            rate: samples a second.
            bins: of the filter bank.
            frames: length.
            window_s: seconds of each of the windows (`media.windows`) that stand for the seconds; None for these.
            filler: what shorter spectrograms are filled up with.
        """
        wave = media.read_audio(self.sound_path(video), video.name, rate)
        return log_mel(media.pieces(wave, rate, SECONDS, window_s)[: self.annotated], rate, bins, frames, filler)

    def files(self) -> Iterator[Path]:
        """Yield the files that the split is read from: the table and the media."""
        yield self.table
        for video in self.videos:
            yield from self.frame_paths(video)
            yield from self.mask_paths(video)
            yield self.sound_path(video)

    def frame_paths(self, video: Video) -> list[Path]:
        """Return the files of `frames`."""
        folder = self.media / "visual_frames" / self.split / video.category / video.name
        return [folder / f"{video.name}_{number}.png" for number in range(1, self.annotated + 1)]

    def mask_paths(self, video: Video) -> list[Path]:
        """Return the files of `masks`."""
        folder = self.media / "gt_masks" / self.split / video.category / video.name
        return [folder / f"{video.name}_{number}.png" for number in range(1, self.annotated + 1)]

    def sound_path(self, video: Video) -> Path:
        """Return the file of `log_mels`."""
        return self.media / "audio_wav" / self.split / video.category / f"{video.name}.wav"

    def _annotated(self) -> int:
        return 1 if self.split == "train" else SECONDS


class MultiRelease(Release):
    """One split of the multi-source set: as `Release`, but all five frames are annotated in every split."""

    folder_name = "Multi-sources"
    table_name = "ms3_meta_data.csv"
    media_name = "ms3_data"
    columns = (("name", "video_id"),)

    def frame_paths(self, video: Video) -> list[Path]:
        """The files of `frames`, which lie in one folder for all splits and keep the video's ending in their names."""
        folder = self.media / "visual_frames" / video.name
        return [folder / f"{video.name}.mp4_{number}.png" for number in range(1, SECONDS + 1)]

    def _annotated(self) -> int:
        return SECONDS


def _read_table(
    path: Path, columns: Sequence[Sequence[str]], problems: list[DataError] | None
) -> list[tuple[Video, str]]:
    """Return the videos of a table, each with its split."""
    try:
        reader = csv.reader(io.StringIO(read_text(path, MAX_TABLE_BYTES), newline=""))
        header = [name.strip() for name in next(reader, ())]
        rows = [row for row in reader if row]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8: {error}") from error
    if missing := [" or ".join(names) for names in (*columns, ("split",)) if not {*names} & {*header}]:
        raise DataError(f"{path}: has no column {', '.join(missing)}: its first line has {', '.join(header)[:200]}")
    videos = []
    places = {name: place for place, name in enumerate(header)}

    def value(row: Sequence[str], name: str) -> str:  # a dict of each row would have all columns of the header
        place = places.get(name, len(row))
        return row[place].strip() if place < len(row) else ""

    for number, row in enumerate(rows, start=2):
        if not any(map(str.strip, row)):
            continue
        parts = [next(filter(None, (value(row, name) for name in names)), "") for names in columns]
        split = value(row, "split")
        if split in SPLITS and all(map(is_plain, parts)):
            videos.append((Video(*parts), split))
            continue
        found = ", ".join(f"{names[0]} {part[:200]!r}" for names, part in zip(columns, parts, strict=True))
        wanted = " and ".join(" or ".join(names) for names in columns)
        note(
            DataError(
                f"{path}, line {number}: columns {wanted} without slashes, and split, one of {', '.join(SPLITS)}; "
                f"found {found}, split {split[:200]!r}"
            ),
            problems,
        )
    if not videos:
        raise DataError(f"{path}: holds no videos")
    return videos
