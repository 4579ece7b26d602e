"""What a run predicted for a few samples of its first test split, kept so that it can be looked at."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import numpy as tensor_files
from torch.utils.data import Dataset, Subset

from bench.errors import BenchError, wording
from bench.files import MEBIBYTE, Guard, atomic_file
from bench.loader import load
from bench.plan import Spec
from bench.schema import stem
from bench.tasks.model import TaskModel
from bench.tensor_files import check_header

FOLDER = "predictions"
KEPT = 16  # samples, spread evenly over the split
_LARGEST = 256 * MEBIBYTE  # bytes of a file: masks of 16 samples have 10
_INDEX = "index"
_ONE = "output"  # the name of what a head gives that gives one tensor

Predictions = dict[int, dict[str, np.ndarray]]
"""What the head gave for each sample, by its number in the split: arrays (T, ...) by name."""


@torch.inference_mode()
def predict(model: TaskModel, split: Dataset, batch_size: int, accelerator: Accelerator) -> Predictions:
    """What the model gives for a few samples of a split."""
    length = len(split)  # type: ignore[arg-type]
    chosen = sorted({round(index) for index in np.linspace(0, length - 1, min(KEPT, length))})
    loader = accelerator.prepare_data_loader(load(Subset(split, chosen), batch_size))
    model.eval()
    rows: list[dict[str, np.ndarray]] = []
    for batch in loader:
        with accelerator.autocast():
            output = model(batch)
        parts = output if isinstance(output, dict) else {_ONE: output}
        arrays = {name: part.float().cpu().numpy() for name, part in parts.items()}
        rows += [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]
    return dict(zip(chosen, rows, strict=True))


def keep(predictions: Predictions, results: Path, spec: Spec, guard: Guard = nullcontext) -> None:
    """Writes the predictions of a run, whole or not at all; `guard` is as for `bench.files.atomic_file`.

    Raises:
        OSError: they cannot be written.
    """
    path = _path(results, spec)
    names = next(iter(predictions.values()))
    arrays = {name: np.stack([sample[name] for sample in predictions.values()]) for name in names}
    with atomic_file(path, guard) as file:
        file.write(tensor_files.save({_INDEX: np.array(list(predictions)), **arrays}))


def read(results: Path, spec: Spec) -> Predictions:
    """The predictions that were kept of a run.

    Raises:
        BenchError: there are none, or they cannot be read.
    """
    path = _path(results, spec)
    if not path.is_file():
        raise BenchError(f"no predictions of {spec.label} were kept: there is no {path}; --rerun makes them")
    try:
        check_header(path, _LARGEST)
        arrays = tensor_files.load(path.read_bytes())
        index = arrays.pop(_INDEX)
        return {int(number): {name: array[row] for name, array in arrays.items()} for row, number in enumerate(index)}
    except Exception as error:  # safetensors has an exception of its own for each way a file can be broken
        raise BenchError(f"cannot read the predictions {path}: {wording(error)}; --rerun makes them anew") from error


def _path(results: Path, spec: Spec) -> Path:
    return results / FOLDER / f"{stem(spec)}.safetensors"
