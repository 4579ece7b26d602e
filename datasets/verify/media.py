"""Checks of media files, shared by all releases; samples are checked in parallel threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from numpy.typing import NDArray

from bench.datasets import media, pictures
from bench.datasets.masks import all_alike
from bench.datasets.verify.report import ALIKE, LENGTH, MISSING, TIMING, Fault, Faults, Report
from bench.system.cpus import available_cpus

T = TypeVar("T")
Progress = Callable[[Iterable[tuple[int, list[Fault]]], int, str], Iterable[tuple[int, list[Fault]]]]
"""Wraps an iterable for a progress bar, given the number of items and the name of one."""

_SIDE = 16  # pixels to which decoded pictures are resized, the cheapest size
_MAX_FRAMES = 2.0  # more or fewer than seconds of sound, of which the last one may be incomplete
_MAX_DEVIATION = 1.0  # seconds; if a recording is this much too short or too long, a whole second is silent or lost


def check_all(
    samples: Sequence[T], check: Callable[[T, Faults], int], report: Report, progress: Progress, unit: str
) -> None:
    """Check samples in parallel, and add their faults to a report in the samples' order.

    Args:
        samples: The samples, of any type.
        check: Adds the faults of one sample and returns the number of files checked. It runs in a thread.
        report: The report.
        progress: Wraps the samples, for a progress bar.
        unit: The name of one sample.
    """

    def checked(sample: T) -> tuple[int, list[Fault]]:
        faults = Faults()
        return check(sample, faults), faults.faults

    # Decoders release Python's global lock. The results of `map` arrive in order, and pending tasks take little memory.
    with ThreadPoolExecutor(min(available_cpus(), 8)) as threads:
        for files, faults in progress(threads.map(checked, samples), len(samples), unit):
            report.checked += files
            report.faults += faults


def check_header(path: Path, entry: str, faults: Faults) -> tuple[int, int] | None:
    """Return height and width of a picture or mask; if it is missing or not a picture, add a fault and return None."""
    return faults.attempt(lambda: media.image_size(path, entry)) if faults.check_exists(path, entry) else None


def check_alike(masks: Iterable[tuple[str, NDArray]], file: Path, split: str, report: Report) -> None:
    """Add a fault if all of a split's masks, given with the names of their entries, are empty or all are full."""
    if alike := all_alike(masks):
        entry, kind = alike
        report.add(ALIKE, file, f"split {split}", f"all masks that were checked are {kind}, such as that of {entry}")


def check_picture(path: Path, entry: str, faults: Faults, quick: bool) -> tuple[int, int] | None:
    """Check a picture as `check_header` does and, unless `quick`, that it can be decoded."""
    size = check_header(path, entry, faults)
    if size and not quick:
        faults.attempt(lambda: media.read_image(path, entry, _SIDE))
    return size


def check_named(paths: Iterable[Path], entry: str, faults: Faults) -> None:
    """Add a fault for each frame without a number in its name, since numbers order them."""
    for path in paths:
        if not re.search(r"\d", path.stem):
            faults.add(TIMING, path, f"sample {entry}", "its name has no number, by which frames are ordered")


def check_video(frames: Path, sound: Path, entry: str, faults: Faults, quick: bool) -> int:
    """Check the frames in a folder, one a second, and a recording of any length; return the number of files."""
    paths = pictures.numbered(frames)
    if not paths:
        faults.add(MISSING, frames, f"sample {entry}", "no frames")
    for path in paths:
        check_picture(path, entry, faults, quick)
    check_named(paths, entry, faults)
    _check_gaps(frames, paths, entry, faults)
    seconds = _sound_seconds(sound, entry, faults, quick)
    if paths and seconds is not None and abs(len(paths) - seconds) >= _MAX_FRAMES:
        message = (
            f"{len(paths)} frame{'s' * (len(paths) > 1)} for {seconds:.1f} seconds of sound, expected one a second"
        )
        faults.add(TIMING, frames, f"sample {entry}", message)
    return len(paths) + 1


def _check_gaps(frames: Path, paths: Iterable[Path], entry: str, faults: Faults) -> None:
    """Add a fault if some numbers are missing between the first frame and the last, but not most of them."""
    numbers = {int(parts[-1]) for path in paths if (parts := re.findall(r"\d+", path.stem))}
    absent = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    if 0 < absent < len(numbers):
        first = next(number for number in range(min(numbers), max(numbers)) if number not in numbers)
        more = f", and {absent - 1:,} more before the last" if absent > 1 else ""
        faults.add(TIMING, frames, f"sample {entry}", f"frame number {first} is missing{more}")


def check_sound(path: Path, entry: str, faults: Faults, seconds: int, quick: bool) -> None:
    """Check that a recording exists and has the expected length; unless `quick`, decode all of it."""
    actual_s = _sound_seconds(path, entry, faults, quick)
    if actual_s is not None:
        check_length(path, entry, faults, actual_s, seconds)


def _sound_seconds(path: Path, entry: str, faults: Faults, quick: bool) -> float | None:
    """Return a recording's length in seconds; if it is missing or unreadable, add a fault and return None."""
    if not faults.check_exists(path, entry):
        return None

    def length() -> float:
        if quick:
            return media.audio_seconds(path, entry)
        wave, rate = media.decode_audio(path, entry)
        return len(wave) / rate

    return faults.attempt(length)


def check_length(path: Path, entry: str, faults: Faults, actual_s: float, seconds: int) -> None:
    """Add a fault if a recording's length in seconds is not about the expected one."""
    if abs(actual_s - seconds) >= _MAX_DEVIATION:
        faults.add(LENGTH, path, f"sample {entry}", f"{actual_s:.1f} seconds, expected {seconds}")
