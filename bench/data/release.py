"""Where a task's data lies, and checksums of what is read of it. Needs no heavy import."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.datasets.mini import build
from bench.errors import BenchError, DataError, UsageError
from bench.progress import bar
from bench.system import checksums
from bench.system.trust import writable_by_others

if TYPE_CHECKING:
    from bench.tasks.base import Task

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contents:
    """What lies in a release, by checksums of its files.

    Attributes:
        fingerprint: Of all files that the task reads; of generated data the generator's own.
        splits: Of the files that each split is read from.
    """

    fingerprint: str
    splits: Mapping[str, str]


def locate(task: Task, source: Mapping[str, Any], data_root: Path | None) -> tuple[Path, Mapping[str, float]]:
    """Return where the release of a task lies, and its floors; generate it where that is asked for and not there yet.

    Args:
        task: The task.
        source: The specification's `data`.
        data_root: Folder of the release, or of the generated data's cache; None for the user's cache folder.

    Raises:
        UsageError: The official release is asked for but not where it lies, or there is no generated data.
        BenchError: The generated data cannot be written.
    """
    if source["source"] == "generated":
        root, manifest = generated(task, source, data_root)
        return root, manifest.floors
    if data_root is None:
        raise UsageError(
            f"the official data of {task.benchmark} is asked for: say with --data-root DIR where it is; "
            "`bench data describe` tells where to get it"
        )
    return data_root, {}


def generated(task: Task, source: Mapping[str, Any], data_root: Path | None) -> tuple[Path, build.Manifest]:
    """Return where a task's generated data lies, and its manifest; generate it where it is not there yet.

    Raises:
        UsageError: There is none for the task, or not of the version that the specification's `data` asks for.
        BenchError: It cannot be written.
    """
    if task.layout not in build.LAYOUTS:
        raise UsageError(f"there is no generated data for {task.benchmark}: give its release with --data-root DIR")
    if source["version"] != build.VERSION:
        raise UsageError(f"data.version is {source['version']}, but this generator makes version {build.VERSION}")
    cache = data_root or checksums.user_cache()
    try:
        root, manifest = build.ensure(
            cache,
            task.layout,
            source["seed"],
            progress=lambda videos, total: bar(videos, f"generating {task.layout}", total=total, unit="video"),
        )
        if open_to_others := writable_by_others(root):
            _log.warning(
                "the generated data in %s may have been changed by others, who can write to %s: compare the data's "
                "fingerprint in the record, or name another --data-root",
                root,
                open_to_others,
            )
        return root, manifest
    except OSError as error:
        raise BenchError(
            f"the generated data cannot be written to {cache}: {error}; name another --data-root"
        ) from error


def contents(task: Task, source: Mapping[str, Any], root: Path) -> Contents:
    """Return the checksums of a task's data. Files that have not changed since the last time are not read again.

    Args:
        task: The task.
        source: The specification's `data`.
        root: Where the release lies, as `locate` returns it.

    Raises:
        DataError: An annotation file is missing or broken, or generated data is not as the generator wrote it.
    """
    files = {split: list(dict.fromkeys(task.files(root, split))) for split in ("train", "val", *task.test_splits)}
    every = sorted({path for paths in files.values() for path in paths})
    # Where the release itself lies, in the data root or above it, is no part of its contents.
    base = Path(os.path.commonpath([path.parent for path in every])) if every else root
    with checksums.cached_checksums(root) as checksum:
        lines = {
            path: (_relative(path, base), checksum(path))
            for path in bar(every, f"checking {task.benchmark}", unit="file")
        }
        fingerprint = _generated_fingerprint(root, checksum) if source["source"] == "generated" else ""

    def of(paths: Iterable[Path]) -> str:
        return checksums.combined(lines[path] for path in paths)

    return Contents(fingerprint or of(every), {split: of(paths) for split, paths in files.items()})


def _relative(path: Path, base: Path) -> str:
    """Return the path from a folder that it lies in, with slashes: in a tenth of `relative_to`'s time."""
    return str(path)[len(str(base)) :].lstrip(os.sep).replace(os.sep, "/")


def present_contents(task: Task, source: Mapping[str, Any], data_root: Path | None) -> Contents | None:
    """Return the checksums of a task's data as it is now; None where generated data is still to be generated.

    Arguments and errors are those of `locate` and `contents`.
    """
    if source["source"] == "generated":
        cache = data_root or checksums.user_cache()
        if source["version"] != build.VERSION or not build.is_built(cache, task.layout, source["seed"]):
            return None
    root, _ = locate(task, source, data_root)
    return contents(task, source, root)


def with_samples(checksum: str, names: Sequence[str]) -> str:
    """Return the checksum of the samples of a split: of its files, and of which samples are used, in their order."""
    return checksums.combined([("files", checksum), *((f"{number:09}", name) for number, name in enumerate(names))])


def _generated_fingerprint(root: Path, checksum: checksums.Checksum) -> str:
    """Return the manifest's fingerprint, which the files must still give.

    Raises:
        DataError: They do not.
    """
    manifest, files = build.manifest_and_files(root)
    found = checksums.combined((_relative(path, root), checksum(path)) for path in files)
    if found != manifest.fingerprint:
        raise DataError(
            f"the generated data in {root} is not as the generator wrote it: files were changed, added or removed. "
            f"Delete {root}, and it is generated anew; to train on changed data, copy it and give the copy as an "
            "official release: --data-root DIR --set data.source=official"
        )
    return manifest.fingerprint
