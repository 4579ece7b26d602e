"""Samples decoded once: arrays in a cache folder, mapped into memory, which commands after the first open at once.

What lies there is what training sees, and no checksum of the release covers it. So arrays are used only from a folder
that no other user can write to, and only as long as they are what the manifest beside them says.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from bench.data.loader import Decoded, TensorDataset, batches, load
from bench.datasets.layout import is_plain
from bench.files import MEBIBYTE, atomic_folder, read_json
from bench.system import checksums
from bench.system.trust import writable_by_others
from bench.tasks.base import Samples

VERSION = 4  # goes up with every change of what readers make of the same files
MAX_DISK_SHARE = 0.5  # share of the free disk space that one split may take

_BATCH = 16

_log = logging.getLogger(__name__)
_MANIFEST = "manifest.json"

Progress = Callable[[Iterable[Any]], Iterable[Any]]


def prepare(
    samples: Samples, chosen: Sequence[int], key: Sequence[object], cache: Path, progress: Progress
) -> TensorDataset | None:
    """Open the chosen samples of a split from the cache; decode them into it where they are not there yet.

    They are written whole or not at all; of several processes that want the same split one writes and the rest wait.
    Where other users could write to the cache, the user's own takes its place; without one, nothing is kept.

    Args:
        samples: The split.
        chosen: Which of its samples.
        key: What the arrays depend on, each with a `repr` that tells it from others.
        cache: Folder of the cache.
        progress: Wraps the batches that are gone through.

    Returns:
        The samples; None where they would fill more than half of the free disk, or cannot be written.

    Raises:
        DataError: A sample cannot be read.
    """
    text = "\n".join(map(repr, (VERSION, *key, *(samples.names[index] for index in chosen))))
    key_checksum = hashlib.sha256(text.encode()).hexdigest()
    try:
        place = _private(cache)
    except OSError as error:
        _log.warning("decoded samples cannot be kept in %s: %s", cache, error)
        return None
    if place is None:
        return None
    folder = place / key_checksum[:24]
    columns = _opened(folder, len(chosen), key_checksum)
    if columns is None:
        first = samples[chosen[0]]
        try:
            needed = len(chosen) * sum(array.nbytes for array in first.values())
            if needed > MAX_DISK_SHARE * shutil.disk_usage(folder.parent).free:
                return None
            with FileLock(folder.with_suffix(".lock")):
                columns = _opened(folder, len(chosen), key_checksum)
                if columns is None:
                    if folder.exists():
                        _log.warning("decoded samples in %s are broken or changed, and are decoded anew", folder)
                        shutil.rmtree(folder)
                    _write(folder, Decoded(samples, chosen), first, key_checksum, progress)
        except OSError as error:
            _log.warning("decoded samples cannot be kept in %s: %s", folder.parent, error)
            return None
    return columns or _opened(folder, len(chosen), key_checksum)


def _private(cache: Path) -> Path | None:
    """Return the folder for decoded samples that no other user can write to: of the cache, or else of the user's own.

    Raises:
        OSError: It cannot be made.
    """
    for place in dict.fromkeys((cache, checksums.user_cache())):
        folder = place / "prepared"
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        open_to_others = writable_by_others(folder)
        if open_to_others is None:
            return folder
        _log.warning(
            "decoded samples are not kept in %s: others can write to %s, and what they put there would be trained on",
            folder,
            open_to_others,
        )
    return None


def _opened(folder: Path, count: int, key: str) -> TensorDataset | None:
    """The samples in a folder; None where it is not there, or a file in it is not as it was written."""
    try:
        manifest = read_json(folder / _MANIFEST, MEBIBYTE)
        if manifest["key"] != key or not manifest["arrays"] or writable_by_others(folder / _MANIFEST) is not None:
            return None
        with checksums.cached_checksums(folder) as checksum:
            columns = {
                name: _mapped(folder / f"{name}.npy", expected, checksum)
                for name, expected in manifest["arrays"].items()
                if is_plain(name)
            }
    except Exception:  # a broken file can make numpy fail in any way
        return None
    whole = len(columns) == len(manifest["arrays"]) and all(len(column) == count for column in columns.values())
    return TensorDataset(columns) if whole else None


def _write(folder: Path, decoded: Decoded, first: Mapping[str, np.ndarray], key: str, progress: Progress) -> None:
    with atomic_folder(folder) as scratch:
        files = {
            name: np.lib.format.open_memmap(
                scratch / f"{name}.npy", mode="w+", dtype=array.dtype, shape=(len(decoded), *array.shape)
            )
            for name, array in first.items()
        }
        loader = load(decoded, _BATCH)
        at = 0
        for batch in batches(progress(loader)):
            for name, rows in batch.items():
                files[name][at : at + len(rows)] = rows.numpy()
            at += len(rows)
        for file in files.values():
            file.flush()
        arrays = {
            name: {**_described(array), "sha256": checksums.file_checksum(scratch / f"{name}.npy")}
            for name, array in files.items()
        }
        (scratch / _MANIFEST).write_text(json.dumps({"key": key, "arrays": arrays}), encoding="utf-8")


def _described(array: np.ndarray) -> dict[str, object]:
    return {"dtype": array.dtype.str, "shape": [*array.shape]}


def _mapped(path: Path, expected: Mapping[str, object], checksum: checksums.Checksum) -> Tensor:
    """Return a file's array, read as it is needed. It is mapped as private: what is written to it stays in memory.

    Raises:
        ValueError: It is not the one that is expected, or another user could change it.
    """
    if checksum(path) != expected["sha256"] or writable_by_others(path) is not None:
        raise ValueError(f"{path} has changed")
    array = np.lib.format.open_memmap(path, mode="c")
    if {**_described(array), "sha256": expected["sha256"]} != expected:
        raise ValueError(f"{path} holds another array")
    return torch.from_numpy(array)
