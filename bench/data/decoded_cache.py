"""A cache of decoded samples: arrays that are mapped into memory, so that only the first command decodes them.

Training sees these arrays, and no checksum of the release covers them. So they are used only from a folder that no
other user can write to, and only while they match the manifest beside them.
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

VERSION = 4  # increased whenever readers return something else for the same files
MAX_DISK_SHARE = 0.5  # share of the free disk space that one split may take

_BATCH = 16

_log = logging.getLogger(__name__)
_MANIFEST = "manifest.json"

Progress = Callable[[Iterable[Any]], Iterable[Any]]


def prepare(
    samples: Samples, chosen: Sequence[int], key: Sequence[object], cache: Path, progress: Progress
) -> TensorDataset | None:
    """Return the chosen samples of a split from the cache, after decoding them into it if necessary.

    A split is written completely or not at all. If several processes need the same one, one of them writes and the
    others wait. If other users can write to the cache, the cache folder of this user replaces it.

    Args:
        samples: The split.
        chosen: Indices of the samples to use.
        key: Everything that the arrays depend on, each with a `repr` that identifies it.
        cache: Folder of the cache.
        progress: Wraps the batches, to show a progress bar.

    Returns:
        The samples; None if they would fill more than half of the free disk, or cannot be cached.

    Raises:
        DataError: A sample cannot be read.
    """
    text = "\n".join(map(repr, (VERSION, *key, *(samples.names[index] for index in chosen))))
    key_checksum = hashlib.sha256(text.encode()).hexdigest()
    try:
        private_cache = _private_cache(cache)
    except OSError as error:
        _log.warning("decoded samples cannot be cached in %s: %s", cache, error)
        return None
    if private_cache is None:
        return None
    folder = private_cache / key_checksum[:24]
    columns = _open(folder, len(chosen), key_checksum)
    if columns is None:
        first = samples[chosen[0]]
        try:
            needed = len(chosen) * sum(array.nbytes for array in first.values())
            if needed > MAX_DISK_SHARE * shutil.disk_usage(folder.parent).free:
                return None
            with FileLock(folder.with_suffix(".lock")):
                columns = _open(folder, len(chosen), key_checksum)
                if columns is None:
                    if folder.exists():
                        _log.warning("decoded samples in %s are damaged or were changed: decoding them again", folder)
                        shutil.rmtree(folder)
                    _write(folder, Decoded(samples, chosen), first, key_checksum, progress)
        except OSError as error:
            _log.warning("decoded samples cannot be cached in %s: %s", folder.parent, error)
            return None
    return columns or _open(folder, len(chosen), key_checksum)


def _private_cache(cache: Path) -> Path | None:
    """Return a folder for decoded samples that no other user can write to: in the cache, or in the user's own.

    Raises:
        OSError: The folder cannot be created.
    """
    for parent in dict.fromkeys((cache, checksums.user_cache())):
        folder = parent / "prepared"
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        open_to_others = writable_by_others(folder)
        if open_to_others is None:
            return folder
        _log.warning(
            "decoded samples are not cached in %s: other users can write to %s and could change what is trained on",
            folder,
            open_to_others,
        )
    return None


def _open(folder: Path, count: int, key: str) -> TensorDataset | None:
    """Return the samples in a folder; None if it does not exist, or a file in it is not as it was written."""
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
    complete = len(columns) == len(manifest["arrays"]) and all(len(column) == count for column in columns.values())
    return TensorDataset(columns) if complete else None


def _write(folder: Path, decoded: Decoded, first: Mapping[str, np.ndarray], key: str, progress: Progress) -> None:
    with atomic_folder(folder) as scratch:
        files = {
            name: np.lib.format.open_memmap(
                scratch / f"{name}.npy", mode="w+", dtype=array.dtype, shape=(len(decoded), *array.shape)
            )
            for name, array in first.items()
        }
        loader = load(decoded, _BATCH)
        start = 0
        for batch in batches(progress(loader)):
            for name, rows in batch.items():
                files[name][start : start + len(rows)] = rows.numpy()
            start += len(rows)
        for file in files.values():
            file.flush()
        arrays = {
            name: {**_dtype_and_shape(array), "sha256": checksums.file_checksum(scratch / f"{name}.npy")}
            for name, array in files.items()
        }
        (scratch / _MANIFEST).write_text(json.dumps({"key": key, "arrays": arrays}), encoding="utf-8")


def _dtype_and_shape(array: np.ndarray) -> dict[str, object]:
    return {"dtype": array.dtype.str, "shape": [*array.shape]}


def _mapped(path: Path, expected: Mapping[str, object], checksum: checksums.Checksum) -> Tensor:
    """Return a file's array, which is read on demand. The mapping is private: writes to it do not reach the file.

    Raises:
        ValueError: It is not the expected array, or another user could change it.
    """
    if checksum(path) != expected["sha256"] or writable_by_others(path) is not None:
        raise ValueError(f"{path} has changed")
    array = np.lib.format.open_memmap(path, mode="c")
    if {**_dtype_and_shape(array), "sha256": expected["sha256"]} != expected:
        raise ValueError(f"{path} contains another array")
    return torch.from_numpy(array)
