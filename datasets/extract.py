"""Extracts the frames and the sound of released videos, for their readers, into another folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.datasets import ave, avqa, videos
from bench.datasets.layout import locate
from bench.datasets.timeline import read_timing
from bench.errors import DataError, UsageError
from bench.files import atomic_file
from bench.system.child_processes import process_pool

Progress = Callable[[Iterable[str], int, str], Iterable[str]]
"""Wraps an iterable for a progress bar, given the number of items and the name of one."""


def extract_ave(root: Path, out: Path, jobs: int, progress: Progress) -> list[str]:
    """Extract all videos of AVE that are not extracted yet; arguments, results and errors are those of `_extract`."""
    videos.check_library()
    release = locate(root, ave.FOLDER, ave.ANNOTATIONS)
    names = {event.video for split in ave.SPLITS for event in ave.Release(root, split).events}
    work = Extraction(release, out / ave.FOLDER, ave.FRAMES, ave.SOUNDS, ave.TIMINGS, ave.SECONDS)
    return _extract(work, (ave.ANNOTATIONS, *ave.SPLITS.values()), names, out, jobs, progress)


def extract_avqa(root: Path, out: Path, jobs: int, progress: Progress) -> list[str]:
    """Extract all videos of MUSIC-AVQA that are not extracted yet, one frame a second; see `_extract`."""
    videos.check_library()
    releases = [avqa.Release(root, split) for split in avqa.SPLITS]
    names = {name for release in releases for name in release.videos()}
    files = [avqa.QUESTIONS.format(split=split) for split in avqa.SPLITS]
    work = Extraction(releases[0].folder, out, avqa.FRAMES, avqa.SOUNDS, avqa.TIMINGS, None)
    return _extract(work, files, names, out, jobs, progress)


@dataclass(frozen=True)
class Extraction:
    """Where videos are, and where their frames and sounds go.

    Attributes:
        release: The release's folder, which is never written to.
        target: The output folder.
        frames: The folder of frames in it.
        sounds: The folder of sounds in it.
        timings: The folder of timings in it.
        seconds: The length of every video in seconds; None for that of MUSIC-AVQA's.
    """

    release: Path
    target: Path
    frames: str
    sounds: str
    timings: str
    seconds: int | None

    def video(self, name: str) -> Path:
        """Return the file of a released video."""
        if self.seconds is None:
            return avqa.video_path(self.release, name)
        return self.release / ave.VIDEOS / f"{name}.mp4"

    def outputs(self, name: str) -> tuple[Path, Path, Path]:
        """Return the paths of a video's frames, sound and timing."""
        folder = self.target
        return folder / self.frames / name, folder / self.sounds / f"{name}.wav", folder / self.timings / f"{name}.json"

    def extract(self, name: str) -> str:
        """Extract one video; return a message if that fails, else ""."""
        video = self.video(name)
        try:
            seconds = self.seconds or avqa.seconds_of(videos.length(video, name))
            videos.extract(video, name, seconds, *self.outputs(name))
        except DataError as error:
            return str(error)
        return ""

    def is_done(self, name: str) -> bool:
        """Return whether a video is completely extracted by this version of the program.

        Output of an earlier version is removed, so that frames of both versions are never mixed.

        Raises:
            DataError: There are files that the program did not write.
        """
        frames, sound, timing = self.outputs(name)
        if not frames.is_dir() and not sound.is_file():
            return False
        if read_timing(timing, name):
            return frames.is_dir() and sound.is_file()
        if frames.is_dir() and not self._is_written({path.name for path in frames.iterdir()}):
            raise DataError(
                f"sample {name}: {frames} contains frames that `bench data prepare` did not write: use this folder as "
                "it is, as --data-root, or pass another one as --out"
            )
        if self.video(name).is_file():
            shutil.rmtree(frames, ignore_errors=True)
            sound.unlink(missing_ok=True)
        return False

    def _is_written(self, names: Collection[str]) -> bool:
        """Return whether frames have the names that the program gives them."""
        return {*names} == {f"{number:04d}.jpg" for number in range(1, (self.seconds or len(names)) + 1)}


def _extract(
    work: Extraction, files: Sequence[str], names: Collection[str], out: Path, jobs: int, progress: Progress
) -> list[str]:
    """Extract all videos that are not extracted yet. The release itself is never written to.

    Args:
        work: Where they are and go.
        files: The annotation files of the release, which are copied.
        names: The videos.
        out: The output folder as the user named it; usable as --data-root.
        jobs: Number of processes.
        progress: Wraps the videos, for a progress bar.

    Returns:
        Messages about the videos that could not be extracted.

    Raises:
        DataError: An annotation file is missing or invalid.
        UsageError: `out` is inside the release, or the release inside `out`.
        BenchError: PyAV is not installed.
    """
    source_path, target_path = work.release.resolve(), work.target.resolve()
    if source_path in (target_path, *target_path.parents) or target_path in source_path.parents:
        raise UsageError(f"--out {out} overlaps the release, which is never written to: pass another folder")
    for file in files:
        _copy(work.release / file, work.target / file)
    problems = []
    pending = []
    for name in sorted(names):
        try:
            if not work.is_done(name):
                pending.append(name)
        except DataError as error:
            problems.append(str(error))
    with process_pool(jobs) as pool:
        messages = pool.map(work.extract, pending)
        return [*problems, *(message for message in progress(messages, len(pending), "video") if message)]


def _copy(source: Path, target: Path) -> None:
    """Copy a file unless an equal copy exists, whose modification time is then preserved."""
    content = source.read_bytes()
    if not target.is_file() or target.read_bytes() != content:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as file:
            file.write(content)
