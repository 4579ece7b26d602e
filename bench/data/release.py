"""The folder of a task's data, and the checksums of its files. Imports nothing heavy."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config.preflight import own_root
from bench.datasets import build
from bench.datasets.base import load_dataset
from bench.errors import BenchError, DataError, UsageError
from bench.progress import bar
from bench.system import checksums
from bench.system.trust import writable_by_others

if TYPE_CHECKING:
    from bench.tasks.base import Task

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contents:
    """The contents of a release, as checksums of its files.

    Attributes:
        fingerprint: Checksum of all files that the task reads; for data that is made, that of the generator.
        splits: Checksum of the files that each split is read from.
    """

    fingerprint: str
    splits: Mapping[str, str]


def locate(task: Task, source: Mapping[str, Any], data_root: Path | None) -> Path:
    """Return the folder of a task's release; generate the data if necessary.

    Args:
        task: The task.
        source: The specification's `data`.
        data_root: Folder of the release, of the user's own data, or of the media that data is composed from; or of the
            generated data's cache, None for the user's cache folder.

    Raises:
        UsageError: The data is not generated but its folder is not given, or no such data can be generated.
        BenchError: The generated data cannot be written.
    """
    if is_synthetic(source):
        return synthesize(task, source, data_root)
    if source["source"] == "own":
        return own_root(source, data_root)
    if data_root is None:
        raise UsageError(
            f"the official data of {task.benchmark} needs its folder: add --data-root DIR; `bench data describe` shows "
            "where to get the data"
        )
    return data_root


def floors(task: Task, source: Mapping[str, Any], root: Path) -> dict[str, float]:
    """Return the scores that are possible without both modalities, in percent, by name.

    There are none for a task of another benchmark or metric than those of the dataset's floors.

    Args:
        task: The task.
        source: The specification's `data`.
        root: Folder of the release, as `locate` returns it.

    Raises:
        DataError: An annotation file, or the manifest of generated data, is missing or broken.
    """
    dataset = load_dataset(task.layout)
    if not dataset.has_floors_of(task.benchmark, task.metric):
        return {}
    of_generator = build.read_manifest(root).floors if is_synthetic(source) else {}
    return {**of_generator, **dataset.floors(root)}


def is_synthetic(source: Mapping[str, Any]) -> bool:
    """Return whether the specification's `data` is the work of this program: generated, or composed from media."""
    return source["source"] in ("generated", "composed")


def _origin(source: Mapping[str, Any], data_root: Path | None) -> tuple[build.Origin, Path]:
    """Return what made data is made from, and the cache folder that it is in."""
    if source["source"] == "composed":
        return build.Origin(True, data_root, source.get("sounds", "calls")), checksums.user_cache()
    return build.GENERATED, data_root or checksums.user_cache()


def _present_version(task: Task, origin: build.Origin) -> int | None:
    """Return the version of the data that this program makes for a task; None if it makes none."""
    dataset = load_dataset(task.layout)
    generator = dataset.composer(origin.media, origin.sounds) if origin.composed else dataset.generator()
    return generator.version if generator else None


def synthesize(task: Task, source: Mapping[str, Any], data_root: Path | None) -> Path:
    """Return the folder of a task's generated or composed data; make the data if necessary.

    Raises:
        UsageError: No data can be made for the task, or not the version that `source` specifies; or there are no media
            to compose it from.
        DataError: Media are broken, or the data was composed from others.
        BenchError: The data cannot be written.
    """
    origin, cache = _origin(source, data_root)
    version = _present_version(task, origin)
    if version is None:
        raise UsageError(
            f"there is no {source['source']} data for {task.benchmark} (layout {task.layout}): read its release with "
            "--set data.source=official --data-root DIR"
        )
    if source["version"] != version:
        raise UsageError(f"data.version is {source['version']}, but this generator makes version {version}")
    if origin.composed and not build.is_built(cache, task.layout, source["seed"], origin):
        _announce(build.folder(cache, task.layout, source["seed"], origin), origin)
    try:
        root, _ = build.ensure(
            cache,
            task.layout,
            source["seed"],
            origin=origin,
            progress=lambda samples, total: bar(samples, f"generating {task.layout}", total=total, unit="sample"),
        )
        if open_to_others := writable_by_others(root):
            _log.warning(
                "other users can write to %s and may have changed the generated data in %s: compare its fingerprint "
                "in the record, or choose another --data-root",
                open_to_others,
                root,
            )
        return root
    except OSError as error:
        hint = "set XDG_CACHE_HOME to another folder" if origin.composed else "choose another --data-root"
        raise BenchError(f"the {source['source']} data cannot be written to {cache}: {error}; {hint}") from error


def _announce(place: Path, origin: build.Origin) -> None:
    """Say that data is about to be composed, and whether the media are not the published ones.

    Raises:
        UsageError: There are no media.
        DataError: Media are broken; the message shows how to check all of them.
    """
    from bench.datasets.natural import media, things

    _log.warning("%s is composed from the media, once: this takes minutes", place)
    card = load_dataset("natural").card
    try:
        present = things.counts_of(media.located(origin.media))
    except DataError as error:
        raise DataError(f"{error}; `bench data verify natural --root DIR` shows all such files") from error
    published = card.counts["all"] if card else {}
    if differing := [
        f"{count} {name} of {published[name]}" for name, count in present.items() if count != published[name]
    ]:
        _log.warning(
            "these are not all of the published media: %s; scores cannot be compared with those of others (`bench data "
            "verify natural --root DIR`)",
            ", ".join(differing),
        )


def contents(task: Task, source: Mapping[str, Any], root: Path) -> Contents:
    """Return the checksums of a task's data. Files that have not changed since the last call are not read again.

    Args:
        task: The task.
        source: The specification's `data`.
        root: Folder of the release, as `locate` returns it.

    Raises:
        DataError: An annotation file is missing or broken, or generated data is not as the generator wrote it.
    """
    files = {split: list(dict.fromkeys(task.files(root, split))) for split in ("train", "val", *task.test_splits)}
    all_files = sorted({path for paths in files.values() for path in paths}, key=str)  # paths compare slowly
    # The folder of the release, be it the data root or one above it, is no part of its contents.
    base = Path(os.path.commonpath([path.parent for path in all_files])) if all_files else root
    with checksums.cached_checksums(root) as checksum:
        lines = {
            path: (_relative(path, base), checksum(path))
            for path in bar(all_files, f"checking {task.benchmark}", unit="file")
        }
        fingerprint = _generated_fingerprint(root, checksum) if is_synthetic(source) else ""

    def combined(paths: Iterable[Path]) -> str:
        return checksums.combined(lines[path] for path in paths)

    return Contents(fingerprint or combined(all_files), {split: combined(paths) for split, paths in files.items()})


def _relative(path: Path, base: Path) -> str:
    """Return a path relative to a folder above it, with slashes; ten times as fast as `relative_to`."""
    return str(path)[len(str(base)) :].lstrip(os.sep).replace(os.sep, "/")


def present_contents(task: Task, source: Mapping[str, Any], data_root: Path | None) -> Contents | None:
    """Return the checksums of a task's present data; None if its data has not been generated yet.

    Arguments and errors are those of `locate` and `contents`.
    """
    if is_synthetic(source):
        origin, cache = _origin(source, data_root)
        if source["version"] != _present_version(task, origin):
            return None
        if not build.is_built(cache, task.layout, source["seed"], origin):
            return None
    return contents(task, source, locate(task, source, data_root))


def with_samples(checksum: str, names: Sequence[str]) -> str:
    """Return the checksum of a split's samples: of the files, and of the names of the used samples, in order.

    Args:
        checksum: Checksum of the split's files.
        names: Names of the used samples.
    """
    return checksums.combined([("files", checksum), *((f"{number:09}", name) for number, name in enumerate(names))])


def _generated_fingerprint(root: Path, checksum: checksums.Checksum) -> str:
    """Return the manifest's fingerprint, after comparing it with that of the files.

    Raises:
        DataError: The two differ.
    """
    manifest, files = build.manifest_and_files(root)
    fingerprint = checksums.combined((_relative(path, root), checksum(path)) for path in files)
    if fingerprint != manifest.fingerprint:
        raise DataError(
            f"the generated data in {root} is not as the generator wrote it: files were changed, added or removed. "
            f"Delete {root} to generate it again; to train on changed data, use a copy of it as an official release: "
            "--data-root DIR --set data.source=official"
        )
    return manifest.fingerprint
