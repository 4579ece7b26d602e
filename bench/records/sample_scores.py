"""What every test sample of a run scored, kept beside its record, compressed: methods are compared sample by sample."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from bench.errors import BenchError, wording
from bench.files import MEBIBYTE, Guard, atomic_file, check_file
from bench.records.store import FOLDER

GROUP = "group"
"""Beside the metrics of a split: (samples,), whole numbers that are equal for samples which are not independent."""
_MAX_BYTES = 16 * MEBIBYTE  # bytes of a file, packed
_LARGEST_ARRAYS = 64 * MEBIBYTE  # bytes of what it holds: scores of 15 million samples
_SEPARATOR = "/"  # splits and metrics in the names of arrays

SampleScores = Mapping[str, Mapping[str, np.ndarray]]
"""By test split and metric: each (samples,), in the metric's unit, in the order of the split; and `GROUP`, where
samples come in groups. The mean over the samples of all splits is the recorded test score. Metrics that are no means
over samples are left out."""


def keep(scores: SampleScores, results: Path, stem: str, guard: Guard = nullcontext) -> Path:
    """Write what the test samples of a run scored, scores as float32; whole or not at all.

    Args:
        scores: of all samples.
        results: the results folder.
        stem: what the run's files are called.
        guard: as for `bench.files.atomic_file`.

    Raises:
        OSError: it cannot be written.
    """
    path = _path(results, stem)
    arrays = {
        f"{split}{_SEPARATOR}{name}": np.asarray(values, dtype=np.int32 if name == GROUP else np.float32)
        for split, of_split in scores.items()
        for name, values in of_split.items()
    }
    with atomic_file(path, guard) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def read(results: Path, stem: str, metric: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what every test sample of a run scored in one metric, and the number of the group that it belongs to.

    Returns:
        (samples,) and (samples,), all splits one after another; a sample without a group has one of its own. None where
        no scores were kept, or not in this metric.

    Raises:
        BenchError: the file cannot be read.
    """
    path = _path(results, stem)
    try:
        _check(path)
        with np.load(path, allow_pickle=False) as arrays:
            splits = [name.rpartition(_SEPARATOR)[0] for name in arrays.files if name.endswith(_SEPARATOR + metric)]
            scores = [arrays[f"{split}{_SEPARATOR}{metric}"] for split in splits]
            groups = [
                arrays[name] if (name := f"{split}{_SEPARATOR}{GROUP}") in arrays.files else np.arange(len(values))
                for split, values in zip(splits, scores, strict=True)
            ]
        for values, group in zip(scores, groups, strict=True):
            if values.ndim != 1 or values.dtype.kind != "f" or values.shape != group.shape or group.dtype.kind != "i":
                raise ValueError("it holds other arrays than a score and a group of each sample")
            if not np.isfinite(values).all():
                raise ValueError("a score is not finite")
    except FileNotFoundError:
        return None
    except Exception as error:  # a broken archive can fail in any way
        raise BenchError(f"{path} holds no scores of samples: {wording(error)}; --rerun makes it anew") from error
    if not scores:
        return None
    numbers = np.cumsum([0, *(int(ids.max(initial=-1)) + 1 for ids in groups)])  # splits share no group
    return np.concatenate(scores), np.concatenate([ids + first for ids, first in zip(groups, numbers, strict=False)])


def _check(path: Path) -> None:
    """Refuse an archive that would take too much memory: it may be a thousand times as large once unpacked."""
    check_file(path, _MAX_BYTES)
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_ARRAYS:
            raise ValueError(f"unpacked it has more than {_LARGEST_ARRAYS:,} bytes")


def _path(results: Path, stem: str) -> Path:
    return results / FOLDER / f"{stem}.npz"
