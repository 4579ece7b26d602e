"""AVSBench, audio-visual segmentation (Zhou et al., ECCV 2022), in the layout of its releases.

A video has five frames, one per second. The single-source set S4 consists of Single-source/s4_meta_data.csv and, under
s4_data/, of visual_frames and gt_masks, both with files <split>/<category>/<name>/<name>_<n>.png, and audio_wav with
<split>/<category>/<name>.wav. In a training video only the first frame is annotated.

The multi-source set MS3 consists of Multi-sources/ms3_meta_data.csv and, under ms3_data/, of visual_frames with files
<name>/<name>.mp4_<n>.png, gt_masks with <split>/<name>/<name>_<n>.png, and audio_wav with <split>/<name>.wav. All five
frames are annotated in every split.

Different copies store masks as gray values, colors, palettes or 0 and 1: every pixel that is not black is foreground.
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
from bench.datasets.layout import MAX_TABLE_BYTES, is_plain, lacking, locate, none_usable, note, unreadable
from bench.errors import DataError
from bench.files import read_text

SECONDS = 5
MASK_SIZE = 224  # pixels per side at which masks are compared
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Video:
    """One sample: a row of the table. MS3 has no categories."""

    name: str
    category: str = ""


class Release:
    """One split of the single-source set.

    Args:
        root: The folder that contains Single-source, or Single-source itself.
        split: "train", "val" or "test".
        problems: A list that collects the errors of invalid rows, which are then skipped, and of an empty split; None
            to raise the first.

    Attributes:
        table: The table's file.
        videos: The samples of the split, in the order of the table.
        annotated: Number of annotated frames per video, from the first one: 1 in training, 5 otherwise.

    Raises:
        DataError: The table is missing, a row of it is invalid, or none has the split.
    """

    folder_name: ClassVar[str] = "Single-source"
    table_name: ClassVar[str] = "s4_meta_data.csv"
    media_name: ClassVar[str] = "s4_data"
    columns: ClassVar[Sequence[Sequence[str]]] = (("name",), ("category",))
    """The possible column names for each field of `Video`."""

    def __init__(self, root: Path, split: str, problems: list[DataError] | None = None) -> None:
        self.table = locate(root, self.folder_name, self.table_name) / self.table_name
        self.media = self.table.parent / self.media_name
        self.split = split
        rows = _read_table(self.table, self.columns, problems)
        self.videos = [video for video, video_split in rows if video_split == split]
        if not self.videos:
            note(DataError(f"{self.table}: no row has the split {split}"), problems)
        self.annotated = self._annotated()

    def frames(self, video: Video, size: int) -> NDArray[np.uint8]:
        """Return the annotated frames: (annotated, 3, size, size)."""
        return np.stack([media.read_image(path, video.name, size) for path in self.frame_paths(video)])

    def masks(self, video: Video) -> NDArray[np.bool_]:
        """Return the masks of the annotated frames: (annotated, MASK_SIZE, MASK_SIZE)."""
        return np.stack([media.read_mask(path, video.name, MASK_SIZE) for path in self.mask_paths(video)])

    def waves(self, video: Video, rate: int, window_s: float | None = None) -> NDArray[np.float32]:
        """Return the sound of each annotated frame's second: (annotated, samples).

        Args:
            video: The sample.
            rate: Sample rate to which the sound is resampled, in Hz.
            window_s: Length in seconds of the windows (`media.windows`) that represent the seconds; None to use the
                seconds themselves.
        """
        wave = media.read_audio(self.sound_path(video), video.name, rate)
        return media.pieces(wave, rate, SECONDS, window_s)[: self.annotated]

    def files(self) -> Iterator[Path]:
        """Yield the files of the split: the table and the media."""
        yield self.table
        for video in self.videos:
            yield from self.frame_paths(video)
            yield from self.mask_paths(video)
            yield self.sound_path(video)

    def frame_paths(self, video: Video) -> list[Path]:
        """Return the files of the annotated frames."""
        folder = self.media / "visual_frames" / self.split / video.category / video.name
        return [folder / f"{video.name}_{number}.png" for number in range(1, self.annotated + 1)]

    def mask_paths(self, video: Video) -> list[Path]:
        """Return the files of the masks."""
        folder = self.media / "gt_masks" / self.split / video.category / video.name
        return [folder / f"{video.name}_{number}.png" for number in range(1, self.annotated + 1)]

    def sound_path(self, video: Video) -> Path:
        """Return the file of the video's sound."""
        return self.media / "audio_wav" / self.split / video.category / f"{video.name}.wav"

    def _annotated(self) -> int:
        return 1 if self.split == "train" else SECONDS


class MultiRelease(Release):
    """One split of the multi-source set: like `Release`, but with all five frames annotated in every split."""

    folder_name = "Multi-sources"
    table_name = "ms3_meta_data.csv"
    media_name = "ms3_data"
    columns = (("name", "video_id"),)

    def frame_paths(self, video: Video) -> list[Path]:
        """Return the files of the frames, which share one folder for all splits and have ".mp4" in their names."""
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
        raise unreadable(path, "CSV in UTF-8", error) from error
    if missing := [" or ".join(names) for names in (*columns, ("split",)) if not {*names} & {*header}]:
        raise lacking(path, missing, header)
    videos, before = [], len(problems or ())
    indices = {name: index for index, name in enumerate(header)}

    def value(row: Sequence[str], name: str) -> str:  # cheaper than a dict per row with all columns of the header
        index = indices.get(name, len(row))
        return row[index].strip() if index < len(row) else ""

    for number, row in enumerate(rows, start=2):
        if not any(map(str.strip, row)):
            continue
        parts = [next(filter(None, (value(row, name) for name in names)), "") for names in columns]
        split = value(row, "split")
        if split in SPLITS and all(map(is_plain, parts)):
            videos.append((Video(*parts), split))
            continue
        actual = ", ".join(f"{names[0]} {part[:200]!r}" for names, part in zip(columns, parts, strict=True))
        expected = " and ".join(" or ".join(names) for names in columns)
        note(
            DataError(
                f"{path}, line {number}: expected columns {expected} without slashes, and split, one of "
                f"{', '.join(SPLITS)}; found {actual}, split {split[:200]!r}"
            ),
            problems,
        )
    if not videos:
        raise none_usable(path, "videos", (problems or [])[before:])
    return videos
