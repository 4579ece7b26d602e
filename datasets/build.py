"""Builds generated and composed data once, atomically, in a cache folder, with a checksum."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import msgspec

from bench.datasets.base import load_dataset
from bench.datasets.generator import Generator, WrittenSample
from bench.errors import DataError, UsageError
from bench.files import MEBIBYTE, atomic_folder, read_bytes
from bench.system.checksums import combined
from bench.system.child_processes import process_pool
from bench.system.cpus import available_cpus

_MANIFEST = "manifest.json"

Progress = Callable[[Iterable[WrittenSample], int], Iterable[WrittenSample]]


@dataclass(frozen=True)
class Manifest:
    """A summary of built data.

    Attributes:
        benchmark: The name of its layout.
        version: The generator's version.
        seed: The generator's seed.
        fingerprint: A checksum of the names and contents of all its files.
        counts: Number of videos or pictures of each split.
        floors: Primary scores, in percent, that are possible without using both modalities, by name.
        media: Checksum of the media that it was composed from; "" if it was composed from none.
    """

    benchmark: str
    version: int
    seed: int
    fingerprint: str
    counts: dict[str, int]
    floors: dict[str, float]
    media: str = ""


@dataclass(frozen=True)
class Origin:
    """What data in a layout is made from.

    Attributes:
        composed: Whether it is composed from the user's media, rather than generated.
        media: The folder of the media; None for where they are installed.
        sounds: What is heard of a thing in composed videos, as `data.sounds`: its "calls" or its "names".
    """

    composed: bool = False
    media: Path | None = None
    sounds: str = "calls"


GENERATED = Origin()


def generator_of(layout: str, origin: Origin = GENERATED) -> Generator:
    """Return the generator of data in a layout.

    Raises:
        UsageError: There is none.
    """
    dataset = load_dataset(layout)
    if generator := dataset.composer(origin.media, origin.sounds) if origin.composed else dataset.generator():
        return generator
    if origin.composed:
        kind = "data" if origin.sounds == "calls" else f"data with data.sounds={origin.sounds}"
        raise UsageError(
            f"no {kind} is composed in the layout {layout}: data.source=composed is for refcoco and avs, "
            "data.sounds=names for avs"
        )
    raise UsageError(f"no data in the layout {layout} can be generated")


def folder(cache: Path, layout: str, seed: int, origin: Origin = GENERATED) -> Path:
    """Return the folder within a cache folder of a layout's data of this generator version and seed."""
    generator = generator_of(layout, origin)
    return cache / f"{generator.world}-v{generator.version}-seed{seed}" / layout


def ensure(
    cache: Path, layout: str, seed: int = 0, *, origin: Origin = GENERATED, progress: Progress | None = None
) -> tuple[Path, Manifest]:
    """Return the folder and manifest of generated or composed data in a layout, building it if necessary.

    If several processes build the same data at the same time, the first copy to be finished is kept. Data that has been
    composed is used without its media.

    Raises:
        OSError: The cache folder cannot be written.
        DataError: The manifest is broken.
        UsageError: The layout has no generator, the media are not there, or the data was composed from others.
    """
    root = folder(cache, layout, seed, origin)
    if not is_built(cache, layout, seed, origin):
        with atomic_folder(root) as scratch:
            manifest = build(scratch, layout, seed, origin=origin, progress=progress)
            (scratch / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=2))
        return root, manifest
    manifest = read_manifest(root)
    if origin.composed:
        media = manifest.media
        with suppress(UsageError):  # it serves without them
            media = generator_of(layout, origin).media()
        if media != manifest.media:
            raise UsageError(
                f"{root} was composed from other media than those in --data-root: delete that folder to have it "
                "composed from these, or leave out --data-root to use it as it is; `bench data verify natural` "
                "compares media with the published ones"
            )
    return root, manifest


def read_manifest(root: Path) -> Manifest:
    """Return the manifest of the built data in a folder.

    Raises:
        DataError: It is broken.
    """
    path = root / _MANIFEST
    try:
        return msgspec.json.decode(read_bytes(path, MEBIBYTE), type=Manifest)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise DataError(f"{path}: cannot be read: {error}; delete {root} to have it generated again") from error


def build(
    root: Path,
    layout: str,
    seed: int,
    *,
    origin: Origin = GENERATED,
    counts: Mapping[str, int] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Write generated data and return its manifest.

    The same version, seed and counts produce the same bits for any number of workers and, for the generators of this
    package, on any x86-64 processor; see `elementary`.

    Args:
        root: The folder to write to.
        layout: The name of the layout.
        seed: The seed.
        origin: What it is made from.
        counts: Number of samples by split; None for the generator's own.
        workers: Number of processes; None for one per CPU.
        progress: Wraps the samples as they are written, for a progress bar.
    """
    generator = generator_of(layout, origin)
    media = generator.media()  # missing or broken media are told before any work
    counts = counts or generator.counts
    jobs = [(split, index) for split, count in counts.items() for index in range(count)]
    with process_pool(workers or available_cpus()) as pool:
        results: Iterable[WrittenSample] = pool.map(
            partial(_write, generator.write_sample, root, seed), jobs, chunksize=8
        )
        samples = list(progress(results, len(jobs)) if progress else results)
    digests = generator.write_annotations(root, samples)
    for sample in samples:
        digests.update(sample.digests)
    fingerprint = combined(digests.items())
    return Manifest(layout, generator.version, seed, fingerprint, dict(counts), generator.floors(samples), media)


def _write(
    write_sample: Callable[[Path, int, str, int], WrittenSample], root: Path, seed: int, job: tuple[str, int]
) -> WrittenSample:
    return write_sample(root, seed, *job)


def is_built(cache: Path, layout: str, seed: int, origin: Origin = GENERATED) -> bool:
    """Return whether `ensure` would find the data built."""
    return (folder(cache, layout, seed, origin) / _MANIFEST).is_file()


def manifest_and_files(root: Path) -> tuple[Manifest, list[Path]]:
    """Return the manifest of built data, and the files that its fingerprint covers: all but the manifest.

    Raises:
        DataError: The manifest is broken.
    """
    files = [path for path in root.rglob("*") if path.is_file() and path != root / _MANIFEST]
    return read_manifest(root), files
