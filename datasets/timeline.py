"""What stands for each second of a video: by when it is presented, not by its place among the frames.

The timeline is a player's. It begins with whatever is presented first, the first frame or the first sound, and a file's
edit lists are applied. The labels of AVE are by seconds of this timeline.
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

VERSION = 2  # of how videos are taken apart; before 2, frames were taken by their place and sound as it was stored
_ENOUGH = 0.75  # share of a second that has sound, from which on the second counts as having it
_ROUNDING = 1e-6  # seconds


def frames_of_seconds(starts: Sequence[Fraction], count: int) -> list[int]:
    """Choose the frame that stands for each second.

    It is the one on screen in the middle of the second. If that one begins before the second, the first that begins in
    the second is preferred; if there is none, the one on screen stays. Before the first frame it is the first, after
    the end the last.

    Args:
        starts: when each frame begins, in seconds on the timeline, ascending; at least one.
        count: number of seconds.

    Returns:
        For each second, the index of its frame.
    """
    chosen = []
    for second in range(count):
        index = bisect_right(starts, second + Fraction(1, 2)) - 1
        following = index + 1
        if (index < 0 or starts[index] < second) and following < len(starts) and starts[following] < second + 1:
            index = following
        chosen.append(max(index, 0))
    return chosen


@dataclass(frozen=True)
class Timing:
    """What a video has of each of its first seconds.

    Attributes:
        frames: when the frame that stands for each second begins, in seconds.
        sound: the share of each second that has sound, from 0 to 1.
        end: when the last frame or the sound ends, whichever is later, in seconds.
    """

    frames: tuple[float, ...]
    sound: tuple[float, ...]
    end: float

    def deviations(self) -> list[str]:
        """Describe which seconds have no frame or no sound of their own, and what stands for it; a line each."""
        lines = []
        for start, seconds in groupby(range(len(self.frames)), key=lambda second: self.frames[second]):
            if other := [second for second in seconds if not -_ROUNDING <= start - second < 1 - _ROUNDING]:
                lines.append(f"no frame begins in {_listed(other)}: the one of {start:.2f} s stands there")
        if silent := [second for second, share in enumerate(self.sound) if share < _ENOUGH]:
            lines.append(f"no sound, or only some, in {_listed(silent)}: silence stands there")
        return lines

    def text(self) -> str:
        """Return it as JSON, with the version of the program's way to take videos apart."""
        return json.dumps({"version": VERSION, **asdict(self)})


def read_timing(path: Path, sample: str) -> Timing | None:
    """Read what `Timing.text` wrote.

    Args:
        path: the file.
        sample: what the video is called in messages.

    Returns:
        The timing; None if there is no such file, or it is of another version.

    Raises:
        DataError: the file cannot be read as such.
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
            f"sample {sample}: {path} is not as `bench data prepare` wrote it ({error}): delete it and prepare again"
        ) from error


def _listed(seconds: Iterable[int]) -> str:
    """Seconds in words: "second 3", or "seconds 0 to 2, 5"."""
    runs = [[second for _, second in run] for _, run in groupby(enumerate(seconds), key=lambda pair: pair[1] - pair[0])]
    words = ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return f"second{'s' * (len(runs) > 1 or len(runs[0]) > 1)} {words}"
