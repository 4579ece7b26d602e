"""Ref-AVS, referring audio-visual segmentation (Wang et al., ECCV 2024), in the layout of its release.

A sample is an expression that refers to one object of a video of ten seconds by what is seen and heard. REFAVS contains
metadata.csv, with the columns vid, uid, split, fid and exp, and the media: media/<folder>/audio.wav,
media/<folder>/frames/0.jpg to 9.jpg (one frame a second), and the masks gt_mask/<folder>/fid_<fid>/00000.png to
00009.png. The folder is `uid` without its last two parts, the category and the number of the expression, as in the
authors' own reader. `vid` names the video that is counted: it differs from the folder only for objects that are not
there (category "null"), whose videos were composed of the picture or the sound of another one.

A frame without the object has a black mask. Every pixel that is not black is foreground.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import media
from bench.datasets.layout import is_plain, lacking, locate, none_usable, note, unreadable
from bench.errors import DataError, shortened
from bench.files import MEBIBYTE, read_text

SECONDS = 10
MASK_SIZE = 256  # pixels per side at which masks are compared
SPLITS = ("train", "val", "test_s", "test_u", "test_n")
UNASSIGNED = "TODO"  # the split of rows that the release assigned to none
ABSENT = "null"  # the category of objects that are not there
FOLDER = "REFAVS"
TABLE = "metadata.csv"
COLUMNS = ("vid", "uid", "split", "fid", "exp")
MAX_TABLE_BYTES = 8 * MEBIBYTE  # the release's table has 2.2 MiB
_MAX_TEXT = 1000  # characters; the longest expression of the release has 109
_OBJECT = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True)
class Expression:
    """One sample: a row of the table. Expressions of one video share its frames and sound.

    Attributes:
        uid: Its id, as in the table; a few ids of the release occur twice.
        video: The id of its video, as in the table.
        object_id: The number of the object that it refers to, within the video's masks.
        text: The expression.
    """

    uid: str
    video: str
    object_id: int
    text: str

    @property
    def folder(self) -> str:
        """The folder of its media and of its masks."""
        return self.uid.rsplit("_", 2)[0]

    @property
    def category(self) -> str:
        """The category of the object; "null" if it is not there."""
        return self.uid.rsplit("_", 2)[1]

    @property
    def absent(self) -> bool:
        """Whether the expression refers to nothing in the video; then all of its masks are black."""
        return self.category == ABSENT


class Release:
    """One split of the release.

    Args:
        root: The folder that contains REFAVS, or REFAVS itself.
        split: One of `SPLITS`.
        problems: A list that collects the errors of invalid rows, which are then skipped, and of an empty split; None
            to raise the first.

    Attributes:
        table: The table's file.
        expressions: The samples of the split, in the order of the table.
        lines: The line of each expression in the table.
        unassigned: Lines of the rows that belong to no split.

    Raises:
        DataError: The table is missing, a row of it is invalid, or none has the split.
    """

    def __init__(self, root: Path, split: str, problems: list[DataError] | None = None) -> None:
        self.table = locate(root, FOLDER, TABLE) / TABLE
        self.split = split
        rows = _read_table(self.table, problems)
        self.expressions = [expression for _, expression, row_split in rows if row_split == split]
        self.lines = [line for line, _, row_split in rows if row_split == split]
        self.unassigned = [line for line, _, row_split in rows if row_split == UNASSIGNED]
        if not self.expressions:
            note(DataError(f"{self.table}: no row has the split {split}"), problems)

    def frames(self, expression: Expression, size: int) -> NDArray[np.uint8]:
        """Return the frame of each second: (SECONDS, 3, size, size)."""
        return np.stack([media.read_image(path, expression.uid, size) for path in self.frame_paths(expression)])

    def masks(self, expression: Expression) -> NDArray[np.bool_]:
        """Return the object's mask in each frame: (SECONDS, MASK_SIZE, MASK_SIZE); empty where it is not there."""
        return np.stack([media.read_mask(path, expression.uid, MASK_SIZE) for path in self.mask_paths(expression)])

    def waves(self, expression: Expression, rate: int, window_s: float | None = None) -> NDArray[np.float32]:
        """Return the sound of each second: (SECONDS, samples).

        Args:
            expression: The sample.
            rate: Sample rate to which the sound is resampled, in Hz.
            window_s: Length in seconds of the windows (`media.windows`) that represent the seconds; None to use the
                seconds themselves.
        """
        wave = media.read_audio(self.sound_path(expression), expression.uid, rate)
        return media.pieces(wave, rate, SECONDS, window_s)

    def files(self) -> Iterator[Path]:
        """Yield the files of the split, each once: the table, frames, masks and sounds."""
        yield self.table
        yield from dict.fromkeys(
            path
            for expression in self.expressions
            for path in (
                *self.frame_paths(expression),
                *self.mask_paths(expression),
                self.sound_path(expression),
            )
        )

    def frame_paths(self, expression: Expression) -> list[Path]:
        """Return the file of each second's frame."""
        folder = self.table.parent / "media" / expression.folder / "frames"
        return [folder / f"{second}.jpg" for second in range(SECONDS)]

    def mask_paths(self, expression: Expression) -> list[Path]:
        """Return the file of each frame's mask."""
        folder = self.table.parent / "gt_mask" / expression.folder / f"fid_{expression.object_id}"
        return [folder / f"{second:05d}.png" for second in range(SECONDS)]

    def sound_path(self, expression: Expression) -> Path:
        """Return the file of the video's sound."""
        return self.table.parent / "media" / expression.folder / "audio.wav"


def _read_table(path: Path, problems: list[DataError] | None) -> list[tuple[int, Expression, str]]:
    """Return the rows of a table: the line, the expression and its split."""
    rows, before = [], len(problems or ())
    for line, row in _cells(path):
        try:
            if isinstance(row, str):
                raise ValueError(row)
            rows.append((line, *_expression(*row)))
        except ValueError as error:
            note(DataError(f"{path}, line {line}: {error}"), problems)
    if not rows:
        raise none_usable(path, "expressions", (problems or [])[before:])
    return rows


def _cells(path: Path) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the last line of each row that is not blank, and its cells in the order of `COLUMNS`, or what is wrong."""
    try:
        reader = csv.reader(io.StringIO(read_text(path, MAX_TABLE_BYTES), newline=""))
        header = [name.strip() for name in next(reader, ())]
        if missing := [name for name in COLUMNS if name not in header]:
            raise lacking(path, missing, header)
        indices = [header.index(name) for name in COLUMNS]
        for row in reader:
            if not any(map(str.strip, row)):
                continue
            if len(row) == len(header):
                yield reader.line_num, [row[index].strip() for index in indices]
            else:
                counts = f"expected {len(header)} columns, found {len(row)}"
                yield reader.line_num, f"{counts}: a text that contains commas must be in quotes"
    except (OSError, ValueError, csv.Error) as error:
        raise unreadable(path, "CSV in UTF-8", error) from error


def _expression(video: str, uid: str, split: str, object_id: str, text: str) -> tuple[Expression, str]:
    """Return an expression and its split.

    Raises:
        ValueError: A value is invalid; the message names its column.
    """
    if split not in (*SPLITS, UNASSIGNED):
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, found {shortened(split)!r}")
    # The parts that name folders must not lead out of them.
    if not is_plain(uid) or not is_plain(uid.rsplit("_", 2)[0]) or uid.count("_") < 2:
        raise ValueError(
            f"uid: expected <folder>_<category>_<number> without slashes, as in a1_0_10000_cat_1, "
            f"found {shortened(uid)!r}"
        )
    if not is_plain(video):
        raise ValueError(f"vid: expected the id of a video without slashes, found {shortened(video)!r}")
    if not _OBJECT.fullmatch(object_id):
        raise ValueError(f"fid: expected the number of an object, an integer from 0, found {shortened(object_id)!r}")
    if not text or not text.isprintable() or len(text) > _MAX_TEXT:
        raise ValueError(
            f"exp: expected an expression of one line and at most {_MAX_TEXT} characters, found {shortened(text)!r}"
        )
    return Expression(uid, video, int(object_id), text), split
