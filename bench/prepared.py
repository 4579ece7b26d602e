"""Samples decoded once: arrays in a cache folder, mapped into memory, which commands after the first open at once."""

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

from bench.datasets.layout import is_plain
from bench.files import MEBIBYTE, atomic_folder, read_json
from bench.loader import Columns, Decoded, batches, load
from bench.tasks.base import Samples

VERSION = 3  # goes up with every change of what readers make of the same files
MOST = 0.5  # share of the free disk space that one split may take

_BATCH = 16

_log = logging.getLogger(__name__)
_INDEX = "index.json"

Progress = Callable[[Iterable[Any]], Iterable[Any]]


def prepare(
    samples: Samples, chosen: Sequence[int], key: Sequence[object], cache: Path, progress: Progress
) -> Columns | None:
    """Open the chosen samples of a split from the cache; decode them into it where they are not there yet.

    They are written whole or not at all; of several processes that want the same split one writes and the rest wait.

    Args:
        samples: the split.
        chosen: which of its samples.
        key: what the arrays depend on, each with a `repr` that tells it from others.
        cache: folder of the cache.
        progress: wraps the batches that are gone through.

    Returns:
        The samples; None where they would fill more than half of the free disk, or cannot be written.

    Raises:
        DataError: a sample cannot be read.
    """
    text = "\n".join(map(repr, (VERSION, *key, *(samples.names[index] for index in chosen))))
    folder = cache / "prepared" / hashlib.sha256(text.encode()).hexdigest()[:24]
    columns = _opened(folder, len(chosen))
    if columns is None:
        first = samples[chosen[0]]
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            needed = len(chosen) * sum(array.nbytes for array in first.values())
            if needed > MOST * shutil.disk_usage(folder.parent).free:
                return None
            with FileLock(folder.with_suffix(".lock")):
                columns = _opened(folder, len(chosen))
                if columns is None:
                    if folder.exists():
                        _log.warning("decoded samples in %s are broken, and are decoded anew", folder)
                        shutil.rmtree(folder)
                    _write(folder, Decoded(samples, chosen), first, progress)
        except OSError as error:
            _log.warning("decoded samples cannot be kept in %s: %s", folder.parent, error)
            return None
    return columns or _opened(folder, len(chosen))


def _opened(folder: Path, count: int) -> Columns | None:
    """The samples in a folder; None where it is not there, or a file in it is cut short or otherwise broken."""
    try:
        names = read_json(folder / _INDEX, MEBIBYTE)
        columns = {name: _mapped(folder / f"{name}.npy") for name in names if is_plain(name)}
    except Exception:  # a broken file can make numpy fail in any way
        return None
    whole = columns and len(columns) == len(names) and all(len(column) == count for column in columns.values())
    return Columns(columns) if whole else None


def _write(folder: Path, decoded: Decoded, first: Mapping[str, np.ndarray], progress: Progress) -> None:
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
        (scratch / _INDEX).write_text(json.dumps(sorted(files)), encoding="utf-8")


def _mapped(path: Path) -> Tensor:
    """A file's array, read as it is needed. It is mapped as private: what is written to it stays in memory."""
    return torch.from_numpy(np.lib.format.open_memmap(path, mode="c"))
