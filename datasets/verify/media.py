"""What the checks of files share: samples go side by side in threads, and each kind of file has its own questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from numpy.typing import NDArray

from bench.datasets import media
from bench.datasets.masks import all_alike
from bench.datasets.verify.report import ALIKE, LENGTH, Fault, Faults, Report
from bench.system.cpus import available_cpus

T = TypeVar("T")
Progress = Callable[[Iterable[tuple[int, list[Fault]]], int, str], Iterable[tuple[int, list[Fault]]]]
"""Wraps what is gone through, given how many there are and what one is called."""

_SIDE = 16  # pixels to which decoded pictures are made smaller, which costs least
_OFF = 1.0  # seconds by which a recording may not be too long or short: from there on a whole one is silent or lost


def check_all(
    samples: Sequence[T], check: Callable[[T, Faults], int], report: Report, progress: Progress, unit: str
) -> None:
    """Check samples side by side, and notes their faults in the samples' order.

    Args:
        samples: whatever `check` takes.
        check: notes the faults of one sample and returns how many files it looked at. It runs in a thread.
        report: gets the faults.
        progress: wraps the samples.
        unit: what one sample is called.
    """

    def checked(sample: T) -> tuple[int, list[Fault]]:
        faults = Faults()
        return check(sample, faults), faults.found

    # Decoders let go of Python's lock. Results of `map` come in order, and what is waiting is only a list of samples.
    with ThreadPoolExecutor(min(available_cpus(), 8)) as threads:
        for files, found in progress(threads.map(checked, samples), len(samples), unit):
            report.checked += files
            report.found += found


def check_header(path: Path, entry: str, faults: Faults) -> tuple[int, int] | None:
    """Return height and width of a picture or mask; None where it is not there or no picture, which is a fault."""
    return faults.attempt(lambda: media.image_size(path, entry)) if faults.is_there(path, entry) else None


def check_alike(masks: Iterable[tuple[str, NDArray]], file: Path, split: str, report: Report) -> None:
    """Of a split's masks, given what each belongs to, one is not empty and one not full: else they cannot be masks."""
    if found := all_alike(masks):
        wrong = f"all masks that were looked at are {found[1]}, as that of {found[0]}"
        report.add(ALIKE, file, f"split {split}", wrong)


def check_picture(path: Path, entry: str, faults: Faults, quick: bool) -> tuple[int, int] | None:
    """Return the same of a picture that, unless `quick`, can be decoded too."""
    size = check_header(path, entry, faults)
    if size and not quick:
        faults.attempt(lambda: media.read_image(path, entry, _SIDE))
    return size


def check_sound(path: Path, entry: str, faults: Faults, seconds: int, quick: bool) -> None:
    """A recording is there and as long as it should be; unless `quick`, it is read whole."""
    if not faults.is_there(path, entry):
        return

    def length() -> float:
        if quick:
            return media.audio_seconds(path, entry)
        wave, rate = media.decode_audio(path, entry)
        return len(wave) / rate

    found = faults.attempt(length)
    if found is not None:
        check_length(path, entry, faults, found, seconds)


def check_length(path: Path, entry: str, faults: Faults, found: float, seconds: int) -> None:
    """A recording of `found` seconds is about as long as it should be."""
    if abs(found - seconds) >= _OFF:
        faults.add(LENGTH, path, f"sample {entry}", f"{found:.1f} seconds, expected are {seconds}")
