"""The data splits of a run, decoded once into a cache or read on demand."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from bench.data import release
from bench.data.decoded_cache import prepare
from bench.data.loader import ConstantInputs, Decoded
from bench.errors import DataError
from bench.progress import bar
from bench.records.provenance import code_of
from bench.streams.inputs import Input, TextInput
from bench.streams.sources import encoder_checksum
from bench.system import checksums
from bench.tasks.base import Samples, Task

_log = logging.getLogger(__name__)
_cache: dict[Any, Splits] = {}


@dataclass(frozen=True)
class Splits:
    """A task's data, ready to be trained on.

    Attributes:
        samples: Each split as the task provides it.
        datasets: Each split as tensors.
        numbers: Of each split, which of `samples` the tensors are of: not all, if some cannot be read or are not used.
        fingerprint: Checksum of the files that the data is made from.
        skipped: Number of samples and annotation entries that could not be read.
        floors: Primary test scores that are possible without both modalities, in percent, by name.
        checksums: Checksum of the used samples of each split.
    """

    samples: Mapping[str, Samples]
    datasets: Mapping[str, Dataset[dict[str, Tensor]]]
    numbers: Mapping[str, Sequence[int]]
    fingerprint: str
    skipped: int
    floors: Mapping[str, float]
    checksums: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Samples of each split."""
        return {split: len(data) for split, data in self.datasets.items()}  # type: ignore[arg-type]

    def groups(self, split: str) -> list[str] | None:
        """Return the group of each sample of a split's tensors (see `Samples.groups`); None if there are no groups."""
        groups = getattr(self.samples[split], "groups", None)
        return [groups[number] for number in self.numbers[split]] if groups else None


def open_splits(
    task: Task,
    source: Mapping[str, Any],
    data_root: Path | None,
    inputs: Mapping[str, Input],
    train_share: float = 1.0,
    draw: str = "",
) -> Splits:
    """Return the task's splits, from the official release or the generator.

    Runs with the same data, such as those of one task in one command, share it.

    Args:
        task: The task.
        source: The specification's `data`.
        data_root: Folder of the release, of media, or of the generated data's cache; None for the user's cache folder.
        inputs: What each stream reads.
        train_share: Share of the training split to use; `samples` still has all of it.
        draw: Names the draw of that share (see `subset`).

    Raises:
        DataError: A file is missing or broken.
        UsageError: The data is official but its folder is not given.
        BenchError: The generated data cannot be written.
    """
    root = release.locate(task, source, data_root)
    contents = release.contents(task, source, root)
    key = (type(task), repr(task), repr(source), data_root, repr(inputs), train_share, draw, repr(contents))
    if key not in _cache:
        _cache.clear()  # a plan runs task by task, so earlier tasks' data is not needed again
        # A release is never written to; the cache of generated data is stored with that data.
        cache = data_root if data_root and source["source"] == "generated" else checksums.user_cache()
        _cache[key] = _open(task, source, root, contents, cache=cache, inputs=inputs, share=(train_share, draw))
    return _cache[key]


def open_samples(
    task: Task, source: Mapping[str, Any], data_root: Path | None, inputs: Mapping[str, Input], split: str
) -> Samples:
    """Return one split as the task provides it, read on demand; arguments and errors are those of `open_splits`."""
    samples = task.samples(release.locate(task, source, data_root), split, inputs)
    _left_out(source, [samples])
    return samples


def _left_out(source: Mapping[str, Any], splits: Iterable[Samples]) -> list[str]:
    """Return the messages of invalid annotation entries, which are not samples; each once for all splits.

    Raises:
        DataError: The first of them, unless the specification's `data` has `skip_unreadable`.
    """
    problems = list(dict.fromkeys(str(problem) for samples in splits for problem in getattr(samples, "left_out", ())))
    if problems and not source.get("skip_unreadable"):
        number_more = f"; {len(problems) - 1:,} more: `bench data verify` lists them all" if len(problems) > 1 else ""
        raise DataError(problems[0] + number_more)
    for problem in problems:
        _log.warning("left out: %s", problem)
    return problems


def _open(
    task: Task,
    source: Mapping[str, Any],
    root: Path,
    contents: release.Contents,
    *,
    cache: Path,
    inputs: Mapping[str, Input],
    share: tuple[float, str],
) -> Splits:
    samples = {split: task.samples(root, split, inputs) for split in ("train", "val", *task.test_splits)}
    datasets: dict[str, Dataset[dict[str, Tensor]]] = {}
    numbers, used = {}, {}
    skipped = len(_left_out(source, samples.values()))
    for split, split_samples in samples.items():
        chosen = subset(split_samples, *share) if split == "train" else range(len(split_samples))
        readable = _readable(split_samples, chosen) if source.get("skip_unreadable") else chosen
        if not readable:
            raise DataError(f"{task.benchmark} {split} of {root}: no samples")
        skipped += len(chosen) - len(readable)
        numbers[split] = readable
        used[split] = release.with_samples(contents.splits[split], [split_samples.names[index] for index in readable])
        progress = partial(bar, desc=f"reading {task.benchmark} {split}", unit="batch")
        prepared = prepare(split_samples, readable, (*_decoded_from(task, inputs), used[split]), cache, progress)
        datasets[split] = data = prepared or Decoded(split_samples, readable)
        if flaw := task.flaw(split_samples, ((number, data[index]) for index, number in enumerate(readable))):
            raise DataError(f"{task.benchmark} {split} of {root}: {flaw}; `bench data verify` checks every file")
    if streams := source.get("streams"):
        datasets = _with_constants(
            datasets, [column for name in inputs.keys() - streams for column in task.columns(name)]
        )
    return Splits(samples, datasets, numbers, contents.fingerprint, skipped, release.floors(task, source, root), used)


def _decoded_from(task: Task, inputs: Mapping[str, Input]) -> tuple[object, ...]:
    """Return what decoded samples depend on besides the release: the task, its code, the inputs, the tokenizers."""
    texts = [value for value in inputs.values() if isinstance(value, TextInput)]
    tokenizers = [encoder_checksum(text.tokenizer, weights=False) for text in texts]
    return task, code_of(type(task)).checksum, inputs, tokenizers


def _with_constants(
    datasets: Mapping[str, Dataset[dict[str, Tensor]]], columns: Sequence[str]
) -> dict[str, Dataset[dict[str, Tensor]]]:
    """Return the splits with some columns fixed to the first input of the first training sample.

    All inputs get the same value: the ten different seconds of a video would reveal which second each one is.
    """
    first = datasets["train"][0]
    constant: dict[str, Dataset[dict[str, Tensor]]] = {}
    for split, data in datasets.items():
        sample = data[0]
        constants = {name: _repeated(first[name], sample[name]) for name in columns if name in sample}
        constant[split] = ConstantInputs(data, constants)
    return constant


def _repeated(values: Tensor, template: Tensor) -> Tensor:
    """Return the first of `values` (T, ...), repeated to the length of `template` (T, ...); a scalar is unchanged."""
    return values[:1].expand(len(template), *values.shape[1:]) if values.ndim else values


def subset(samples: Samples, fraction: float, draw: str = "") -> Sequence[int]:
    """Return the indices of a subset of a split's samples, in order; whole groups are drawn by a hash of their names.

    So the draw does not depend on their order, and a larger subset of the same draw contains every smaller one.

    Args:
        samples: The split.
        fraction: The share of groups (see `Samples.groups`) to take, in (0, 1]; at least one is taken.
        draw: Other text gives another draw.
    """
    if fraction == 1:
        return range(len(samples))
    groups = getattr(samples, "groups", None) or samples.names
    drawn = sorted(
        set(groups), key=lambda name: hashlib.sha256((draw + name).encode(errors="surrogateescape")).digest()
    )
    chosen = set(drawn[: max(1, round(fraction * len(drawn)))])
    return [index for index, name in enumerate(groups) if name in chosen]


def _readable(samples: Samples, chosen: Sequence[int]) -> Sequence[int]:
    readable = []
    for index in bar(chosen, "looking for unreadable samples"):
        try:
            samples[index]
        except DataError as error:
            _log.warning("left out: %s", error)
        else:
            readable.append(index)
    return readable
