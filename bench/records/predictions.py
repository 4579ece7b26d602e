"""A run's predictions for a few samples of its first test split, stored for inspection."""

from __future__ import annotations

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
SAMPLES = 16  # spread evenly over the split
_MAX_BYTES = 256 * MEBIBYTE  # of a file; masks of 16 samples take 10 MiB
_INDEX = "index"
SINGLE_OUTPUT = "output"  # name of the output of a head that returns one tensor

Predictions = dict[int, dict[str, np.ndarray]]
"""Outputs of the head for each sample, by its index in the split: arrays (T, ...) by name."""


def save(predictions: Predictions, results: Path, spec: Spec, guard: Guard = nullcontext) -> None:
    """Write the predictions of a run atomically.

    Args:
        predictions: Outputs of the head, by index of the sample.
        results: The results folder.
        spec: Specification of the run.
        guard: See `bench.files.atomic_file`.

    Raises:
        OSError: The file cannot be written.
    """
    path = _path(results, spec)
    names = next(iter(predictions.values()))
    arrays = {name: np.stack([sample[name] for sample in predictions.values()]) for name in names}
    with atomic_file(path, guard) as file:
        file.write(tensor_files.save({_INDEX: np.array(list(predictions)), **arrays}))


def load(results: Path, spec: Spec) -> Predictions:
    """Return the stored predictions of a run.

    Raises:
        BenchError: There are none, or the file cannot be read.
    """
    path = _path(results, spec)
    if not path.is_file():
        raise BenchError(f"there are no predictions of {spec.label}: {path} does not exist; --rerun makes them")
    try:
        check_header(path, _MAX_BYTES)
        arrays = tensor_files.load(path.read_bytes())
        index = arrays.pop(_INDEX)
        return {int(number): {name: array[row] for name, array in arrays.items()} for row, number in enumerate(index)}
    except Exception as error:  # safetensors raises many kinds of exceptions for broken files
        raise BenchError(f"cannot read the predictions {path}: {wording(error)}; --rerun makes them again") from error


def _path(results: Path, spec: Spec) -> Path:
    return results / FOLDER / f"{stem(spec)}.safetensors"
