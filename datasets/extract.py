"""Extracts the frames and the sound of AVE's released videos, for AVE's reader, into another folder."""

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
"""Wraps an iterable for a progress bar, given the number of items and the name of one."""


def extract_ave(root: Path, out: Path, jobs: int, progress: Progress) -> list[str]:
    """Extract all videos that are not extracted yet. The release itself is never written to.

    Args:
        root: The folder that contains AVE_Dataset with the videos, or AVE_Dataset itself.
        out: The output folder, for an AVE_Dataset with annotation files, frames and sound; usable as --data-root.
        jobs: Number of processes.
        progress: Wraps the videos, for a progress bar.

    Returns:
        Messages about the videos that could not be extracted.

    Raises:
        DataError: An annotation file is missing or invalid.
        UsageError: `out` is inside the release, or the release inside `out`.
        BenchError: PyAV is not installed.
    """
    videos.check_library()
    release, target = locate(root, ave.FOLDER, ave.ANNOTATIONS), out / ave.FOLDER
    source_path, target_path = release.resolve(), target.resolve()
    if source_path in (target_path, *target_path.parents) or target_path in source_path.parents:
        raise UsageError(f"--out {out} overlaps the release, which is never written to: pass another folder")
    names = {event.video for split in ave.SPLITS for event in ave.Release(root, split).events}
    target.mkdir(parents=True, exist_ok=True)
    for file in (ave.ANNOTATIONS, *ave.SPLITS.values()):
        _copy(release / file, target / file)
    problems = []
    pending = []
    for name in sorted(names):
        try:
            if not _is_extracted(release, target, name):
                pending.append(name)
        except DataError as error:
            problems.append(str(error))
    with process_pool(jobs) as pool:
        messages = pool.map(partial(_extract, release, target), pending)
        return [*problems, *(message for message in progress(messages, len(pending), "video") if message)]


def _is_extracted(release: Path, target: Path, name: str) -> bool:
    """Return whether a video is completely extracted by this version of the program.

    Output of an earlier version is removed, so that frames of both versions are never mixed.

    Raises:
        DataError: There are files that the program did not write.
    """
    frames, sound, timing = _outputs(target, name)
    if not frames.is_dir() and not sound.is_file():
        return False
    if read_timing(timing, name):
        return frames.is_dir() and sound.is_file()
    if frames.is_dir() and {path.name for path in frames.iterdir()} != _FRAMES:
        raise DataError(
            f"sample {name}: {frames} contains frames that `bench data prepare` did not write: use this folder as it "
            "is, as --data-root, or pass another one as --out"
        )
    if (release / ave.VIDEOS / f"{name}.mp4").is_file():
        shutil.rmtree(frames, ignore_errors=True)
        sound.unlink(missing_ok=True)
    return False


def _outputs(target: Path, name: str) -> tuple[Path, Path, Path]:
    """Return the paths of a video's frames, sound and timing."""
    return target / ave.FRAMES / name, target / ave.SOUNDS / f"{name}.wav", target / ave.TIMINGS / f"{name}.json"


def _copy(source: Path, target: Path) -> None:
    """Copy a file unless an equal copy exists, whose modification time is then preserved."""
    content = source.read_bytes()
    if not target.is_file() or target.read_bytes() != content:
        with atomic_file(target) as file:
            file.write(content)


def _extract(release: Path, target: Path, name: str) -> str:
    """Extract one video; return a message if that fails, else ""."""
    video = release / ave.VIDEOS / f"{name}.mp4"
    try:
        videos.extract(video, name, ave.SECONDS, *_outputs(target, name))
    except DataError as error:
        return str(error)
    return ""
