"""Builds the generated data once, atomically, in a cache folder, with a checksum."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import msgspec

from bench.datasets.mini.files import WrittenSample
from bench.datasets.mini.floors import FLOORS
from bench.datasets.mini.write import LAYOUTS
from bench.errors import DataError
from bench.files import MEBIBYTE, atomic_folder, read_bytes
from bench.system.checksums import combined
from bench.system.child_processes import process_pool
from bench.system.cpus import available_cpus

VERSION = 3  # increases with every change of the generated data
_MANIFEST = "manifest.json"

Progress = Callable[[Iterable[WrittenSample], int], Iterable[WrittenSample]]


@dataclass(frozen=True)
class Manifest:
    """A summary of a built benchmark.

    Attributes:
        benchmark: Its name, a key of `LAYOUTS`.
        version: The generator's version.
        seed: The generator's seed.
        fingerprint: A checksum of the names and contents of all its files.
        counts: Number of videos or pictures of each split.
        floors: Primary scores, in percent, that are possible without using both modalities, by name.
    """

    benchmark: str
    version: int
    seed: int
    fingerprint: str
    counts: dict[str, int]
    floors: dict[str, float]


def folder(cache: Path, benchmark: str, seed: int) -> Path:
    """Return the folder of a benchmark of this generator version and seed within a cache folder."""
    return cache / f"mini-v{VERSION}-seed{seed}" / benchmark


def ensure(cache: Path, benchmark: str, seed: int = 0, *, progress: Progress | None = None) -> tuple[Path, Manifest]:
    """Return the folder and manifest of a benchmark (a key of `LAYOUTS`), building it if necessary.

    If several processes build the same benchmark at the same time, the first copy to be finished is kept.

    Raises:
        OSError: The cache folder cannot be written.
        DataError: The manifest is broken.
    """
    root = folder(cache, benchmark, seed)
    if not is_built(cache, benchmark, seed):
        with atomic_folder(root) as scratch:
            manifest = build(scratch, benchmark, seed, progress=progress)
            (scratch / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=2))
    return root, _read_manifest(root / _MANIFEST)


def _read_manifest(path: Path) -> Manifest:
    try:
        return msgspec.json.decode(read_bytes(path, MEBIBYTE), type=Manifest)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise DataError(f"{path}: cannot be read: {error}; delete {path.parent} to have it generated again") from error


def build(
    root: Path,
    benchmark: str,
    seed: int,
    *,
    videos: dict[str, int] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Write a benchmark and return its manifest.

    The same version, seed and counts produce the same bits for any number of workers and on any x86-64 processor; see
    `elementary`.

    Args:
        root: The folder to write to.
        benchmark: A key of `LAYOUTS`.
        seed: The seed.
        videos: Number of videos or pictures by split; None for the layout's own.
        workers: Number of processes; None for one per CPU.
        progress: Wraps the samples as they are written, for a progress bar.
    """
    layout = LAYOUTS[benchmark]
    videos = videos or layout.videos
    jobs = [(split, index) for split, count in videos.items() for index in range(count)]
    with process_pool(workers or available_cpus()) as pool:
        results: Iterable[WrittenSample] = pool.map(partial(_write, root, benchmark, seed), jobs, chunksize=8)
        samples = list(progress(results, len(jobs)) if progress else results)
    digests = layout.write_annotations(root, samples)
    for sample in samples:
        digests.update(sample.digests)
    return Manifest(benchmark, VERSION, seed, combined(digests.items()), dict(videos), FLOORS[benchmark](samples))


def _write(root: Path, benchmark: str, seed: int, job: tuple[str, int]) -> WrittenSample:
    return LAYOUTS[benchmark].write_video(root, seed, *job)


def is_built(cache: Path, benchmark: str, seed: int) -> bool:
    """Return whether `ensure` would find the benchmark built."""
    return (folder(cache, benchmark, seed) / _MANIFEST).is_file()


def manifest_and_files(root: Path) -> tuple[Manifest, list[Path]]:
    """Return the manifest of a built benchmark, and the files that its fingerprint covers: all but the manifest.

    Raises:
        DataError: The manifest is broken.
    """
    manifest = root / _MANIFEST
    return _read_manifest(manifest), [path for path in root.rglob("*") if path.is_file() and path != manifest]
