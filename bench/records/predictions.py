"""A run's predictions for a few samples of each of its test splits, stored for inspection."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from safetensors import numpy as tensor_files

from bench.config.spec import Spec
from bench.errors import BenchError, wording
from bench.files import MEBIBYTE, Guard, atomic_file
from bench.records.schema import stem
from bench.system.tensor_files import check_header

FOLDER = "predictions"
SAMPLES = 16  # spread evenly over each split
_MAX_BYTES = 256 * MEBIBYTE  # of a file; masks of 16 samples take 10 MiB a split
_SEPARATOR = "/"  # between split and output in the names of arrays; older files have the first split's without it
_INDEX = "index"
SINGLE_OUTPUT = "output"  # name of the output of a head that returns one tensor

Predictions = dict[int, dict[str, np.ndarray]]
"""Outputs of the head for each sample, by its number in the split as the task provides it: arrays (T, ...) by name."""


def save(by_split: Mapping[str, Predictions], results: Path, spec: Spec, guard: Guard = nullcontext) -> None:
    """Write the predictions of a run atomically.

    Args:
        by_split: Outputs of the head, by test split and number of the sample.
        results: The results folder.
        spec: Specification of the run.
        guard: See `bench.files.atomic_file`.

    Raises:
        OSError: The file cannot be written.
    """
    path = _path(results, spec)
    arrays = {
        f"{split}{_SEPARATOR}{name}": array
        for split, predictions in by_split.items()
        for name, array in _arrays(predictions).items()
    }
    with atomic_file(path, guard) as file:
        file.write(tensor_files.save(arrays))


def _arrays(predictions: Predictions) -> dict[str, np.ndarray]:
    names = next(iter(predictions.values()))
    outputs = {name: np.stack([sample[name] for sample in predictions.values()]) for name in names}
    return {_INDEX: np.array(list(predictions)), **outputs}


def load(results: Path, spec: Spec, split: str, *, is_first: bool) -> Predictions:
    """Return the stored predictions of a run for a test split.

    Args:
        results: The results folder.
        spec: Specification of the run.
        split: Name of the split.
        is_first: Whether it is the task's first one: runs of earlier versions have predictions of no other one.

    Raises:
        BenchError: There are none, or the file cannot be read.
    """
    path = _path(results, spec)
    if not path.is_file():
        raise BenchError(f"there are no predictions of {spec.label}: {path} does not exist; --rerun makes them")
    try:
        check_header(path, _MAX_BYTES)
        stored = tensor_files.load(path.read_bytes())
        prefix = f"{split}{_SEPARATOR}"
        arrays = {name.removeprefix(prefix): array for name, array in stored.items() if name.startswith(prefix)}
        if is_first and not any(_SEPARATOR in name for name in stored):
            arrays = stored
        if arrays:
            index = arrays.pop(_INDEX)
            return {
                int(number): {name: array[row] for name, array in arrays.items()} for row, number in enumerate(index)
            }
    except Exception as error:  # safetensors raises many kinds of exceptions for broken files
        raise BenchError(f"cannot read the predictions {path}: {wording(error)}; --rerun makes them again") from error
    raise BenchError(f"there are no predictions of {spec.label} for {split} in {path}; --rerun makes them")


def _path(results: Path, spec: Spec) -> Path:
    return results / FOLDER / f"{stem(spec)}.safetensors"
