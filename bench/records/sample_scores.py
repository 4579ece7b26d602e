"""Per-sample test scores of a run, stored compressed beside its record, to compare methods sample by sample."""

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
"""Key beside the metrics of a split: (samples,) integers, equal for samples that are not independent."""
_MAX_BYTES = 16 * MEBIBYTE  # of a file, compressed
_MAX_ARRAY_BYTES = 64 * MEBIBYTE  # of its arrays: scores of 15 million samples
_SEPARATOR = "/"  # between split and metric in the names of arrays

SampleScores = Mapping[str, Mapping[str, np.ndarray]]
"""By test split and metric: (samples,) scores in the metric's unit, in the order of the split; plus `GROUP`, if samples
come in groups. Their mean over all splits is the recorded test score. Metrics that are not means over samples are left
out."""


def save(scores: SampleScores, results: Path, stem: str, guard: Guard = nullcontext) -> Path:
    """Write the per-sample test scores of a run atomically, as float32.

    Args:
        scores: Scores of all test samples.
        results: The results folder.
        stem: Name of the run's files, without a suffix.
        guard: See `bench.files.atomic_file`.

    Returns:
        The file.

    Raises:
        OSError: The file cannot be written.
    """
    path = _path(results, stem)
    arrays = {
        f"{split}{_SEPARATOR}{name}": np.asarray(values, dtype=np.int32 if name == GROUP else np.float32)
        for split, split_scores in scores.items()
        for name, values in split_scores.items()
    }
    with atomic_file(path, guard) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def load(results: Path, stem: str, metric: str, split: str = "") -> tuple[np.ndarray, np.ndarray] | None:
    """Return the per-sample test scores of a run in one metric, and the group of each sample.

    Args:
        results: The results folder.
        stem: Name of the run's files, without a suffix.
        metric: Name of the metric.
        split: Name of a test split; "" for all.

    Returns:
        (samples,) scores and (samples,) group numbers, with the splits concatenated; a sample without a group forms
        its own. None if no scores are stored, or none in this metric.

    Raises:
        BenchError: The file cannot be read.
    """
    path = _path(results, stem)
    try:
        _check(path)
        with np.load(path, allow_pickle=False) as arrays:
            splits = [name.rpartition(_SEPARATOR)[0] for name in arrays.files if name.endswith(_SEPARATOR + metric)]
            splits = [name for name in splits if split in ("", name)]
            scores = [arrays[f"{split}{_SEPARATOR}{metric}"] for split in splits]
            groups = [
                arrays[name] if (name := f"{split}{_SEPARATOR}{GROUP}") in arrays.files else np.arange(len(values))
                for split, values in zip(splits, scores, strict=True)
            ]
        for values, group in zip(scores, groups, strict=True):
            if values.ndim != 1 or values.dtype.kind != "f" or values.shape != group.shape or group.dtype.kind != "i":
                raise ValueError("its arrays are not one score and one group per sample")
            if not np.isfinite(values).all():
                raise ValueError("a score is not finite")
    except FileNotFoundError:
        return None
    except Exception as error:  # a broken archive can fail in any way
        raise BenchError(
            f"cannot read per-sample scores from {path}: {wording(error)}; --rerun makes it again"
        ) from error
    if not scores:
        return None
    numbers = np.cumsum([0, *(int(ids.max(initial=-1)) + 1 for ids in groups)])  # splits share no group
    return np.concatenate(scores), np.concatenate([ids + first for ids, first in zip(groups, numbers, strict=False)])


def _check(path: Path) -> None:
    """Raise ValueError if an archive would take too much memory: unpacked, it may be a thousand times as large."""
    check_file(path, _MAX_BYTES)
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _MAX_ARRAY_BYTES:
            raise ValueError(f"unpacked, it has more than {_MAX_ARRAY_BYTES:,} bytes")


def _path(results: Path, stem: str) -> Path:
    return results / FOLDER / f"{stem}.npz"
