"""Builds the embedded data once, in a cache folder: whole or not at all, with a checksum."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import msgspec

from bench.datasets.mini.files import Written
from bench.datasets.mini.floors import FLOORS
from bench.datasets.mini.write import LAYOUTS
from bench.errors import DataError
from bench.files import MEBIBYTE, atomic_folder, read_bytes
from bench.system.checksums import combined
from bench.system.child_processes import process_pool
from bench.system.cpus import available_cpus

VERSION = 3  # goes up with every change of what is written
_MANIFEST = "manifest.json"

Progress = Callable[[Iterable[Written], int], Iterable[Written]]


@dataclass(frozen=True)
class Manifest:
    """What a built benchmark holds.

    `fingerprint` is a digest over the names and contents of all its files, `counts` the videos or pictures of each
    split, `floors` the primary scores in percent that need not both modalities.
    """

    benchmark: str
    version: int
    seed: int
    fingerprint: str
    counts: dict[str, int]
    floors: dict[str, float]


def folder(cache: Path, benchmark: str, seed: int) -> Path:
    """Return where the benchmark of this generator version and seed lies under a cache folder."""
    return cache / f"mini-v{VERSION}-seed{seed}" / benchmark


def ensure(cache: Path, benchmark: str, seed: int = 0, *, progress: Progress | None = None) -> tuple[Path, Manifest]:
    """Return the folder of the built benchmark (a key of `LAYOUTS`) and its manifest; builds it if it is not there yet.

    Another process may build the same one at the same time: the first to finish stays, the other's copy is dropped.

    Raises:
        OSError: the cache folder cannot be written.
        DataError: its manifest is broken.
    """
    place = folder(cache, benchmark, seed)
    if not is_built(cache, benchmark, seed):
        with atomic_folder(place) as scratch:
            manifest = build(scratch, benchmark, seed, progress=progress)
            (scratch / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=2))
    return place, _read_manifest(place / _MANIFEST)


def _read_manifest(path: Path) -> Manifest:
    try:
        return msgspec.json.decode(read_bytes(path, MEBIBYTE), type=Manifest)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise DataError(f"{path}: cannot be read: {error}; delete {path.parent}, and it is generated anew") from error


def build(
    root: Path,
    benchmark: str,
    seed: int,
    *,
    videos: dict[str, int] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Write a benchmark under `root`; `videos` overrides how many each split holds.

    The same version, seed and counts give the same pictures, sounds and truth, whatever the number of `workers` and
    whichever x86-64 processor; see `elementary`.
    """
    layout = LAYOUTS[benchmark]
    videos = videos or layout.videos
    jobs = [(split, index) for split, count in videos.items() for index in range(count)]
    with process_pool(workers or available_cpus()) as pool:
        running: Iterable[Written] = pool.map(partial(_write, root, benchmark, seed), jobs, chunksize=8)
        written = list(progress(running, len(jobs)) if progress else running)
    digests = layout.write_annotations(root, written)
    for video in written:
        digests.update(video.digests)
    return Manifest(benchmark, VERSION, seed, combined(digests.items()), dict(videos), FLOORS[benchmark](written))


def _write(root: Path, benchmark: str, seed: int, job: tuple[str, int]) -> Written:
    return LAYOUTS[benchmark].write_video(root, seed, *job)


def is_built(cache: Path, benchmark: str, seed: int) -> bool:
    """Return whether `ensure` would find the benchmark built."""
    return (folder(cache, benchmark, seed) / _MANIFEST).is_file()


def written(root: Path) -> tuple[Manifest, list[Path]]:
    """Return the manifest of a built benchmark, and the files that its fingerprint is of: all but itself.

    Raises:
        DataError: its manifest is broken.
    """
    path = root / _MANIFEST
    return _read_manifest(path), [each for each in root.rglob("*") if each.is_file() and each != path]
