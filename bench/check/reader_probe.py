"""A probe of a task's reader: a few samples of each split, decoded again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bench.check.baseline import ReaderOutput
from bench.config.instantiate import task_of
from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.data.splits import Splits, open_samples
from bench.tasks.base import Samples
from bench.training.setup import set_up

SAMPLES = 8  # of each split: a defect of a reader affects all samples


def probe(spec: Spec, options: RunOptions) -> ReaderOutput:
    """Decode a few samples of each split of a run's task, and compare them with those in the decoded cache.

    Args:
        spec: Specification of a run of the task.
        options: Data folder and device.

    Raises:
        DataError: The data is missing or broken.
        UsageError: The data or the device does not exist.
        BenchError: An encoder cannot be loaded.
    """
    full_spec = replace(spec, recipe={**spec.recipe, "train_share": 1.0})  # the first samples of the whole split
    setup = set_up(full_spec, options)
    inputs = {name: stream.input for name, stream in setup.model.streams.streams.items()}
    task = task_of(spec)
    targets: dict[str, str] = {}
    means: dict[str, float] = {}
    stale: list[str] = []
    names: Counter[str] = Counter()
    for split in ("train", "val", *task.test_splits):
        samples = open_samples(task, spec.data, options.data_root, inputs, split)
        names.update(set(samples.names))
        decoded = _decoded(samples)
        targets[split] = _checksum({name: array for name, array in decoded.items() if name not in inputs})
        means |= {f"{split}.{name}": round(float(decoded[name].mean(dtype=np.float64)), 6) for name in inputs}
        if not spec.data.get("skip_unreadable"):
            stale += [f"{split}.{name}" for name in _differing(decoded, setup.data, split)]
    shared = sum(count > 1 for count in names.values())
    return ReaderOutput(
        setup.data.fingerprint, setup.data.counts, dict(setup.data.floors), targets, means, shared=shared, stale=stale
    )


def _decoded(samples: Samples) -> dict[str, np.ndarray]:
    """Return the arrays of the first samples, decoded: (samples, ...) each, by name."""
    first = [samples[index] for index in range(min(SAMPLES, len(samples)))]
    return {name: np.stack([sample[name] for sample in first]) for name in first[0]}


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


def _differing(decoded: Mapping[str, np.ndarray], data: Splits, split: str) -> list[str]:
    """Return the names of the arrays that differ from those used for training and scoring."""
    count = len(next(iter(decoded.values())))
    dataset = data.datasets[split]
    samples = [dataset[index] for index in range(count)]
    return [
        name
        for name, array in decoded.items()
        if not np.allclose(array, np.stack([sample[name].numpy() for sample in samples]), rtol=1e-4, atol=1e-3)
    ]
