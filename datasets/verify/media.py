"""Checks of media files, shared by all releases; samples are checked in parallel threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from numpy.typing import NDArray

from bench.datasets import media, pictures
from bench.datasets.masks import all_alike
from bench.datasets.verify.report import ALIKE, LENGTH, MISSING, Fault, Faults, Report
from bench.system.cpus import available_cpus

T = TypeVar("T")
Progress = Callable[[Iterable[tuple[int, list[Fault]]], int, str], Iterable[tuple[int, list[Fault]]]]
"""Wraps an iterable for a progress bar, given the number of items and the name of one."""

_SIDE = 16  # pixels to which decoded pictures are resized, the cheapest size
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


def check_video(frames: Path, sound: Path, entry: str, faults: Faults, quick: bool) -> int:
    """Check the pictures in a folder and a recording of any length; return the number of files."""
    paths = pictures.numbered(frames)
    if not paths:
        faults.add(MISSING, frames, f"sample {entry}", "no frames")
    for path in paths:
        check_picture(path, entry, faults, quick)
    if faults.check_exists(sound, entry):
        faults.attempt(lambda: media.audio_seconds(sound, entry) if quick else media.decode_audio(sound, entry))
    return len(paths) + 1


def check_sound(path: Path, entry: str, faults: Faults, seconds: int, quick: bool) -> None:
    """Check that a recording exists and has the expected length; unless `quick`, decode all of it."""
    if not faults.check_exists(path, entry):
        return

    def length() -> float:
        if quick:
            return media.audio_seconds(path, entry)
        wave, rate = media.decode_audio(path, entry)
        return len(wave) / rate

    actual_s = faults.attempt(length)
    if actual_s is not None:
        check_length(path, entry, faults, actual_s, seconds)


def check_length(path: Path, entry: str, faults: Faults, actual_s: float, seconds: int) -> None:
    """Add a fault if a recording's length in seconds is not about the expected one."""
    if abs(actual_s - seconds) >= _MAX_DEVIATION:
        faults.add(LENGTH, path, f"sample {entry}", f"{actual_s:.1f} seconds, expected {seconds}")
