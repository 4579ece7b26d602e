"""AVSBench's single-source set S4, audio-visual segmentation (Zhou et al., ECCV 2022), as its release unpacks.

Single-source/s4_meta_data.csv and, under s4_data/, visual_frames and gt_masks, both with files
<split>/<category>/<name>/<name>_<n>.png, and audio_wav with <split>/<category>/<name>.wav. Five frames a video, one a
second; of a training video only the first is annotated.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import media
from bench.datasets.layout import locate
from bench.datasets.logmel import log_mel
from bench.errors import DataError

SECONDS = 5
MASK_SIZE = 224  # pixels a side at which masks are compared
FOLDER = "Single-source"
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Video:
    """One sample: a row of the table."""

    name: str
    category: str


class Release:
    """One split of the single-source set.

    Args:
        root: the folder that holds Single-source, or Single-source itself.
        split: "train", "val" or "test".

    Attributes:
        videos: the samples of the split, in the order of the table.
        annotated: how many of a video's first frames have a mask: 1 in training, 5 else.

    Raises:
        DataError: the table is missing or a row of it is not as it should be.
    """

    def __init__(self, root: Path, split: str) -> None:
        self.folder = locate(root, FOLDER, "s4_meta_data.csv")
        self.split = split
        self.videos = [video for video, its in _read_table(self.folder / "s4_meta_data.csv") if its == split]
        self.annotated = 1 if split == "train" else SECONDS

    def frames(self, video: Video, size: int) -> NDArray[np.uint8]:
        """The annotated frames: (annotated, 3, size, size)."""
        return np.stack([media.read_image(path, video.name, size) for path in self._pictures("visual_frames", video)])

    def masks(self, video: Video) -> NDArray[np.bool_]:
        """Their masks: (annotated, MASK_SIZE, MASK_SIZE)."""
        return np.stack([media.read_mask(path, video.name, MASK_SIZE) for path in self._pictures("gt_masks", video)])

    def log_mels(self, video: Video, rate: int, bins: int, frames: int) -> NDArray[np.float32]:
        """The log-mel energies of the second that each annotated frame stands for: (annotated, frames, bins)."""
        path = self.folder / "s4_data/audio_wav" / self.split / video.category / f"{video.name}.wav"
        wave = media.read_audio(path, video.name, rate)
        return log_mel(media.seconds(wave, rate, SECONDS)[: self.annotated], rate, bins, frames)

    def _pictures(self, kind: str, video: Video) -> list[Path]:
        folder = self.folder / "s4_data" / kind / self.split / video.category / video.name
        return [folder / f"{video.name}_{number}.png" for number in range(1, self.annotated + 1)]


def _read_table(path: Path) -> list[tuple[Video, str]]:
    """The videos of the table, each with its split."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    videos = []
    for number, row in enumerate(rows, start=2):
        name, category, split = (row.get(key) or "" for key in ("name", "category", "split"))
        if split not in _SPLITS or any(not part or Path(part).name != part for part in (name, category)):
            raise DataError(
                f"{path}, line {number}: columns name and category without slashes, and split, one of "
                f"{', '.join(_SPLITS)}; found name {name!r}, category {category!r}, split {split!r}"
            )
        videos.append((Video(name, category), split))
    if not videos:
        raise DataError(f"{path}: holds no videos")
    return videos
