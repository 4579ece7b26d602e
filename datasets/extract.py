"""AVE's videos, as released, taken apart into the frames and the sound that its reader reads, in another folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from bench.datasets import ave, videos
from bench.datasets.layout import locate
from bench.datasets.timeline import read_timing
from bench.errors import DataError, UsageError
from bench.files import atomic_file
from bench.system.child_processes import process_pool

_FRAMES = {f"{number:04d}.jpg" for number in range(1, ave.SECONDS + 1)}

Progress = Callable[[Iterable[str], int, str], Iterable[str]]
"""Wraps what is gone through, given how many there are and what one is called."""


def extract_ave(root: Path, out: Path, jobs: int, progress: Progress) -> list[str]:
    """Extract all videos that are not extracted yet. The release is only read.

    Args:
        root: the folder that holds AVE_Dataset with the videos, or AVE_Dataset itself.
        out: the folder that gets another AVE_Dataset, with the annotation files, frames and sound: a --data-root.
        jobs: processes that extract.
        progress: wraps the videos.

    Returns:
        What is wrong with the videos that could not be extracted.

    Raises:
        DataError: an annotation file is missing or wrong.
        UsageError: `out` lies in the release, or the release in `out`.
        BenchError: PyAV is not installed.
    """
    videos.check_library()
    release, target = locate(root, ave.FOLDER, ave.ANNOTATIONS), out / ave.FOLDER
    places = [release.resolve(), target.resolve()]
    if places[0] in (places[1], *places[1].parents) or places[1] in places[0].parents:
        raise UsageError(f"--out {out} is where the release lies, which is never written to: name another folder")
    names = {event.video for split in ave.SPLITS for event in ave.Release(root, split).events}
    target.mkdir(parents=True, exist_ok=True)
    for file in (ave.ANNOTATIONS, *ave.SPLITS.values()):
        _copy(release / file, target / file)
    wrong = []
    todo = []
    for name in sorted(names):
        try:
            if not _is_extracted(release, target, name):
                todo.append(name)
        except DataError as error:
            wrong.append(str(error))
    with process_pool(jobs) as pool:
        problems = pool.map(partial(_extract, release, target), todo)
        return [*wrong, *(problem for problem in progress(problems, len(todo), "video") if problem)]


def _is_extracted(release: Path, target: Path, name: str) -> bool:
    """Return whether a video is extracted whole, as this version of the program does it.

    What an earlier version extracted is removed, so that frames of both are never used together: those that are still
    to be made are missing.

    Raises:
        DataError: there are files that the program did not write.
    """
    frames, sound, timing = _places(target, name)
    if not frames.is_dir() and not sound.is_file():
        return False
    if read_timing(timing, name):
        return frames.is_dir() and sound.is_file()
    if frames.is_dir() and {path.name for path in frames.iterdir()} != _FRAMES:
        raise DataError(
            f"sample {name}: {frames} holds frames that `bench data prepare` did not write: use this folder as it is, "
            "as --data-root, or name another one as --out"
        )
    if (release / ave.VIDEOS / f"{name}.mp4").is_file():
        shutil.rmtree(frames, ignore_errors=True)
        sound.unlink(missing_ok=True)
    return False


def _places(target: Path, name: str) -> tuple[Path, Path, Path]:
    """Return where a video's frames, its sound and its timing go."""
    return target / ave.FRAMES / name, target / ave.SOUNDS / f"{name}.wav", target / ave.TIMINGS / f"{name}.json"


def _copy(source: Path, target: Path) -> None:
    """Copy a file, unless its copy is there: what depends on when it was changed stays as it is."""
    content = source.read_bytes()
    if not target.is_file() or target.read_bytes() != content:
        with atomic_file(target) as file:
            file.write(content)


def _extract(release: Path, target: Path, name: str) -> str:
    """Extract one video; returns what is wrong with it, or ""."""
    video = release / ave.VIDEOS / f"{name}.mp4"
    try:
        videos.extract(video, name, ave.SECONDS, *_places(target, name))
    except DataError as error:
        return str(error)
    return ""
