"""What a run predicted for a few samples of its first test split, kept so that it can be looked at."""

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
SAMPLES = 16  # samples, spread evenly over the split
_MAX_BYTES = 256 * MEBIBYTE  # bytes of a file: masks of 16 samples have 10
_INDEX = "index"
SINGLE_OUTPUT = "output"  # the name of what a head gives that gives one tensor

Predictions = dict[int, dict[str, np.ndarray]]
"""What the head gave for each sample, by its number in the split: arrays (T, ...) by name."""


def keep(predictions: Predictions, results: Path, spec: Spec, guard: Guard = nullcontext) -> None:
    """Write the predictions of a run, whole or not at all; `guard` is as for `bench.files.atomic_file`.

    Raises:
        OSError: they cannot be written.
    """
    path = _path(results, spec)
    names = next(iter(predictions.values()))
    arrays = {name: np.stack([sample[name] for sample in predictions.values()]) for name in names}
    with atomic_file(path, guard) as file:
        file.write(tensor_files.save({_INDEX: np.array(list(predictions)), **arrays}))


def read(results: Path, spec: Spec) -> Predictions:
    """Return the predictions that were kept of a run.

    Raises:
        BenchError: there are none, or they cannot be read.
    """
    path = _path(results, spec)
    if not path.is_file():
        raise BenchError(f"no predictions of {spec.label} were kept: there is no {path}; --rerun makes them")
    try:
        check_header(path, _MAX_BYTES)
        arrays = tensor_files.load(path.read_bytes())
        index = arrays.pop(_INDEX)
        return {int(number): {name: array[row] for name, array in arrays.items()} for row, number in enumerate(index)}
    except Exception as error:  # safetensors has an exception of its own for each way a file can be broken
        raise BenchError(f"cannot read the predictions {path}: {wording(error)}; --rerun makes them anew") from error


def _path(results: Path, spec: Spec) -> Path:
    return results / FOLDER / f"{stem(spec)}.safetensors"
