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
        fingerprint: Checksum of all files that the task reads; for generated data, that of the generator.
        splits: Checksum of the files that each split is read from.
    """

    fingerprint: str
    splits: Mapping[str, str]


def locate(task: Task, source: Mapping[str, Any], data_root: Path | None) -> Path:
    """Return the folder of a task's release; generate the data if necessary.

    Args:
        task: The task.
        source: The specification's `data`.
        data_root: Folder of the release or of the user's own data; or of the generated data's cache, None for the
            user's cache folder.

    Raises:
        UsageError: The data is not generated but its folder is not given, or no such data can be generated.
        BenchError: The generated data cannot be written.
    """
    if source["source"] == "generated":
        return generated(task, source, data_root)
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
    of_generator = build.read_manifest(root).floors if source["source"] == "generated" else {}
    return {**of_generator, **dataset.floors(root)}


def generated(task: Task, source: Mapping[str, Any], data_root: Path | None) -> Path:
    """Return the folder of a task's generated data; generate the data if necessary.

    Raises:
        UsageError: No data can be generated for the task, or not the version that `source` specifies.
        BenchError: The data cannot be written.
    """
    generator = load_dataset(task.layout).generator()
    if generator is None:
        raise UsageError(
            f"there is no generated data for {task.benchmark} (layout {task.layout}): read its release with "
            "--set data.source=official --data-root DIR"
        )
    if source["version"] != generator.version:
        raise UsageError(f"data.version is {source['version']}, but this generator makes version {generator.version}")
    cache = data_root or checksums.user_cache()
    try:
        root, _ = build.ensure(
            cache,
            task.layout,
            source["seed"],
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
        raise BenchError(
            f"the generated data cannot be written to {cache}: {error}; choose another --data-root"
        ) from error


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
        fingerprint = _generated_fingerprint(root, checksum) if source["source"] == "generated" else ""

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
    if source["source"] == "generated":
        cache = data_root or checksums.user_cache()
        generator = load_dataset(task.layout).generator()
        if generator is None or source["version"] != generator.version:
            return None
        if not build.is_built(cache, task.layout, source["seed"]):
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
