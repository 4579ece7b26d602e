"""What the reader of a task gives now: a few samples of each split, decoded anew."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bench.config.instantiate import task_of
from bench.config.run_options import RunOptions
from bench.config.spec import Spec
from bench.data.splits import Splits, open_samples
from bench.tasks.base import Samples
from bench.training.setup import set_up

SAMPLES = 8  # samples of each split: a fault of a reader is in all of them


@dataclass(frozen=True)
class ReaderOutput:
    """What a task's samples are.

    Attributes:
        fingerprint: checksum of the files that they are read from.
        counts: samples of each split.
        floors: primary test scores that need not both modalities.
        targets: by split, the checksum of what is to be predicted, of the first samples.
        inputs: by split and stream, the mean of what the stream reads, of the same samples.
        shared: names that stand in more than one split.
        stale: by split, arrays of the prepared samples that are not what the reader gives now.
    """

    fingerprint: str
    counts: dict[str, int]
    floors: dict[str, float]
    targets: dict[str, str]
    inputs: dict[str, float]
    shared: int
    stale: list[str]


def see(spec: Spec, options: RunOptions) -> ReaderOutput:
    """Decodes a few samples of each split of a run's task.

    They are read as `bench run` reads them the first time; what it has prepared since is compared with them.

    Raises:
        DataError, UsageError: the data is not there or broken, or the device is not there.
        BenchError: an encoder cannot be loaded.
    """
    whole = replace(spec, recipe={**spec.recipe, "train_share": 1.0})  # of which the first samples are compared
    setup = set_up(whole, options)
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
    """Return the first samples, decoded: each array (samples, ...)."""
    first = [samples[index] for index in range(min(SAMPLES, len(samples)))]
    return {name: np.stack([sample[name] for sample in first]) for name in first[0]}


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


def _differing(decoded: Mapping[str, np.ndarray], data: Splits, split: str) -> list[str]:
    """Return names of the arrays that differ from those that training and scoring take."""
    count = len(next(iter(decoded.values())))
    dataset = data.datasets[split]
    samples = [dataset[index] for index in range(count)]
    return [
        name
        for name, array in decoded.items()
        if not np.allclose(array, np.stack([sample[name].numpy() for sample in samples]), rtol=1e-4, atol=1e-3)
    ]
