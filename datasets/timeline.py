"""Which frame and sound represent each second of a video, by presentation time and not by frame number.

The timeline is that of a player: it starts with the first frame or the first sound, whichever is earlier, and edit
lists are applied. AVE's labels refer to seconds of this timeline.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from bench.errors import DataError
from bench.files import MEBIBYTE, read_json

VERSION = 2  # of the extraction; version 1 chose frames by number and ignored the times of the sound
_MIN_SOUND = 0.75  # share of a second that must have sound for the second to count as having it
_ROUNDING = 1e-6  # seconds


def frames_of_seconds(starts: Sequence[Fraction], count: int) -> list[int]:
    """Return the index of the frame that represents each second.

    It is the frame on screen in the middle of the second. If that frame starts before the second, the first frame that
    starts within the second is preferred, if there is one. Seconds before the first frame use the first one, seconds
    after the end the last one.

    Args:
        starts: When each frame starts, in seconds on the timeline, ascending; at least one.
        count: Number of seconds.
    """
    indices = []
    for second in range(count):
        index = bisect_right(starts, second + Fraction(1, 2)) - 1
        following = index + 1
        if (index < 0 or starts[index] < second) and following < len(starts) and starts[following] < second + 1:
            index = following
        indices.append(max(index, 0))
    return indices


@dataclass(frozen=True)
class Timing:
    """Which frames and how much sound represent the first seconds of a video.

    Attributes:
        frames: When the frame of each second starts, in seconds.
        sound: The share of each second that has sound, from 0 to 1.
        end: When the last frame or the sound ends, whichever is later, in seconds.
    """

    frames: tuple[float, ...]
    sound: tuple[float, ...]
    end: float

    def deviations(self) -> list[str]:
        """Return lines that describe which seconds lack a frame or sound, and what is used instead."""
        lines = []
        for start, seconds in groupby(range(len(self.frames)), key=lambda second: self.frames[second]):
            if without_frame := [second for second in seconds if not -_ROUNDING <= start - second < 1 - _ROUNDING]:
                lines.append(f"no frame starts in {_listed(without_frame)}: the frame at {start:.2f} s is used instead")
        if silent := [second for second, share in enumerate(self.sound) if share < _MIN_SOUND]:
            lines.append(f"little or no sound in {_listed(silent)}: the gaps are filled with silence")
        return lines

    def text(self) -> str:
        """Return the timing as JSON, with the version of the extraction."""
        return json.dumps({"version": VERSION, **asdict(self)})


def read_timing(path: Path, sample: str) -> Timing | None:
    """Read a timing that was written as `Timing.text`.

    Args:
        path: The file.
        sample: The video's name in messages.

    Returns:
        The timing; None if there is no such file, or if it has another version.

    Raises:
        DataError: The file cannot be read as a timing.
    """
    try:
        content = read_json(path, MEBIBYTE)
        if content.pop("version") != VERSION:
            return None
        return Timing(tuple(map(float, content["frames"])), tuple(map(float, content["sound"])), float(content["end"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"sample {sample}: {path} was not written by `bench data prepare`, or was changed ({error}): delete it and "
            "prepare again"
        ) from error


def _listed(seconds: Iterable[int]) -> str:
    """Return seconds in words: "second 3", or "seconds 0 to 2, 5"."""
    runs = [[second for _, second in run] for _, run in groupby(enumerate(seconds), key=lambda pair: pair[1] - pair[0])]
    words = ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return f"second{'s' * (len(runs) > 1 or len(runs[0]) > 1)} {words}"
