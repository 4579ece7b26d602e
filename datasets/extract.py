"""AVE's videos, as released, taken apart into the frames and the sound that its reader reads, in another folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from bench.child_processes import process_pool
from bench.datasets import ave, videos
from bench.datasets.layout import locate
from bench.errors import DataError, UsageError
from bench.files import atomic_file

Progress = Callable[[Iterable[str], int, str], Iterable[str]]
"""Wraps what is gone through, given how many there are and what one is called."""


def extract_ave(root: Path, out: Path, jobs: int, progress: Progress) -> list[str]:
    """Extracts all videos that are not extracted yet. The release is only read.

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
    todo = [
        name
        for name in sorted(names)
        if not ((target / ave.FRAMES / name).is_dir() and (target / ave.SOUNDS / f"{name}.wav").is_file())
    ]
    with process_pool(jobs) as pool:
        wrong = pool.map(partial(_extract, release, target), todo)
        return [problem for problem in progress(wrong, len(todo), "video") if problem]


def _copy(source: Path, target: Path) -> None:
    """Copies a file, unless its copy is there: what depends on when it was changed stays as it is."""
    content = source.read_bytes()
    if not target.is_file() or target.read_bytes() != content:
        with atomic_file(target) as file:
            file.write(content)


def _extract(release: Path, target: Path, name: str) -> str:
    """Extracts one video; returns what is wrong with it, or ""."""
    video = release / ave.VIDEOS / f"{name}.mp4"
    try:
        videos.extract(video, name, ave.spread, target / ave.FRAMES / name, target / ave.SOUNDS / f"{name}.wav")
    except DataError as error:
        return str(error)
    return ""
